// The engine, beside the page so that it stays responsive: a file comes, and an analysis goes back.
// Nothing here asks for an address but those of this folder.
import * as ort from "./vendor/ort.wasm.bundle.min.mjs";
import { Detector, toInput } from "./mtcnn.js";
import { Judge } from "./judge.js";
import { decode } from "./pixels.js";

ort.env.wasm.wasmPaths = { wasm: new URL("./vendor/ort-wasm-simd-threaded.wasm", import.meta.url).href };
// Threads share memory, which browsers allow only to pages that no other page can reach.
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;

// Weights of 8 bits become float32 when they are loaded, not each time that they are used.
const OPTIONS = { executionProviders: ["wasm"], extra: { session: { disable_quant_qdq: "1" } } };

const ready = load();
ready.catch(() => {}); // whoever waits for it is told

async function load() {
  const facts = await (await fetch("./facts.json")).json();
  const { networks, levels } = facts.mtcnn;
  const looks = [];
  for (const { file, outputs } of networks) {
    const run = await open(file, outputs);
    looks.push((pictures) => run(toInput(pictures, levels)));
  }
  const run = await open(facts.model.file, [facts.model.output]);
  const detector = new Detector(looks, facts.mtcnn, facts.tiles);
  const judge = new Judge(async (input) => (await run(input))[0].data, facts);
  return { facts, detector, judge };
}

// A network as a function from one input, { data, dims }, to some of its outputs.
async function open(file, outputs) {
  const session = await ort.InferenceSession.create(`./${file}`, OPTIONS);
  const [name] = session.inputNames;
  return async ({ data, dims }) => {
    const answer = await session.run({ [name]: new ort.Tensor("float32", data, dims) }, outputs);
    return outputs.map((output) => answer[output]);
  };
}

class Refusal extends Error {} // its message is a sentence for people

async function analyse(file) {
  const { facts, detector, judge } = await ready;
  const started = performance.now();
  const image = await read(file, facts);
  const decoded = performance.now();
  const isJudgeable = (box) => detector.isJudgeable(box);
  const boxes = await detector.detect(image);
  const able = boxes.filter(isJudgeable);
  const detected = performance.now();
  const { scores, crowd } = await judge.judge(image, able, isJudgeable);
  const judged = performance.now();
  return {
    width: image.width,
    height: image.height,
    faces: able.map((box, i) => ({ box, region: judge.region(image, box), ...scores[i] })),
    small: boxes.filter((box) => !isJudgeable(box)),
    crowd,
    smallest: detector.smallest(image),
    threads: ort.env.wasm.numThreads,
    ms: { decode: decoded - started, detect: detected - decoded, judge: judged - detected },
  };
}

async function read(file, { limits, words }) {
  if (file.size > limits.bytes) throw new Refusal(words.too_many_bytes);
  try {
    return await decode(file, limits.pixels);
  } catch (error) {
    throw new Refusal(error instanceof RangeError ? words.too_many_pixels : words.not_a_picture);
  }
}

async function answer({ ticket, file }) {
  try {
    self.postMessage({ ticket, analysis: await analyse(file) });
  } catch (error) {
    if (!(error instanceof Refusal)) console.error(error);
    self.postMessage({ ticket, message: error instanceof Refusal ? error.message : "" });
  }
}

let turn = Promise.resolve(); // a network runs once at a time
self.addEventListener("message", ({ data }) => {
  turn = turn.then(() => answer(data));
});
ready.then(
  () => self.postMessage({ ready: true }),
  () => self.postMessage({ ready: false }),
);
