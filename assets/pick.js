// Sends files one after another; setting the value then starts the batch.
const input = element.querySelector("input");
const note = element.querySelector(".note");
const call = element.querySelector(".call");
let files = [];
let ticket = 0;
const shown = () => element.offsetParent !== null;

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
      const name = Date.now().toString(36) + Math.random().toString(36).slice(2);
      const { path } = await upload(new File([file], name, { type: file.type }));
      if (mine !== ticket) return;
      sent.push({ path, orig_name: file.name, meta: { _type: "gradio.FileData" } });
    }
    props.value = { files: sent };
  } catch {
    say("The files could not be sent; check the connection and try again.");
  }
  call.textContent = files.length === 1 ? files[0].name : `${files.length} files`;
}

input.addEventListener("change", () => {
  send([...input.files]);
  input.value = "";
});
element.querySelector("form").addEventListener("again", () => send(files));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (shown()) send(event.dataTransfer?.files ?? []);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("paste", (event) => {
  if (shown() && event.clipboardData?.files.length) send(event.clipboardData.files);
});
