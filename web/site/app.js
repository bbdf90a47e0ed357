// The page: a photo is chosen, the worker judges it, and the answer is shown. All words that speak of a
// verdict come from facts.json and from the templates in index.html, which Python wrote.

const dark = matchMedia("(prefers-color-scheme: dark)");
const darken = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", darken);
darken();

const $ = (selector, within = document) => within.querySelector(selector);
const answer = $("#answer");
const shown = $("#shown");
const input = $("#file");
const thumb = $(".thumb");
const worker = new Worker("./worker.js", { type: "module" });
const facts = await (await fetch("./facts.json")).json();
const { words, calibration } = facts;
let loaded = true; // false once the engine has said that it cannot be
let current = null; // { file, ticket, started } of the photo that is asked for or shown

// Text for people, who should not be told 0 or 100 %.
function percent(p) {
  if (p < 0.01) return "<1 %";
  return p > 0.99 ? ">99 %" : `${(100 * p).toFixed(0)} %`;
}

// A sentence of facts.json with its {places} filled in.
const fill = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);

const copy = (id) => document.getElementById(id).content.cloneNode(true);

function paragraph(text, kind = "") {
  const out = document.createElement("p");
  out.className = kind;
  out.textContent = text;
  return out;
}

function show(state, status, ...parts) {
  answer.className = `ff ff-result ${state}`;
  $(".status").textContent = status;
  shown.replaceChildren(...parts);
  // On a phone the answer stands below the examples.
  if (current && answer.getBoundingClientRect().top > innerHeight / 2) answer.scrollIntoView();
}

function say(text) {
  $(".note").textContent = text;
  $(".note").hidden = !text;
}

function judge(file) {
  say("");
  current = { file, ticket: (current?.ticket ?? 0) + 1, started: performance.now() };
  URL.revokeObjectURL(thumb.src);
  thumb.hidden = true;
  thumb.src = URL.createObjectURL(file);
  $(".call").textContent = file.name;
  answer.classList.remove("empty", "error");
  answer.classList.add("working");
  $(".status").textContent = "Looking at the photo…";
  worker.postMessage({ ticket: current.ticket, file });
}

function fail(message) {
  const part = copy("failed");
  $(".name", part).textContent = current.file.name;
  show("error", message || (loaded ? words.broken : words.not_loaded), part);
}

function present(analysis) {
  const { faces, small, crowd } = analysis;
  const worst = faces.reduce((most, face) => (suspicion(face) > suspicion(most) ? face : most), faces[0]);
  const parts = [pictureOf(analysis), ...faces.map((face, i) => faceOf(face, i + 1))];
  if (!faces.length) parts.push(copy("no-face"));
  if (crowd) {
    const look = crowd.generated === 1 ? "looks" : "look";
    const numbers = { ...crowd, look, of: "", expected: crowd.expected.toFixed(1) };
    $(".whole", parts[0]).append(paragraph(fill(words.crowd, numbers)));
  }
  if (small.length) $(".whole", parts[0]).append(paragraph(fill(words.small, { small: small.length })));
  if (analysis.smallest > facts.tiles.min_face) {
    $(".whole", parts[0]).append(paragraph(fill(words.unseen, { detector: "MTCNN", ...analysis })));
  }
  const about = copy("meaning");
  const seconds = (performance.now() - current.started) / 1000;
  const told = {
    file: current.file.name,
    pixels: `${analysis.width} × ${analysis.height}`,
    time: `${seconds.toFixed(2)} s`,
  };
  for (const [name, text] of Object.entries(told)) $(`[data-fact=${name}]`, about).textContent = text;
  if (!faces.length) $(".meaning", about).remove();
  show(faces.length ? "ok" : "no_face", statusOf(faces, worst), ...parts, about);
  for (const canvas of shown.querySelectorAll("canvas")) drawFace(canvas);
}

const suspicion = ({ verdict, p }) => ["real", "unsure", "fake"].indexOf(verdict) + p / 2;

function statusOf(faces, worst) {
  if (!faces.length) return "No face found";
  const { word } = words.verdicts[worst.verdict];
  return faces.length === 1 ? `One face: ${word}` : `${faces.length} faces, the most suspicious one: ${word}`;
}

// The photo with a box around each face.
function pictureOf({ width, height, faces, small }) {
  const part = copy("picture");
  const image = $("img", part);
  image.src = thumb.src;
  image.alt = faces.length ? "The photo with its faces marked" : "The photo";
  const place = (element, [x, y, w, h]) => {
    const share = { left: x / width, top: y / height, width: w / width, height: h / height };
    for (const [side, value] of Object.entries(share)) element.style[side] = `${100 * value}%`;
    $(".frame", part).append(element);
  };
  for (const box of small) {
    const element = document.createElement("i");
    element.className = "box small";
    place(element, box);
  }
  faces.forEach(({ box, verdict }, i) => {
    const { mark, word } = words.verdicts[verdict];
    const [above, below] = [box[1], height - box[1] - box[3]];
    const label = above > 0.08 * height ? "above" : below > 0.08 * height ? "below" : "inside";
    const element = document.createElement("a");
    element.className = `box ${label} ${verdict}`;
    element.href = `#face-${i + 1}`;
    element.setAttribute("aria-label", `Face ${i + 1}: ${word}`);
    const number = document.createElement("span");
    number.textContent = `${i + 1}\u2009${mark}`;
    element.append(number);
    place(element, box);
  });
  return part;
}

