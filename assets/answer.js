// What was found, and what can be done with it. Its value is { html, report: { name, html, json } }.
const drop = () => document.querySelector(props.drop);

// On a phone the answer appears below the fold.
watch("value", () => {
  if (element.getBoundingClientRect().top > innerHeight / 2) element.scrollIntoView();
});

function save({ name, ...texts }, kind) {
  const type = { html: "text/html", json: "application/json" }[kind];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([texts[kind]], { type }));
  link.download = `${name}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

element.addEventListener("input", ({ target }) => {
  if (target.type === "range") {
    target.closest(".views").querySelector(".heat").style.opacity = target.value / 100;
  }
});
element.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.matches(".download")) save(props.value.report, button.dataset.kind);
  if (button?.matches(".measure")) {
    button.disabled = true;
    button.textContent = "Measuring…";
    drop().dispatchEvent(new CustomEvent("again", { detail: { faithful: true } }));
  }
  if (button?.matches(".compare")) drop().dispatchEvent(new Event("lend"));
});
