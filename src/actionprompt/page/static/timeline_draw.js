/* Draws timelines on canvases: lanes of segments, axis, curves of scores, overview. */

import { firstWhere, runs } from "./timeline_answer.js";
import { NONE, clock } from "./parts.js";

const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];
const TICK_PX = 78;
const TEXT_PX = 12;
const NARROW_PX = 34;
const PAD_PX = 7;
const DASHES = [[], [7, 3], [2, 3]];
/** Of curves that are drawn as smooth lines; more would stutter, and are set pixel by pixel. */
const MOST_POINTS = 12000;

/**
 * The colours of the page as canvases need them, kept until the page changes between dark and light.
 * @param {HTMLElement} element - where the custom properties are read
 * @param {() => void} onChange
 */
export function themeOf(element, onChange) {
  let known = null;
  const forget = () => {
    known = null;
    onChange();
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const attributes = new MutationObserver(forget);
  dark.addEventListener("change", forget);
  attributes.observe(document.documentElement, { attributeFilter: ["class", "data-theme"] });
  const read = () => {
    const style = getComputedStyle(element);
    const colour = (name) => style.getPropertyValue(name).trim();
    return {
      font: style.fontFamily, ink: colour("--tl-ink"), faint: colour("--tl-faint"), line: colour("--tl-line"),
      surface: colour("--tl-surface"), lane: colour("--tl-lane"), none: colour("--tl-none"),
      noneInk: colour("--tl-none-ink"), others: colour("--tl-others"), patterns: new Map(), lines: new Map(),
    };
  };
  return {
    colours: () => (known ??= read()),
    close: () => {
      dark.removeEventListener("change", forget);
      attributes.disconnect();
    },
  };
}

/** Makes a canvas as large as it is shown, in the pixels of the screen, and empties it. */
function prepared(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  canvas.style.setProperty("width", `${width}px`);
  canvas.style.setProperty("height", `${height}px`);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.direction = "ltr";
  return pen;
}

/** What a segment of a label is filled with: a colour, or a pattern of it. */
function fillOf(pen, label, marks, theme) {
  if (label === null) return theme.none;
  if (!theme.patterns.has(label)) {
    const { colour, texture } = marks.get(label);
    theme.patterns.set(label, texture === 0 ? shade(colour, theme) : pattern(pen, colour, texture));
  }
  return theme.patterns.get(label);
}

function shade(colour, theme) {
  return colour === "#505050" ? theme.others : colour;
}

function pattern(pen, colour, texture) {
  const size = 5;
  const tile = document.createElement("canvas");
  tile.width = tile.height = 2 * size;
  const brush = tile.getContext("2d");
  brush.fillStyle = colour;
  brush.fillRect(0, 0, 2 * size, 2 * size);
  brush.fillStyle = "rgb(0 0 0 / 40%)";
  for (let row = 0; row < 2 * size; row++) {
    for (let column = 0; column < 2 * size; column++) {
      const striped = texture === 1 && Math.floor((row + column) / size) % 2 === 0;
      const dotted = texture === 2 && row < size && column < size;
      if (striped || dotted) brush.fillRect(column, row, 1, 1);
    }
  }
  return pen.createPattern(tile, "repeat");
}

/** A text that is not longer than this, with an ellipsis where it was cut. */
function fitted(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  const letters = [...text];
  const most = firstWhere(letters.map((_, index) => index + 1), (count) =>
    pen.measureText(`${letters.slice(0, count).join("")}…`).width > width);
  return most > 0 ? `${letters.slice(0, most).join("")}…` : "";
}

function withText(pen, theme, size = TEXT_PX, weight = 400) {
  pen.font = `${weight} ${size}px ${theme.font}`;
  pen.textBaseline = "middle";
  pen.textAlign = "left";
}

/** The segments, lane by lane. */
export function drawLanes(canvas, { answer, view, gutter, width, height, theme, lanes, shows, emphasis }) {
  const pen = prepared(canvas, width, height);
  const each = lanes.length ? height / lanes.length : 0;
  lanes.forEach((lane, index) => {
    const top = index * each;
    const gap = lanes.length > 1 ? Math.max(1, Math.round(each * 0.1)) : 0;
    pen.fillStyle = theme.lane;
    pen.fillRect(gutter, top + gap, width - gutter, each - 2 * gap);
    const single = lane.label === undefined;
    pen.globalAlpha = !single && emphasis !== undefined && lane.label !== emphasis ? 0.35 : 1;
    if (!single) nameLane(pen, lane.label, { top, each, gutter, theme });
    const at = { left: gutter, top: top + gap, width: width - gutter, height: each - 2 * gap };
    const found = runs(lane.segments, view, Math.round(width - gutter), shows);
    paint(pen, found, at, { answer, theme, emphasis, named: single });
    pen.globalAlpha = 1;
  });
}

function nameLane(pen, label, { top, each, gutter, theme }) {
  withText(pen, theme, each >= 22 ? TEXT_PX : 11);
  pen.fillStyle = label === null ? theme.faint : theme.ink;
  pen.fillText(fitted(pen, label ?? NONE, gutter - PAD_PX), 0, top + each / 2 + 0.5);
}

function paint(pen, found, at, { answer, theme, emphasis, named }) {
  const alpha = pen.globalAlpha;
  for (const { from, to, segment } of found) {
    const wide = to - from;
    const seam = wide > 3 && from > 0 ? 1 : 0;  // neighbours of one colour are told apart
    const faded = emphasis !== undefined && segment.label !== emphasis;
    pen.globalAlpha = faded ? Math.min(alpha, 0.25) : alpha;
    pen.fillStyle = fillOf(pen, segment.label, answer.marks, theme);
    pen.fillRect(at.left + from + seam, at.top, wide - seam, at.height);
    if (named && wide >= NARROW_PX) nameSegment(pen, segment, { ...at, from, wide }, answer, theme);
  }
  pen.globalAlpha = alpha;
}

function nameSegment(pen, segment, { left, top, height, from, wide }, answer, theme) {
  const { label } = segment;
  const { colour, ink, texture } = answer.marks.get(label);
  withText(pen, theme, height >= 20 ? TEXT_PX : 11, label === null ? 400 : 600);
  const text = fitted(pen, label ?? NONE, wide - 2 * PAD_PX);
  if (!text || text === "…") return;
  const start = left + from + PAD_PX;
  if (texture > 0) {  // a plate, or stripes would run through the letters
    pen.fillStyle = colour;
    const [plate, room] = [pen.measureText(text).width + 8, Math.min(height, 18)];
    pen.fillRect(start - 4, top + (height - room) / 2, plate, room);
  }
  pen.fillStyle = label === null ? theme.noneInk : colour === "#505050" ? "#ffffff" : ink;
  pen.fillText(text, start, top + height / 2 + 0.5);
}

/** Times under the lanes, as dense as they are readable. */
export function drawAxis(canvas, { answer, view, gutter, width, height, theme }) {
  const pen = prepared(canvas, width, height);
  withText(pen, theme, 11);
  for (const { x, text } of ticks(answer, view, gutter, width)) {
    pen.fillStyle = theme.line;
    pen.fillRect(Math.round(x), 0, 1, 6);
    pen.fillStyle = theme.faint;
    const half = pen.measureText(text).width / 2;
    const left = Math.max(gutter - half, Math.min(x - half, width - 2 * half));
    pen.fillText(text, left, height / 2 + 3);
  }
}

function ticks(answer, view, gutter, width) {
  const length = view.to_s - view.from_s;
  const room = Math.max(1, (width - gutter) / TICK_PX);
  const step = STEPS_S.find((candidate) => length / candidate <= room) ?? STEPS_S[STEPS_S.length - 1];
  const found = [];
  for (let count = Math.ceil(view.from_s / step - 1e-9); count * step <= view.to_s + 1e-9; count++) {
    const time_s = count * step;
    const x = gutter + ((time_s - view.from_s) / length) * (width - gutter);
    const fine = answer.duration_s >= 60 && step < 1 ? `.${Math.round(10 * time_s) % 10}` : "";
    const whole = answer.duration_s < 60 && step >= 1 ? `${Math.round(time_s)} s` : null;
    const coarse_s = fine ? Math.floor(time_s + 1e-6) : time_s;
    found.push({ x, text: whole ?? clock(coarse_s, answer.duration_s) + fine });
  }
  return found;
}

/** The scores over time, a curve for each label that is on. */
export function drawCurves(canvas, { answer, view, gutter, width, height, theme, isOn, emphasis }) {
  const pen = prepared(canvas, width, height);
  const area = { left: gutter, right: width, top: 10, bottom: height - 10, most: answer.top(isOn) };
  grid(pen, area, theme, ticks(answer, view, gutter, width));
  const shown = [...answer.labels].reverse().filter((label) => answer.scores.has(label) && isOn(label));
  pen.save();
  pen.beginPath();
  pen.rect(gutter, 0, width - gutter, height);
  pen.clip();
  pen.lineJoin = "round";
  const [first, last] = visible(answer.times, view);
  const points = Math.min(last - first + 1, 2 * (width - gutter));
  const few = shown.length <= 12;
  const others = shown.filter((label) => label !== emphasis);
  const common = { answer, view, theme, emphasis };
  if (points * others.length > MOST_POINTS) dense(pen, others, area, { ...common, width, height });
  else for (const label of others) curve(pen, label, area, { ...common, few });
  if (others.length < shown.length) curve(pen, emphasis, area, { ...common, few: true });
  pen.restore();
}

function grid(pen, { left, right, top, bottom, most }, theme, marks) {
  withText(pen, theme, 11);
  pen.textAlign = "right";
  for (const share of [0, 0.5, 1]) {
    const y = Math.round(bottom - share * (bottom - top));
    pen.fillStyle = theme.line;
    pen.fillRect(left, y, right - left, 1);
    pen.fillStyle = theme.faint;
    pen.fillText(`${+(100 * most * share).toFixed(1)}%`, left - PAD_PX, y);
  }
  pen.fillStyle = theme.line;
  pen.globalAlpha = 0.5;
  for (const { x } of marks) pen.fillRect(Math.round(x), top, 1, bottom - top);
  pen.globalAlpha = 1;
}

function visible(times, view) {
  const first = Math.max(0, firstWhere(times, (time) => time >= view.from_s) - 1);
  return [first, Math.min(times.length - 1, firstWhere(times, (time) => time > view.to_s))];
}

function strokeOf(known, theme) {
  return known === null ? theme.faint : lineOf(shade(known.colour, theme), theme);
}

/** Many curves, column by column: each covers what its line does between the edges of a column. */
function dense(pen, labels, area, { answer, view, theme, emphasis, width, height }) {
  const { left, right, top, bottom, most } = area;
  const ratio = window.devicePixelRatio || 1;
  const [columns, rows] = [Math.round((right - left) * ratio), Math.round(height * ratio)];
  if (columns < 1) return;
  const image = new ImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const { times } = answer;
  const [start, step_s] = [Math.max(0, visible(times, view)[0]), (view.to_s - view.from_s) / columns];
  const [low, high] = [bottom * ratio, (bottom - top) * ratio];
  const half = Math.max(0.5, 0.6 * ratio);
  for (const label of labels) {
    const scores = answer.scores.get(label);
    const stroke = strokeOf(label === null ? null : answer.marks.get(label), theme);
    const colour = packed(stroke, emphasis === undefined ? 225 : 40);
    const y = (score) => low - Math.max(0, Math.min(1, score / most)) * high;
    let next = start;  // the first window after the column's left edge
    const at = (time_s) => {
      while (next < times.length && times[next] <= time_s) next++;
      if (next === 0) return y(scores[0]);
      if (next === times.length) return y(scores[next - 1]);
      const share = (time_s - times[next - 1]) / (times[next] - times[next - 1]);
      return y(scores[next - 1] + share * (scores[next] - scores[next - 1]));
    };
    let before = at(view.from_s);
    for (let column = 0; column < columns; column++) {
      const edge_s = view.from_s + (column + 1) * step_s;
      let [above, below] = [before, before];
      for (let inner = next; inner < times.length && times[inner] <= edge_s; inner++) {
        const here = y(scores[inner]);
        if (here < above) above = here;
        if (here > below) below = here;
      }
      before = at(edge_s);
      const from = Math.max(0, Math.round(Math.min(above, before) - half));
      const to = Math.min(rows, Math.round(Math.max(below, before) + half));
      for (let row = from; row < to; row++) pixels[row * columns + column] = colour;
    }
  }
  const sheet = new OffscreenCanvas(columns, rows);
  sheet.getContext("2d").putImageData(image, 0, 0);
  pen.drawImage(sheet, left, 0, width - left, height);
}

/** A colour and its opacity (0 to 255) as one number, as pixels are kept. */
function packed(colour, opacity) {
  const [red, green, blue] = rgb(colour);
  return ((opacity << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

function curve(pen, label, area, { answer, view, theme, emphasis, few }) {
  const { texture } = answer.marks.get(label);
  const chosen = emphasis === label;
  pen.globalAlpha = emphasis === undefined || chosen ? 1 : 0.15;
  pen.strokeStyle = strokeOf(label === null ? null : answer.marks.get(label), theme);
  pen.lineWidth = chosen ? 3 : few ? 1.75 : 1.25;
  const dashes = few ? DASHES[texture] : [];  // dashes of many curves would be slow
  pen.setLineDash(label === null ? [3, 4] : dashes);
  pen.beginPath();
  trace(pen, answer.times, answer.scores.get(label), area, view);
  pen.stroke();
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

/** A line through the visible scores. Where a column has several, it covers them from low to high. */
function trace(pen, times, scores, { left, right, top, bottom, most }, view) {
  if (!times.length) return;
  const scale = (right - left) / (view.to_s - view.from_s);
  const toX = (at) => left + (times[at] - view.from_s) * scale;
  const toY = (score) => bottom - Math.max(0, Math.min(1, score / most)) * (bottom - top);
  const [first, last] = visible(times, view);
  if (first === 0) pen.moveTo(Math.min(left, toX(0)), toY(scores[0]));
  else pen.moveTo(toX(first), toY(scores[first]));
  for (let at = first; at <= last; ) {
    const column = Math.floor(toX(at));
    let next = at + 1;
    let [low, high] = [scores[at], scores[at]];
    for (; next <= last && toX(next) < column + 1; next++) {
      if (scores[next] < low) low = scores[next];
      if (scores[next] > high) high = scores[next];
    }
    if (next === at + 1) {
      pen.lineTo(toX(at), toY(scores[at]));
    } else if (toY(low) - toY(high) < 0.75) {
      pen.lineTo(column + 0.5, toY(scores[at]));
    } else {
      pen.lineTo(column + 0.25, toY(low));
      pen.lineTo(column + 0.75, toY(high));
    }
    at = next;
  }
  if (last === times.length - 1) pen.lineTo(Math.max(right, toX(last)), toY(scores[last]));
}

/** A colour of a label as a thin line: darker or lighter where it would hardly be seen on the page. */
function lineOf(colour, theme) {
  if (!theme.lines.has(colour)) {
    const surface = brightness(theme.surface);
    let parts = rgb(colour);
    for (let turn = 0; turn < 12 && contrast(brightness(parts), surface) < 2.6; turn++) {
      parts = parts.map((part) => (surface > 0.4 ? part * 0.92 : part + (255 - part) * 0.1));
    }
    theme.lines.set(colour, `rgb(${parts.map(Math.round).join(" ")})`);
  }
  return theme.lines.get(colour);
}

const parsed = new Map();

/** Red, green and blue of a colour in any notation. */
function rgb(colour) {
  if (!parsed.has(colour)) {
    const pen = new OffscreenCanvas(1, 1).getContext("2d");
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    parsed.set(colour, [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)]);
  }
  return parsed.get(colour);
}

function brightness(colour) {
  const linear = (typeof colour === "string" ? rgb(colour) : colour)
    .map((part) => (part <= 10 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

function contrast(one, other) {
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}

/** All of the video in a low strip, to show which part of it is visible. */
export function drawOverview(canvas, { answer, width, height, theme, lanes, shows }) {
  const pen = prepared(canvas, width, height);
  const all = { from_s: 0, to_s: answer.span_s };
  pen.fillStyle = theme.lane;
  pen.fillRect(0, 0, width, height);
  const each = lanes.length ? height / lanes.length : 0;
  lanes.forEach((lane, index) => {
    const at = { left: 0, top: index * each, width, height: Math.max(1, each) };
    paint(pen, runs(lane.segments, all, Math.round(width), shows), at, { answer, theme, named: false });
  });
}
