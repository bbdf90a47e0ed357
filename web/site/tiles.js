// A large picture, shown to a detector that sees only faces of moderate size: first the whole picture,
// shrunk, and then, where that makes faces too small, overlapping parts of it that are shrunk less.
// The steps and the numbers are those of fakeface/faces/tiles.py.
import { suppress } from "./boxes.js";
import { crop, round, shrink } from "./pixels.js";

// Every face once, as { box, score } in pixels of the picture. `look` finds those of one that has no
// side longer than how.side, and faces from `sees` pixels on; `how` is facts.tiles.
export async function lookEverywhere(image, look, sees, how) {
  const whole = factorTo(image, how.side);
  const part = Math.min(1, sees / how.min_face);
  const first = enlarge(await look(scale(image, whole)), whole);
  if (whole >= part) return first;
  const large = scale(image, part);
  const needed = Math.ceil(((how.spare * sees) / whole) * part);
  const overlap = Math.min(needed, large.width, large.height, Math.floor(how.side / 2));
  const more = [];
  for (const top of starts(large.height, overlap, how.side)) {
    for (const left of starts(large.width, overlap, how.side)) {
      const tile = cut(large, left, top, how.side);
      const found = (await look(tile)).map(({ box: [x, y, w, h], score }) => {
        return { box: [x + left, y + top, w, h], score };
      });
      more.push(...enlarge(found.filter(({ box }) => isWhole(box, left, top, tile, large, how.edge)), part));
    }
  }
  // An earlier look goes before a later one, whatever their scores.
  const order = new Map([...first, ...more].map((one, i) => [one, one.score + (i < first.length ? 2 : 0)]));
  return suppress([...first, ...more], how.same, "smaller", (one) => order.get(one));
}

// The height in pixels from which on `lookEverywhere` sees faces.
export function smallest(image, sees, how) {
  return Math.ceil(sees / Math.max(factorTo(image, how.side), Math.min(1, sees / how.min_face)));
}

const factorTo = (image, side) => Math.min(1, side / Math.max(image.width, image.height));

function scale(image, factor) {
  if (factor === 1) return image;
  const size = [image.width, image.height].map((side) => Math.max(1, round(side * factor)));
  return shrink(image, ...size);
}

function enlarge(found, factor) {
  return found.map(({ box, score }) => ({ box: box.map((number) => number / factor), score }));
}

function cut(image, left, top, side) {
  return crop(image, [left, top, Math.min(side, image.width - left), Math.min(side, image.height - top)]);
}

// Where parts of `side` pixels begin, evenly spread.
function starts(length, overlap, side) {
  const count = 1 + Math.ceil(Math.max(0, length - side) / (side - overlap));
  if (count === 1) return [0];
  return Array.from({ length: count }, (_, i) => round((i * (length - side)) / (count - 1)));
}

// False for what the cut of a part may have halved: another part shows it whole.
function isWhole([x, y, w, h], left, top, tile, large, edge) {
  const [right, bottom] = [left + tile.width, top + tile.height];
  return (
    (x > left + edge || left === 0) &&
    (y > top + edge || top === 0) &&
    (x + w < right - edge || right === large.width) &&
    (y + h < bottom - edge || bottom === large.height)
  );
}
