// Operating points: what a threshold would cost, read off the stored validation curve.
const oneIn = (share) =>
  share <= 0 ? "no real photo is" : share < 0.4
    ? `1 real photo in ${Math.round(1 / share)} is` : `${Math.round(100 * share)} of 100 real photos are`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function show(points) {
  const curve = JSON.parse(points.dataset.curve);
  const input = points.querySelector("input");
  const i = Number(input.value);
  const p = curve.p_fake[i];
  const at = p < 0.01 ? "<1 %" : p > 0.99 ? ">99 %" : `${Math.round(100 * p)} %`;
  const [falsePositives, truePositives] = [curve.photographs_flagged[i], curve.fakes_caught[i]];
  const own = i === curve.shipped ? " This is the model's own threshold." : "";
  const text = `From ${at} on: false positive rate ${percent(falsePositives)} `
    + `(${oneIn(falsePositives)} called AI-generated), true positive rate ${percent(truePositives)} `
    + `(so are ${Math.round(100 * truePositives)} of 100 fakes).${own}`;
  points.querySelector(".consequence").textContent = text;
  input.setAttribute("aria-valuetext", text);
}
const all = () => element.querySelectorAll(".points");
element.addEventListener("input", ({ target }) => target.matches(".points input") && show(target.closest(".points")));
element.addEventListener("click", ({ target }) => {
  if (!target.matches(".shipped")) return;
  const points = target.closest(".points");
  points.querySelector("input").value = JSON.parse(points.dataset.curve).shipped;
  show(points);
});
all().forEach(show);
