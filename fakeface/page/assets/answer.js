// What was found, and what can be done with it. The value is { html, report }; `report` says which
// answer this is, and goes back to the server with the photo when a report is asked for.
const drop = () => document.querySelector(props.drop);
const reports = () => element.querySelectorAll(".download");

// On a phone the answer appears below the fold.
watch("value", () => {
  if (element.getBoundingClientRect().top > innerHeight / 2) element.scrollIntoView();
});

element.addEventListener("input", ({ target }) => {
  if (target.type === "range") {
    target.closest(".views").querySelector(".heat").style.opacity = target.value / 100;
  }
});
element.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.matches(".download")) {
    reports().forEach((other) => (other.disabled = true));
    tell("Making the report…");
    const detail = { ...props.value.report, kind: button.dataset.kind };
    drop().dispatchEvent(new CustomEvent("report", { detail }));
  }
  if (button?.matches(".measure")) {
    button.disabled = true;
    button.textContent = "Measuring…";
    drop().dispatchEvent(new CustomEvent("again", { detail: { faithful: true } }));
  }
  if (button?.matches(".compare")) drop().dispatchEvent(new Event("lend"));
});

function tell(text) {
  const line = element.querySelector(".take .told");
  if (line) line.textContent = text;
}
document.addEventListener("fakeface-report", ({ detail }) => {
  reports().forEach((button) => (button.disabled = false));
  tell(detail);
});
