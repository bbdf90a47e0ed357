// What a gr.HTML component runs once, with `element`, `props` and `trigger`, after post.js. The component's
// value is the uploaded file, or an address on the web; setting it makes Gradio call the handler. The
// file itself stays here and is sent again for another model or a report, so the server keeps nothing.
const $ = (selector) => element.querySelector(selector);
const input = $("input[type=file]");
const address = $("input[type=url]");
const thumb = $(".thumb");
const camera = { panel: $(".viewfinder"), video: $("video"), stream: null };
let current = null; // a File, or the text of an address
let ticket = 0;
let earlier = []; // uploads that may still wait on the server, if nobody took them; it deletes them

// A hidden tab must not take what is dropped or pasted into another.
const shown = () => element.offsetParent !== null;

function say(text) {
  $(".note").textContent = text;
  $(".note").hidden = !text;
}

function refuse(text) {
  current = null;
  thumb.hidden = true;
  $(".call").textContent = "Choose a photo";
  props.value = null;
  say(text);
}

function send(what, more = {}) {
  say("");
  return typeof what === "string" ? sendAddress(what, more) : sendFile(what, more);
}

function sendAddress(url, more) {
  current = url;
  thumb.hidden = true;
  $(".call").textContent = "Choose a photo";
  props.value = { address: url, ticket: ++ticket, ...more };
}

async function sendFile(file, more) {
  const mine = ++ticket;
  if (file.size > props.max_bytes) {
    return refuse(`This file is larger than ${props.max_bytes >> 20} MiB; save a smaller copy.`);
  }
  if (file !== current) {
    current = file;
    URL.revokeObjectURL(thumb.src);
    thumb.hidden = true;
    thumb.src = URL.createObjectURL(file);
    $(".call").textContent = file.name;
  }
  try {
    const sent = await uploaded(file);
    if (mine === ticket) props.value = { file: sent, earlier, ...more };
    earlier = [...earlier.slice(-20), sent];
  } catch ({ message }) {
    if (mine === ticket) refuse(message);
  }
}

async function uploaded(file) {
  // The server's copy gets a plain name; the real one travels beside it.
  return { path: await post(file), orig_name: file.name, meta: { _type: "gradio.FileData" } };
}

// A report on the answer on show: the photo goes with what the answer says of itself.
async function report(wanted) {
  try {
    const what = typeof current === "string" ? { address: current } : { file: await uploaded(current) };
    trigger("report", { ...what, ...wanted, ticket: Date.now() });
  } catch ({ message }) {
    document.dispatchEvent(new CustomEvent("fakeface-report", { detail: message }));
  }
}

function stopCamera() {
  camera.stream?.getTracks().forEach((track) => track.stop());
  camera.panel.hidden = true;
  $(".camera").hidden = !navigator.mediaDevices?.getUserMedia;
}

async function startCamera() {
  say("");
  try {
    camera.stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "user", width: { ideal: 1280 } },
    });
  } catch {
    return say("The camera cannot be used; allow it in the browser, or choose a file.");
  }
  camera.video.srcObject = camera.stream;
  camera.panel.hidden = false;
  $(".camera").hidden = true;
  $(".shoot").focus();
}

function shoot() {
  const { video } = camera;
  if (!video.videoWidth) return;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  stopCamera();
  canvas.toBlob((blob) => send(new File([blob], "camera.png", { type: "image/png" })));
}

async function paste() {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((t) => t.startsWith("image/"));
      if (type) return send(new File([await item.getType(type)], "pasted.png", { type }));
    }
    say("There is no picture on the clipboard.");
  } catch {
    say("The clipboard cannot be read; allow it in the browser, or press Ctrl+V.");
  }
}

async function example({ url, file }) {
  const blob = await (await fetch(url)).blob();
  send(new File([blob], file, { type: blob.type }));
}

stopCamera();
$(".paste").hidden = !navigator.clipboard?.read;
thumb.addEventListener("load", () => (thumb.hidden = false));
input.addEventListener("change", () => {
  if (input.files[0]) send(input.files[0]);
  input.value = ""; // so that choosing the same file again is a change
});
$(".camera").addEventListener("click", startCamera);
$(".shoot").addEventListener("click", shoot);
$(".cancel").addEventListener("click", stopCamera);
$(".paste").addEventListener("click", paste);
element.querySelectorAll(".examples button").forEach((button) => {
  button.addEventListener("click", () => example(button.dataset));
});
$(".fetch").addEventListener("click", () => {
  const url = address.value.trim();
  if (url) send(url);
  else say("Type or paste the address of a picture first.");
});
address.addEventListener("keydown", (event) => {
  if (event.key === "Enter") $(".fetch").click();
});
$("form").addEventListener("submit", (event) => event.preventDefault());
$("form").addEventListener("report", ({ detail }) => current && report(detail));
$("form").addEventListener("again", ({ detail }) => current && send(current, detail ?? {}));

// One tab lends its photo to another, which may not have been opened yet.
$("form").addEventListener("lend", () => {
  window.fakefaceLent = current;
  document.querySelector(props.lends_to)?.click();
  document.dispatchEvent(new Event("fakeface-lent"));
});
function borrow() {
  const photo = window.fakefaceLent;
  if (!photo || props.lends_to) return;
  window.fakefaceLent = null;
  send(photo);
}
document.addEventListener("fakeface-lent", borrow);
borrow();

document.addEventListener("paste", (event) => {
  const file = event.clipboardData?.files[0];
  if (file && shown()) send(file);
});
let depth = 0;
const lit = (on) => element.classList.toggle("dragging", on);
document.addEventListener("dragenter", () => lit(++depth > 0));
document.addEventListener("dragleave", () => lit(--depth > 0));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  lit((depth = 0) > 0);
  const file = event.dataTransfer?.files[0];
  if (!shown()) return;
  if (file) send(file);
  else say("That is no file; save the picture first, then drop the file.");
});
