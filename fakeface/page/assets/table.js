// The rows of a batch as they come in. The value is { rows, done, total, message, header }; every text
// in it that came from a file goes in as text, never as HTML.
const $ = (selector) => element.querySelector(selector);
const KINDS = {
  "AI-generated": { rank: 4, style: "fake", mark: "!", word: "AI-generated" },
  unsure: { rank: 3, style: "unsure", mark: "?", word: "Unsure" },
  real: { rank: 2, style: "real", mark: "✓", word: "No sign of AI found" },
  no_face: { rank: 1, style: "none", mark: "–", word: "No face" },
  unreadable: { rank: 0, style: "none", mark: "×", word: "Not read" },
};
const kindOf = (row) => row.verdict ?? row.status;
const hidden = new Set();
let order = { key: "", down: true };
let stopped = false;
let running = false;

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function percent(p) {
  return p === null ? "" : p < 0.01 ? "<1 %" : p > 0.99 ? ">99 %" : `${Math.round(100 * p)} %`;
}

function rowOf(row) {
  const kind = KINDS[kindOf(row)];
  const line = make("tr", kind.style);
  const picture = make("td", "thumbs");
  if (row.thumbnail) {
    const image = make("img");
    image.src = row.thumbnail;
    image.alt = "";
    picture.append(image);
  }
  const name = make("th", "", row.file);
  name.scope = "row";
  const verdict = make("td");
  const tag = make("span", `tag ${kind.style}`);
  const mark = make("span", "mark small", kind.mark);
  mark.setAttribute("aria-hidden", "true");
  tag.append(mark, ` ${kind.word}`);
  verdict.append(tag);
  if (row.p_fake !== null) verdict.append(make("p", "number narrow", percent(row.p_fake)));
  if (row.note) verdict.append(make("p", "why", row.note));
  const numbers = [percent(row.p_fake), row.faces || ""];
  line.append(picture, name, verdict, ...numbers.map((text) => make("td", "number wider", text)));
  return line;
}

function draw() {
  const { rows = [], done = 0, total = 0, failed = "" } = props.value ?? {};
  const message = stopped ? "" : props.value?.message || failed;
  const words = $("input[type=search]").value.toLowerCase();
  const visible = rows.filter((row) => !hidden.has(kindOf(row)) && row.file.toLowerCase().includes(words));
  if (order.key) {
    const sign = order.down ? -1 : 1;
    const value = {
      file: (row) => row.file,
      rank: (row) => KINDS[kindOf(row)].rank + (row.p_fake ?? 0),
      p_fake: (row) => row.p_fake ?? -1,
      faces: (row) => row.faces,
    }[order.key];
    const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
    visible.sort((a, b) => sign * compare(value(a), value(b)));
  }
  $("tbody").replaceChildren(...visible.map(rowOf));
  for (const input of element.querySelectorAll(".filters input")) {
    const count = rows.filter((row) => kindOf(row) === input.value).length;
    input.closest("label").querySelector(".count").textContent = count;
  }
  element.querySelectorAll("th[aria-sort]").forEach((head) => {
    const mine = head.firstChild.dataset.key === order.key;
    head.setAttribute("aria-sort", mine ? (order.down ? "descending" : "ascending") : "none");
  });
  running = total > 0 && done < total && !stopped && !message;
  $("progress").value = total ? done / total : 0;
  $(".going").hidden = !running;
  $(".work").hidden = !!message || (!rows.length && !running);
  $(".blank").hidden = !!total || !!message;
  $(".filters").hidden = $(".find").hidden = rows.length < 2;
  const shown = visible.length < rows.length ? `, ${visible.length} of them shown` : "";
  const files = (n) => `${n} file${n === 1 ? "" : "s"}`;
  $(".status").textContent = message ? message
    : !total ? "No files yet"
    : running ? `Judged ${done} of ${total}`
    : done < total ? `Stopped: ${done} of ${files(total)} judged${shown}`
    : `${files(total)} judged${shown}`;
}

function save(kind) {
  const { rows, header } = props.value;
  const text = kind === "csv"
    ? header + rows.map((row) => row.csv).join("")
    : JSON.stringify(rows.map((row) => row.json), null, 2);
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind === "csv" ? "text/csv" : "application/json" }));
  link.download = `fakeface-batch.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

for (const [value, kind] of Object.entries(KINDS)) {
  const label = make("label");
  const input = make("input");
  input.type = "checkbox";
  input.checked = true;
  input.value = value;
  const mark = make("span", `mark small ${kind.style}`, kind.mark);
  mark.setAttribute("aria-hidden", "true");
  label.append(input, mark, ` ${kind.word} `, make("span", "count", "0"));
  $(".filters").append(label);
}
$(".filters").addEventListener("change", ({ target }) => {
  hidden[target.checked ? "delete" : "add"](target.value);
  draw();
});
$("input[type=search]").addEventListener("input", draw);
$("thead").addEventListener("click", ({ target }) => {
  const key = target.dataset.key;
  if (!key) return;
  const down = key === "file" ? false : true; // the most suspicious first, names from A
  order = order.key === key ? { key, down: !order.down } : { key, down };
  draw();
});
$(".stop").addEventListener("click", () => {
  stopped = true;
  document.dispatchEvent(new Event("fakeface-stopping"));
  trigger("stop");
  draw();
});
element.addEventListener("click", ({ target }) => target.matches(".download") && save(target.dataset.kind));
// What still arrives of a batch that was stopped is welcome, but no reason to say that it failed.
document.addEventListener("fakeface-batch", () => (stopped = false));
watch("value", () => {
  draw();
  if (props.value?.failed) document.dispatchEvent(new Event("fakeface-stopped"));
});
