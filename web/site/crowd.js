// Are the faces of one picture that look generated more than chance explains? The test and its numbers
// are those of fakeface/crowd.py: Benjamini and Hochberg, on how often a photograph scores so high.

// `scores` are { p, verdict } of all faces of one picture; those that chance explains become unsure.
// `alarms` are facts.alarms. Without a second face there is nothing to say, and the result is null.
export function judgeTogether(scores, alarms) {
  if (scores.length < 2) return null;
  const alone = scores.map(({ verdict }) => verdict === "fake");
  const rates = scores.map(({ p }) => rateOf(p, alarms));
  // A high score that did not survive the re-encoding speaks for nothing.
  const together = adjust(rates.map((rate, i) => (alone[i] ? rate : 1)));
  const limit = rateOf(alarms.fake_above, alarms);
  let stays = false;
  scores.forEach((score, i) => {
    if (!alone[i]) return;
    if (together[i] <= limit) stays = true;
    else Object.assign(score, { verdict: "unsure", byChance: true });
  });
  const picture = scoreOf(Math.min(...adjust(rates)), alarms);
  const p = stays ? Math.max(picture, alarms.fake_above) : Math.min(picture, alarms.below);
  return {
    faces: scores.length,
    generated: alone.filter(Boolean).length,
    expected: shareOf(alarms.fake_above, alarms) * scores.length,
    p: Math.min(p, Math.max(...scores.map((score) => score.p))),
  };
}

// The share of photographs with such a score or a higher one.
function shareOf(p, { p_fake, shares }) {
  const place = p_fake.findLastIndex((least) => least <= p);
  return place < 0 ? 1 : shares[place];
}

// The same, the photograph in question being one of them.
function rateOf(p, alarms) {
  return withOneMore(shareOf(p, alarms), alarms);
}

const withOneMore = (share, { count }) => (share * count + 1) / (count + 1);

// The score that such a share of photographs reaches: between the measured ones, on a straight line.
function scoreOf(rate, alarms) {
  const points = new Map(); // of equal shares the lowest score counts
  alarms.shares.forEach((share, i) => {
    if (!points.has(share)) points.set(share, alarms.p_fake[i]);
  });
  const line = [...points].reverse().map(([share, p]) => [withOneMore(share, alarms), p]);
  const above = line.findIndex(([at]) => at >= rate);
  if (above === 0) return line[0][1];
  if (above < 0) return line.at(-1)[1];
  const [[x0, y0], [x1, y1]] = [line[above - 1], line[above]];
  return y0 + ((rate - x0) / (x1 - x0)) * (y1 - y0);
}

// Rates adjusted for how many there are, in the same order.
function adjust(rates) {
  const order = rates.map((_, i) => i).sort((a, b) => rates[b] - rates[a]);
  const out = [];
  let least = 1;
  order.forEach((i, rank) => {
    least = Math.min(least, (rates[i] * rates.length) / (rates.length - rank));
    out[i] = least;
  });
  return out;
}
