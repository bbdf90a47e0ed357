// Sends files one after another by post.js; setting the value then starts the batch.
const input = element.querySelector("input");
const note = element.querySelector(".note");
const call = element.querySelector(".call");
let files = [];
let ticket = 0;
let earlier = []; // uploads that may still wait on the server, if nobody took them; it deletes them
const shown = () => element.offsetParent !== null;

// Gradio drops an event that comes while an earlier one of its kind is still being cancelled.
let rest = Promise.resolve();
document.addEventListener("fakeface-stopping", () => {
  rest = new Promise((done) => {
    document.addEventListener("fakeface-stopped", done, { once: true });
    setTimeout(done, 10_000);
  });
});

function say(text) {
  note.textContent = text;
  note.hidden = !text;
}

async function send(chosen) {
  const mine = ++ticket;
  files = [...chosen];
  say("");
  if (!files.length) return;
  if (files.length > props.max_files) {
    return say(`These are ${files.length} files; a batch holds at most ${props.max_files}.`);
  }
  const big = files.find((file) => file.size > props.max_archive);
  if (big) return say(`${big.name} is larger than ${props.max_archive >> 20} MiB; make it smaller.`);
  const sent = [];
  try {
    for (const file of files) {
      call.textContent = `Sending ${sent.length + 1} of ${files.length}…`;
      sent.push({ path: await post(file), orig_name: file.name, meta: { _type: "gradio.FileData" } });
      if (mine !== ticket) break;
    }
    await rest;
    if (mine === ticket) {
      document.dispatchEvent(new Event("fakeface-batch"));
      props.value = { files: sent, earlier };
    }
  } catch ({ message }) {
    say(message);
  }
  earlier = [...earlier, ...sent].slice(-props.max_files);
  if (mine !== ticket) return;
  call.textContent = files.length === 1 ? files[0].name : `${files.length} files`;
}

input.addEventListener("change", () => {
  send([...input.files]);
  input.value = "";
});
element.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
element.querySelector("form").addEventListener("again", () => send(files));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (shown()) send(event.dataTransfer?.files ?? []);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("paste", (event) => {
  if (shown() && event.clipboardData?.files.length) send(event.clipboardData.files);
});
