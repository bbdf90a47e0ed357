// Pixels and faces -> verdicts: cropping, the network, calibration, and the copies that are saved again.
// The steps and the numbers are those of fakeface: models/preprocess.py, models/calibrate.py,
// stability.py and analysis.py.
import { judgeTogether } from "./crowd.js";
import { bicubic, crop, reencode, round, shrink } from "./pixels.js";

// `network` runs ONNX on an input and gives logits; `facts` is facts.json.
export class Judge {
  constructor(network, facts) {
    this.network = network;
    this.facts = facts;
  }

  // One score for each box [x, y, width, height], and what they say together.
  async judge(image, boxes, isJudgeable) {
    const logits = await this.logits(image, boxes);
    const scores = logits.map((logit) => ({ ...this.read(logit), copies: [], alone: null }));
    for (const copy of this.facts.copies) await this.tryCopy(copy, image, boxes, scores, isJudgeable);
    for (const score of scores) settle(score);
    const crowd = judgeTogether(scores, this.facts.alarms);
    return { scores, crowd };
  }

  // One of the copies, for the faces whose verdict it may turn.
  async tryCopy(copy, image, boxes, scores, isJudgeable) {
    const picked = scores.filter((score) => mayTurn(score, copy));
    if (!picked.length) return;
    const some = picked.map((score) => boxes[scores.indexOf(score)]);
    const { small, moved, origin } = await this.save(image, some, copy);
    const large = moved.map((box, i) => [box, picked[i]]).filter(([box]) => isJudgeable(box));
    const logits = await this.logits(small, large.map(([box]) => box), origin);
    logits.forEach((logit, i) => large[i][1].copies.push({ name: copy.name, ...this.read(logit) }));
  }

  // The mean logit of each face and its mirror image. `image` may be a part of a larger picture, of
  // `origin` { x, y, width, height }, in whose pixels the boxes are.
  async logits(image, boxes, origin = { x: 0, y: 0, width: image.width, height: image.height }) {
    const { size, margin } = this.facts.preprocessing;
    const out = [];
    for (const box of boxes) {
      const [x, y, w, h] = faceRegion(box, origin.width, origin.height, margin);
      const square = crop(image, [x - origin.x, y - origin.y, w, h]);
      const both = await this.network(toTensor(bicubic(square, size, size), this.facts.preprocessing));
      out.push((both[0] + both[1]) / 2);
    }
    return out;
  }

  region(image, box) {
    return faceRegion(box, image.width, image.height, this.facts.preprocessing.margin);
  }

  read(logit) {
    const { offset, temperature, real_below, fake_above } = this.facts.calibration;
    const calibrated = (logit + offset) / temperature;
    const p = 1 / (1 + Math.exp(-calibrated));
    const verdict = p >= fake_above ? "fake" : p <= real_below ? "real" : "unsure";
    return { calibrated, p, verdict };
  }

  // What a model sees of the faces in a copy of the picture: only that part of it is made.
  async save(image, boxes, { quality, at_most, factor }) {
    const { width, height } = image;
    const least = Math.min(factor, at_most / Math.max(height, width));
    const whole = [width, height].map((side) => Math.max(1, round(side * least)));
    const moved = boxes.map((box) => scaleBox(box, whole[0] / width, whole[1] / height));
    const part = blocks(moved, ...whole, this.facts.preprocessing.margin, this.facts.block);
    const small = await reencode(shrink(image, ...whole, part), quality);
    return { small, moved, origin: { x: part[0], y: part[1], width: whole[0], height: whole[1] } };
  }
}

// The square around a face that a model sees, wholly inside the picture.
function faceRegion([x, y, w, h], width, height, margin) {
  const side = Math.max(1, Math.min(round(Math.max(w, h) * (1 + margin)), width, height));
  const left = Math.min(Math.max(0, round(x + w / 2 - side / 2)), width - side);
  const top = Math.min(Math.max(0, round(y + h / 2 - side / 2)), height - side);
  return [left, top, side, side];
}

// A square and its mirror image as float32 (2, 3, S, S), normalised.
function toTensor({ width, data }, { mean, std }) {
  const plane = width * width;
  const out = new Float32Array(2 * 3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < plane; i++) {
      const value = (data[3 * i + channel] / 255 - mean[channel]) / std[channel];
      const mirrored = i - (i % width) + width - 1 - (i % width);
      out[channel * plane + i] = value;
      out[(3 + channel) * plane + mirrored] = value;
    }
  }
  return { data: out, dims: [2, 3, width, width] };
}

// Whether a copy may turn the verdict to the other side.
function mayTurn({ calibrated, verdict }, { real_from, fake_up_to }) {
  if (verdict === "fake") return calibrated <= fake_up_to;
  return verdict === "real" && calibrated >= real_from;
}

// Unsure where a copy is on the other side; one that is merely unsure changes nothing.
function settle(score) {
  const other = { fake: "real", real: "fake" }[score.verdict];
  if (!score.copies.length) return;
  score.alone = score.verdict;
  if (score.copies.some(({ verdict }) => verdict === other)) score.verdict = "unsure";
}

function scaleBox([x, y, w, h], across, down) {
  const [left, top] = [round(x * across), round(y * down)];
  const [right, bottom] = [round((x + w) * across), round((y + h) * down)];
  return [left, top, Math.max(1, right - left), Math.max(1, bottom - top)];
}

// Whole JPEG squares around all that a model sees, and one square more, as a box in the picture.
function blocks(boxes, width, height, margin, block) {
  const seen = boxes.map((box) => faceRegion(box, width, height, margin));
  const before = (least) => Math.max(0, Math.floor(least / block) - 1) * block;
  const after = (most, side) => Math.min(side, (Math.ceil(most / block) + 1) * block);
  const left = before(Math.min(...seen.map(([x]) => x)));
  const top = before(Math.min(...seen.map(([, y]) => y)));
  const right = after(Math.max(...seen.map(([x, , w]) => x + w)), width);
  const bottom = after(Math.max(...seen.map(([, y, , h]) => y + h)), height);
  return [left, top, right - left, bottom - top];
}
