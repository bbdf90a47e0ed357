// Files -> pixels, and pixels -> pixels of another size. A picture is { width, height, data } with
// data a Uint8Array of RGB, row by row. Canvases resize differently from browser to browser, so
// the two filters that the Python engine uses are computed here.

const BAND = 2_000_000; // pixels that are read from a canvas at a time

// To the nearest whole number, and from the middle to the even one, as Python rounds.
export function round(x) {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

// The pixels of a picture file, upright, in sRGB and on white; all that is the browser's doing. A
// RangeError says that there are more than `most` of them.
export async function decode(file, most = Infinity) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  try {
    if (bitmap.width * bitmap.height > most) throw new RangeError("too many pixels");
    return readPixels(bitmap);
  } finally {
    bitmap.close();
  }
}

// In bands, since phones have small limits for a canvas.
function readPixels(bitmap) {
  const { width, height } = bitmap;
  const data = new Uint8Array(width * height * 3);
  const step = Math.min(height, Math.max(1, Math.floor(BAND / width)));
  const pen = new OffscreenCanvas(width, step).getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "#fff";
  for (let top = 0; top < height; top += step) {
    const rows = Math.min(step, height - top);
    pen.fillRect(0, 0, width, rows);
    pen.drawImage(bitmap, 0, top, width, rows, 0, 0, width, rows);
    const rgba = pen.getImageData(0, 0, width, rows).data;
    for (let from = 0, to = top * width * 3; from < rgba.length; from += 4, to += 3) {
      data[to] = rgba[from];
      data[to + 1] = rgba[from + 1];
      data[to + 2] = rgba[from + 2];
    }
  }
  return { width, height, data };
}

// The pixels after a JPEG of this quality, 1 to 100, was made of them.
export async function reencode(image, quality) {
  const { width, height, data } = image;
  const canvas = new OffscreenCanvas(width, height);
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let from = 0, to = 0; from < data.length; from += 3, to += 4) {
    rgba[to] = data[from];
    rgba[to + 1] = data[from + 1];
    rgba[to + 2] = data[from + 2];
  }
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  return decode(await canvas.convertToBlob({ type: "image/jpeg", quality: quality / 100 }));
}

// The part of a picture at box [x, y, width, height]; black where the box leaves the picture.
export function crop(image, [x, y, width, height]) {
  const data = new Uint8Array(width * height * 3);
  const left = Math.max(0, x);
  const right = Math.min(image.width, x + width);
  for (let row = Math.max(0, y); row < Math.min(image.height, y + height) && right > left; row++) {
    const from = (row * image.width + left) * 3;
    const part = image.data.subarray(from, from + (right - left) * 3);
    data.set(part, ((row - y) * width + left - x) * 3);
  }
  return { width, height, data };
}

// Each new pixel as the mean of those that it covers (OpenCV's INTER_AREA). `part` is the box of the
// new picture that is wanted; without it, all of it.
export function shrink(image, width, height, part = [0, 0, width, height]) {
  if (width === image.width && height === image.height) return crop(image, part);
  const across = area(image.width, width, part[0], part[2]);
  const down = area(image.height, height, part[1], part[3]);
  return resample(image, across, down);
}

// A square picture brought to `side` pixels, as OpenCV's INTER_AREA does it where it enlarges, too.
export function toSquare(image, side) {
  if (image.width >= side) return shrink(image, side, side);
  const steps = between(image.width, side);
  return resample(image, steps, steps);
}

// Pillow's bicubic filter, which widens when it shrinks, in the same whole numbers.
export function bicubic(image, width, height) {
  if (width === image.width && height === image.height) return image;
  // One direction after the other, with whole levels between them, as Pillow does it.
  const tall = resample(image, cubic(image.width, width), same(image.height));
  return resample(tall, same(width), cubic(image.height, height));
}

// New columns and rows by the tables `across` and `down`. A row is brought to its new width when a new
// row needs it, and kept for the next one.
function resample(image, across, down) {
  const length = across.first.length * 3;
  const height = down.first.length;
  const data = new Uint8ClampedArray(length * height); // clips what a filter overshoots
  const sums = new Float64Array(length);
  const row = new Float64Array(length);
  let kept = -1;
  for (let to = 0; to < height; to++) {
    sums.fill(0);
    for (let i = down.start[to]; i < down.start[to + 1]; i++) {
      const y = down.first[to] + i - down.start[to];
      if (y !== kept) combine(image, y, across, row);
      kept = y;
      const weight = down.weights[i];
      for (let j = 0; j < length; j++) sums[j] += weight * row[j];
    }
    for (let j = 0; j < length; j++) data[to * length + j] = Math.floor(sums[j] + 0.5);
  }
  return { width: length / 3, height, data: new Uint8Array(data.buffer) };
}

// Row y of a picture at its new width, into `out`.
function combine({ width, data }, y, { first, start, weights }, out) {
  for (let x = 0; x < first.length; x++) {
    let from = (y * width + first[x]) * 3;
    let [red, green, blue] = [0, 0, 0];
    for (let i = start[x]; i < start[x + 1]; i++) {
      red += weights[i] * data[from++];
      green += weights[i] * data[from++];
      blue += weights[i] * data[from++];
    }
    out[3 * x] = red;
    out[3 * x + 1] = green;
    out[3 * x + 2] = blue;
  }
}

// A filter in one direction: new pixel i is made of the old ones from first[i] on, with the weights
// from start[i] to start[i + 1]. `make` gives [first, [weight, ...]] of a new pixel.
function table(count, make) {
  const rows = Array.from({ length: count }, (_, i) => make(i));
  const start = new Int32Array(count + 1);
  rows.forEach(([, weights], i) => (start[i + 1] = start[i] + weights.length));
  return {
    first: Int32Array.from(rows, ([first]) => first),
    start,
    weights: Float64Array.from(rows.flatMap(([, weights]) => weights)),
  };
}

const same = (count) => table(count, (i) => [i, [1]]);

// Weights of `count` new pixels from the one at `start` on, of `to` that are made of `from`.
function area(from, to, start, count) {
  const scale = from / to;
  return table(count, (i) => {
    const left = (start + i) * scale;
    const right = Math.min(left + scale, from);
    const weights = [];
    const first = Math.floor(left + 1e-3);
    for (let x = first; x < right - 1e-3; x++) {
      weights.push((Math.min(x + 1, right) - Math.max(x, left)) / (right - left));
    }
    return [first, weights];
  });
}

// Weights of `to` new pixels where there are fewer old ones.
function between(from, to) {
  return table(to, (i) => {
    const first = Math.min(Math.floor((i * from) / to), from - 1);
    const share = i + 1 - ((first + 1) * to) / from;
    if (share <= 0 || first === from - 1) return [first, [1]];
    return [first, [1 - (share % 1), share % 1]];
  });
}

// Pillow's bicubic filter; its weights have 22 bits behind the point.
function cubic(from, to) {
  const scale = from / to;
  const wide = Math.max(1, scale);
  const unit = 2 ** 22;
  return table(to, (i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * wide + 0.5));
    const end = Math.min(from, Math.trunc(centre + 2 * wide + 0.5));
    const weights = Array.from({ length: end - first }, (_, x) => keys((x + first - centre + 0.5) / wide));
    const total = weights.reduce((sum, weight) => sum + weight);
    return [first, weights.map((w) => Math.trunc((w / total) * unit + (w < 0 ? -0.5 : 0.5)) / unit)];
  });
}

// Keys' cubic kernel (1981) with a = -1/2.
function keys(x) {
  x = Math.abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}
