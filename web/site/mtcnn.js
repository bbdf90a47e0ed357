// Pixels -> faces, by MTCNN (Zhang et al., 2016). The steps and the numbers are those of
// fakeface/faces/mtcnn.py: a first network proposes windows at many scales, and two more look again.
import { suppress } from "./boxes.js";
import { crop, round, shrink, toSquare } from "./pixels.js";
import { lookEverywhere, smallest } from "./tiles.js";

// `networks` are three functions that run ONNX on pictures, and `how` and `tiles` are those of facts.json.
export class Detector {
  constructor(networks, how, tiles) {
    this.networks = networks;
    this.how = how;
    this.tiles = tiles;
  }

  // Boxes in whole pixels of the picture, from left to right.
  async detect(image) {
    const found = await lookEverywhere(image, (small) => this.look(small), this.how.sees, this.tiles);
    const boxes = found.map(({ box }) => clip(box, image)).filter(([, , w, h]) => w > 0 && h > 0);
    return boxes.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  }

  smallest(image) {
    return smallest(image, this.how.sees, this.tiles);
  }

  isJudgeable([, , width, height]) {
    const { min_face, narrow } = this.tiles;
    return Math.min(width, height) >= min_face * narrow && height >= min_face;
  }

  async look(small) {
    const { passes, same, sides } = this.how;
    const [, second, third] = this.networks;
    let windows = squares(await this.propose(small));
    let found = await this.again(second, small, windows, sides[0], passes[1]);
    windows = squares(move(suppress(found, same)));
    found = await this.again(third, small, windows, sides[1], passes[2]);
    return suppress(move(found), same, "smaller");
  }

  // Windows that may be faces, at every scale.
  async propose(small) {
    const { window, stride, step, sees, passes, same, same_at_scale } = this.how;
    const found = [];
    const least = Math.min(small.width, small.height);
    for (let factor = window / sees; least * factor >= window; factor *= step) {
      const scaled = shrink(small, Math.ceil(small.width * factor), Math.ceil(small.height * factor));
      const [moves, chances] = await this.networks[0]([scaled]);
      const [, columns, rows] = chances.dims;
      const here = [];
      for (let x = 0; x < columns; x++) {
        for (let y = 0; y < rows; y++) {
          const at = x * rows + y;
          const score = chances.data[2 * at + 1];
          if (score < passes[0]) continue;
          const box = [(x * stride) / factor, (y * stride) / factor, window / factor, window / factor];
          here.push({ box, score, moves: moves.data.subarray(4 * at, 4 * at + 4) });
        }
      }
      found.push(...suppress(here, same_at_scale));
    }
    return move(suppress(found, same));
  }

  // Those of the windows that a network lets pass.
  async again(network, small, windows, side, least) {
    const found = [];
    for (let first = 0; first < windows.length; first += this.how.batch) {
      const some = windows.slice(first, first + this.how.batch);
      const [moves, chances] = await network(some.map((box) => toSquare(crop(small, box), side)));
      some.forEach((box, i) => {
        const score = chances.data[2 * i + 1];
        if (score > least) found.push({ box, score, moves: moves.data.subarray(4 * i, 4 * i + 4) });
      });
    }
    return found;
  }
}

// What a network is fed: float32 (N, across, down, 3), for the networks were trained on pictures with
// their axes exchanged.
export function toInput(pictures, { centre, spread }) {
  const { width, height } = pictures[0];
  const out = new Float32Array(pictures.length * width * height * 3);
  let to = 0;
  for (const { data } of pictures) {
    for (let x = 0; x < width; x++) {
      for (let y = 0; y < height; y++) {
        for (let channel = 0; channel < 3; channel++) {
          out[to++] = (data[(y * width + x) * 3 + channel] - centre) / spread;
        }
      }
    }
  }
  return { data: out, dims: [pictures.length, width, height, 3] };
}

// The windows with their left, top, right and bottom moved by shares of their sides.
function move(found) {
  return found.map(({ box: [x, y, w, h], score, moves: [left, top, right, bottom] }) => {
    const [x2, y2] = [x + left * w, y + top * h];
    return { box: [x2, y2, x + (1 + right) * w - x2, y + (1 + bottom) * h - y2], score };
  });
}

// Boxes as squares of their longer side, with the same centres, in whole pixels.
function squares(found) {
  return found.map(({ box: [x, y, w, h] }) => {
    const side = Math.max(w, h);
    const whole = Math.max(1, Math.trunc(side));
    return [Math.trunc(x + w / 2 - side / 2), Math.trunc(y + h / 2 - side / 2), whole, whole];
  });
}

function clip([x, y, w, h], image) {
  const [left, right] = [round(Math.max(0, x)), round(Math.min(image.width, x + w))];
  const [top, bottom] = [round(Math.max(0, y)), round(Math.min(image.height, y + h))];
  return [left, top, right - left, bottom - top];
}
