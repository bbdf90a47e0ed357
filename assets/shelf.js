// The threshold as a dial: what it would cost, read off the stored validation curve.
const oneIn = (share) =>
  share <= 0 ? "no real photo" : share < 0.4
    ? `1 real photo in ${Math.round(1 / share)}` : `${Math.round(100 * share)} of 100 real photos`;

function turn(dial) {
  const curve = JSON.parse(dial.dataset.curve);
  const input = dial.querySelector("input");
  const i = Number(input.value);
  const p = curve.p_fake[i];
  const at = p < 0.01 ? "<1 %" : p > 0.99 ? ">99 %" : `${Math.round(100 * p)} %`;
  const caught = Math.round(100 * curve.fakes_caught[i]);
  const own = i === curve.shipped ? " This is the model's own threshold." : "";
  const text = `From ${at}: flags ${oneIn(curve.photographs_flagged[i])}; catches ${caught} of 100 fakes.${own}`;
  dial.querySelector(".consequence").textContent = text;
  input.setAttribute("aria-valuetext", text);
}
const dials = () => element.querySelectorAll(".dial");
element.addEventListener("input", ({ target }) => target.matches(".dial input") && turn(target.closest(".dial")));
element.addEventListener("click", ({ target }) => {
  if (!target.matches(".shipped")) return;
  const dial = target.closest(".dial");
  dial.querySelector("input").value = JSON.parse(dial.dataset.curve).shipped;
  turn(dial);
});
dials().forEach(turn);
