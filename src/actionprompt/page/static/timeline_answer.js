/* A timeline as it is drawn: segments in lanes, scores as arrays, seconds and marks of labels. */

import { COLOURS, mark } from "./parts.js";

const TEXTURES = 3;
const OTHERS = COLOURS.length * TEXTURES;
const LEAST_S = 0.04;
const TOPS = [0.1, 0.2, 0.5];

/**
 * Reads result.json of a timeline.
 * @param {object} result
 * @param {boolean} independent - whether labels were scored each by itself: a lane for each
 * @returns {object} `span_s` (never 0), `segments` (in the order of time, with `index`), `labels` (most
 *   seconds first; null, none of these, is last), `lanes`, `times` (centres of windows), `scores`, `seconds`
 *   and `marks` by label, `top(isOn)` (where the axis of the scores ends)
 */
export function answerOf(result, independent) {
  const segments = [...result.segments]
    .sort((one, other) => one.start_s - other.start_s || one.end_s - other.end_s)
    .map((segment, index) => ({ ...segment, index, end_s: result.duration_s > 0 ? segment.end_s : LEAST_S }));
  const seconds = secondsOf(segments);
  const scores = scoresOf(result);
  const labels = ranked(result.labels, seconds, scores);
  if (seconds.has(null) || scores.has(null)) labels.push(null);
  const peaks = new Map([...scores].map(([label, list]) => [label, highest(list)]));
  const ends = [...segments, ...result.windows].map((part) => part.end_s);
  return {
    independent, segments, seconds, scores, labels,
    duration_s: result.duration_s,
    span_s: Math.max(LEAST_S, result.duration_s, highest(ends)),
    times: Float64Array.from(result.windows, (window) => (window.start_s + window.end_s) / 2),
    marks: marksOf(result.labels, labels),
    top: (isOn) => {
      const peak = Math.max(0, ...[...peaks].filter(([label]) => isOn(label)).map(([, most]) => most));
      return TOPS.find((top) => peak <= 0.95 * top) ?? 1;
    },
    lanes: independent
      ? labels.filter((label) => label !== null || seconds.has(null))
        .map((label) => ({ label, segments: segments.filter((segment) => segment.label === label) }))
      : [{ label: undefined, segments }],
  };
}

/** Of a list that may be too long to be arguments. */
function highest(list) {
  return list.reduce((most, x) => Math.max(most, x), 0);
}

function secondsOf(segments) {
  const seconds = new Map();
  for (const { label, start_s, end_s } of segments) {
    seconds.set(label, (seconds.get(label) ?? 0) + end_s - start_s);
  }
  return seconds;
}

function scoresOf(result) {
  const scores = new Map();
  result.labels.forEach((label, at) => {
    scores.set(label, Float32Array.from(result.windows, (window) => window.scores[at]));
  });
  if (result.windows.some((window) => typeof window.none === "number")) {
    scores.set(null, Float32Array.from(result.windows, (window) => window.none ?? 0));
  }
  return scores;
}

function ranked(labels, seconds, scores) {
  const time = (label) => seconds.get(label) ?? -1;
  const best = new Map(labels.map((label) => [label, highest(scores.get(label))]));
  return [...labels].sort((one, other) => time(other) - time(one) || best.get(other) - best.get(one));
}

/** As in images and films: the same in every video where labels are few, else those with the most time. */
function marksOf(asked, byTime) {
  const order = asked.length <= COLOURS.length ? asked : byTime.filter((label) => label !== null);
  const marks = new Map(order.map((label, index) => [label, mark(Math.min(index, OTHERS))]));
  return marks.set(null, mark(null));
}

/** A time to a tenth of a second within a video of this length: "12.3 s", "2:05.3", "1:02:05.3". */
export function moment(time_s, duration_s) {
  if (duration_s < 60) return `${time_s.toFixed(1)} s`;
  const tenths = Math.round(10 * time_s);
  const minutes = Math.floor(tenths / 600);
  const seconds = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  if (duration_s < 3600) return `${minutes}:${seconds}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${seconds}`;
}

/** The first position at which `test` holds, in a list where it holds from there on. */
export function firstWhere(list, test) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (test(list[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The segment of a lane at a time; undefined in a gap. */
export function segmentAt(lane, time_s) {
  const { segments } = lane;
  const found = segments[firstWhere(segments, (segment) => segment.start_s > time_s) - 1];
  if (!found) return undefined;
  const last = found === segments[segments.length - 1];
  return time_s < found.end_s || (last && time_s <= found.end_s + LEAST_S) ? found : undefined;
}

/** The scores at a time, highest first: [label, score]. */
export function scoresAt(answer, time_s, isOn) {
  const { times } = answer;
  if (!times.length) return [];
  const after = firstWhere(times, (time) => time > time_s);
  const nearest = after === 0 || (after < times.length && times[after] - time_s < time_s - times[after - 1])
    ? after : after - 1;
  return [...answer.scores]
    .filter(([label]) => isOn(label))
    .map(([label, scores]) => [label, scores[nearest]])
    .sort((one, other) => other[1] - one[1]);
}

/**
 * What each column of a strip shows, as runs of columns. A column shows the label with the most of its time,
 * and none of these only where there is no label, so that no event is too short to be seen.
 * @param {object[]} segments - of a lane
 * @param {{from_s: number, to_s: number}} view
 * @param {number} width - columns
 * @param {(segment: object) => boolean} shown
 * @returns {{from: number, to: number, segment: object}[]} from column `from` to before column `to`
 */
export function runs(segments, view, width, shown = () => true) {
  const scale = width / (view.to_s - view.from_s);
  const column = (time_s) => Math.max(0, Math.min(width, (time_s - view.from_s) * scale));
  const columns = new Array(width).fill(null);
  const shared = new Map();
  const share = (at, segment, part) => {
    if (at >= width) at = width - 1;
    if (!shared.has(at)) shared.set(at, new Map());
    const parts = shared.get(at);
    const weight = segment.label === null ? 1e-9 : 1;
    parts.set(segment, (parts.get(segment) ?? 0) + weight * Math.max(part, 1e-9));
  };
  let at = firstWhere(segments, (segment) => segment.end_s >= view.from_s);
  for (; at < segments.length && segments[at].start_s <= view.to_s; at++) {
    const segment = segments[at];
    if (!shown(segment)) continue;
    const [start, end] = [column(segment.start_s), column(segment.end_s)];
    const [first, last] = [Math.ceil(start), Math.floor(end)];
    for (let inner = first; inner < last; inner++) columns[inner] = segment;
    if (start < first) share(first - 1, segment, Math.min(end, first) - start);
    if (end > last && last >= first) share(last, segment, end - last);
    if (start === end && segment.end_s - segment.start_s <= 0) share(first, segment, 0);
  }
  for (const [where, parts] of shared) columns[where] = most(parts);
  return joined(columns);
}

function most(parts) {
  const byLabel = new Map();
  for (const [segment, part] of parts) {
    const before = byLabel.get(segment.label);
    byLabel.set(segment.label, { segment: before?.segment ?? segment, part: (before?.part ?? 0) + part });
  }
  return [...byLabel.values()].reduce((one, other) => (other.part > one.part ? other : one)).segment;
}

function joined(columns) {
  const found = [];
  let from = 0;
  for (let at = 1; at <= columns.length; at++) {
    if (at < columns.length && columns[at] === columns[from]) continue;
    if (columns[from]) found.push({ from, to: at, segment: columns[from] });
    from = at;
  }
  return found;
}
