// Boxes [x, y, width, height] with a score: which of them show the same face.

// Non-maximum suppression: of boxes that overlap by more than `most`, the one with the highest score
// stays. What two boxes share is divided by their union, or by the smaller one. Found are objects
// with `box` and `score`; those that stay come by falling score.
export function suppress(found, most, over = "union", score = (one) => one.score) {
  let left = [...found].sort((a, b) => score(b) - score(a)); // equal scores keep their order
  const kept = [];
  while (left.length) {
    const [best, ...others] = left;
    kept.push(best);
    left = others.filter((other) => overlap(best.box, other.box, over) <= most);
  }
  return kept;
}

function overlap([x, y, w, h], [x2, y2, w2, h2], over) {
  const across = Math.max(0, Math.min(x + w, x2 + w2) - Math.max(x, x2));
  const down = Math.max(0, Math.min(y + h, y2 + h2) - Math.max(y, y2));
  const shared = across * down;
  const whole = over === "smaller" ? Math.min(w * h, w2 * h2) : w * h + w2 * h2 - shared;
  return shared / Math.max(whole, 1e-9);
}