function faceOf(face, number) {
  const part = copy("face");
  const { mark, word } = words.verdicts[face.verdict];
  const article = $(".face", part);
  article.id = `face-${number}`;
  article.classList.add(face.verdict);
  const texts = {
    ".words .mark": mark,
    ".which": `Face ${number}`,
    ".verdict": word,
    ".p strong": percent(face.p),
    ".explained": explain(face),
    ".held": held(face),
  };
  for (const [where, text] of Object.entries(texts)) $(where, part).textContent = text;
  fillBar($(".bar", part), face.p);
  const side = Math.min(face.box[2], face.box[3]);
  if (side < facts.warn_below) {
    $(".warning", part).textContent = `⚠ ${fill(words.small_face, { side })}`;
    $(".warning", part).hidden = false;
  }
  if (face.copies.length) {
    const rows = [{ name: "as it came", p: face.p, verdict: face.alone }, ...face.copies].map(rowOf);
    $("tbody", part).append(...rows);
    $("table", part).hidden = false;
  }
  const canvas = $("canvas", part);
  canvas.setAttribute("aria-label", `Face ${number}`);
  canvas.dataset.region = face.region;
  return part;
}

function explain({ byChance, alone, verdict }) {
  if (byChance) return words.explained.by_chance;
  if (alone && alone !== verdict) return words.explained[`was_${alone}`];
  return words.explained[verdict];
}

function held({ copies, byChance, alone, verdict }) {
  if (!copies.length) return words.not_tried;
  if (byChance || alone === verdict) return words.held.yes;
  return words.held[`was_${alone}`];
}

function rowOf({ name, p, verdict }) {
  const row = copy("row");
  const { mark, word } = words.verdicts[verdict];
  const texts = { th: name, td: percent(p), ".mark": mark, ".word": word };
  for (const [where, text] of Object.entries(texts)) $(where, row).textContent = text;
  $(".tag", row).classList.add(verdict);
  return row;
}

function fillBar(bar, p) {
  const { real_below: real, fake_above: fake } = calibration;
  bar.setAttribute("aria-label", `${percent(p)} ${bar.dataset.label}`);
  $(".real", bar).style.width = `${100 * real}%`;
  $(".unsure", bar).style.width = `${100 * (fake - real)}%`;
  $(".fake", bar).style.width = `${100 * (1 - fake)}%`;
  $(".needle", bar).style.left = `${100 * p}%`;
}

// What the model saw, cut out of the photo.
async function drawFace(canvas) {
  const [x, y, side] = canvas.dataset.region.split(",").map(Number);
  const image = $(".frame img", shown);
  await image.decode();
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, x, y, side, side, 0, 0, canvas.width, canvas.height);
}

worker.addEventListener("message", ({ data }) => {
  if ("ready" in data) {
    loaded = data.ready;
    input.disabled = !loaded;
    if (!current) show("empty", loaded ? "No photo yet" : words.not_loaded, copy("blank"));
  } else if (data.ticket === current?.ticket) {
    if (data.analysis) present(data.analysis);
    else fail(data.message);
  }
});
worker.addEventListener("error", () => say(words.not_loaded));

thumb.addEventListener("load", () => (thumb.hidden = false));
$(".camera").hidden = !navigator.maxTouchPoints; // elsewhere it would be the same as choosing a file
$(".camera").addEventListener("click", () => $("#shot").click());
for (const chooser of [input, $("#shot")]) {
  chooser.addEventListener("change", () => {
    if (chooser.files[0]) judge(chooser.files[0]);
    chooser.value = ""; // so that choosing the same file again is a change
  });
}
for (const button of document.querySelectorAll(".examples button")) {
  button.addEventListener("click", async () => {
    const blob = await (await fetch(button.dataset.file)).blob();
    judge(new File([blob], button.dataset.file.split("/").pop(), { type: blob.type }));
  });
}
document.addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData?.files[0]) judge(clipboardData.files[0]);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("dragenter", () => $("#drop").classList.add("dragging"));
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) $("#drop").classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("#drop").classList.remove("dragging");
  const [file] = event.dataTransfer.files;
  if (file) judge(file);
  else say("That is no file; save the picture first, then drop the file.");
});
$("#drop").addEventListener("submit", (event) => event.preventDefault());

async function keep() {
  await navigator.serviceWorker.register("./sw.js");
  await navigator.serviceWorker.ready;
  $("#offline").textContent = "Everything is loaded now: the page works without a network, too.";
}
// Where the browser keeps no files, in a private window, say, the page works with a network.
if ("serviceWorker" in navigator) keep().catch(console.info);
