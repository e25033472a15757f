/* The timeline itself: lanes of segments, a time axis and curves of scores, with zoom, hints and keys.

Only what is visible is drawn, so that an hour with thousands of windows stays fluent. Everything that moves
with the video (playhead, chosen segment, hints) lies above the canvases and redraws none of them. */

import { NONE, counted, el, percent, show } from "./parts.js";
import { pointing } from "./pointing.js";
import { moment, runs, scoresAt, segmentAt } from "./timeline_answer.js";
import { drawAxis, drawCurves, drawLanes, drawOverview, themeOf } from "./timeline_draw.js";

const AXIS_PX = 26;
const CURVES_PX = 190;
const OVERVIEW_PX = 22;
const CLOSEST_S = 2;
const HINTS = 5;

/** What a segment is, in a line. */
export function described(segment, duration_s) {
  const [start, end] = [moment(segment.start_s, duration_s), moment(segment.end_s, duration_s)];
  return `${segment.label ?? NONE}, ${start} to ${end}, ${percent(segment.score)}`;
}

/** How high a lane is: the more there are, the lower. */
function laneHeight(num_lanes) {
  if (num_lanes === 1) return 48;
  if (num_lanes <= 10) return 30;
  return num_lanes <= 24 ? 24 : 18;
}

/**
 * The timeline of an answer.
 * @param {object} answer - of `answerOf`
 * @param {{isOn: (label: string|null) => boolean, onSeek: (time_s: number, segment: object|null) => void,
 *   onToggle: () => void, onZoom: (zoomed: boolean) => void}} options - `onSeek` is called when somebody
 *   clicks or presses Enter, `onToggle` when they want to play or pause, `onZoom` with whether less than all
 *   is visible
 * @returns {object} `element`; `plot`, which takes the keys; `redraw()` after `isOn` changed;
 *   `choose(segment)`; `setTime(s, jumped)` moves the playhead; `emphasise(label)`, undefined for all alike;
 *   `zoom(factor)`, `fit()`; `close()`
 */
export function chart(answer, { isOn, onSeek, onToggle, onZoom }) {
  const num_segments = answer.segments.length;
  const view = { from_s: 0, to_s: answer.span_s };
  const state = { time_s: 0, chosen: null, emphasis: undefined, width: 0, gutter: 0, laneTops: [], asked: 0 };
  const canvas = (name) => el("canvas", { class: `tl-canvas tl-${name}`, "aria-hidden": "true" });
  const [lanes, axis, curves, overview] = ["lanes", "axis", "curves", "overview"].map(canvas);
  const playhead = el("div", { class: "tl-playhead" });
  const hair = el("div", { class: "tl-hair", hidden: true });
  const ring = el("div", { class: "tl-ring", hidden: true });
  const tip = el("div", { class: "tl-tip", hidden: true });
  const frame = el("div", { class: "tl-window" });
  const nothing = el("p", { class: "tl-nothing", hidden: true });
  const plot = el("div", {
    class: "tl-plot", tabindex: "0", role: "slider", "aria-label": "Segments of the timeline",
    "aria-orientation": "horizontal",
  }, lanes, nothing, axis, curves, hair, ring, playhead);
  const map = el("div", { class: "tl-map", hidden: true, "aria-hidden": "true" }, overview, frame);
  const element = el("div", { class: "tl-chart" }, plot, map, tip);
  const theme = themeOf(element, () => redraw());

  const holds = (lane, segment) => segment && (lane.label === undefined || lane.label === segment.label);
  const rowOf = (segment) => state.laneTops.find(({ lane }) => holds(lane, segment));
  const shownLanes = () => answer.lanes.filter((lane) => lane.label === undefined || isOn(lane.label));
  const laneShows = (segment) => isOn(segment.label);
  const inner = () => Math.max(1, state.width - state.gutter);
  const toX = (time_s) => state.gutter + ((time_s - view.from_s) / (view.to_s - view.from_s)) * inner();
  const toTime = (x) => view.from_s + ((x - state.gutter) / inner()) * (view.to_s - view.from_s);
  const clamped = (time_s) => Math.max(0, Math.min(answer.span_s, time_s));
  const zoomed = () => view.to_s - view.from_s < answer.span_s - 1e-6;

  /* ---- drawing ---- */

  function layout() {
    state.width = Math.floor(element.clientWidth);
    const many = answer.independent;
    state.gutter = many ? Math.round(Math.min(170, Math.max(84, state.width * 0.2))) : 46;
    const found = answer.segments.length > 0;
    const shown = found ? shownLanes() : [];
    const height = laneHeight(shown.length);
    state.laneTops = shown.map((lane, index) => ({ lane, top: index * height, height }));
    const empty = shown.length === 0;
    nothing.hidden = !empty;
    nothing.textContent = found
      ? "All labels are switched off. Switch some on below."
      : "No label was found anywhere in this video. The curves show how near each of them came.";
    lanes.hidden = empty;
    return { shown, lanesHeight: shown.length * height };
  }

  function draw() {
    state.asked = 0;
    if (!element.isConnected || element.clientWidth === 0) return;
    const { shown, lanesHeight } = layout();
    const common = { answer, view, isOn, gutter: state.gutter, width: state.width, theme: theme.colours() };
    plot.style.setProperty("--gutter", `${state.gutter}px`);
    const { emphasis } = state;
    drawLanes(lanes, { ...common, lanes: shown, height: lanesHeight, shows: laneShows, emphasis });
    drawAxis(axis, { ...common, height: AXIS_PX });
    drawCurves(curves, { ...common, height: CURVES_PX, emphasis });
    map.hidden = !zoomed();
    if (!map.hidden) {
      drawOverview(overview, { ...common, gutter: 0, lanes: shown, height: OVERVIEW_PX, shows: laneShows });
      const share = (time_s) => (time_s / answer.span_s) * state.width;
      frame.style.setProperty("left", `${share(view.from_s)}px`);
      frame.style.setProperty("width", `${Math.max(6, share(view.to_s - view.from_s))}px`);
    }
    place();
    onZoom(zoomed());
  }

  function redraw() {
    state.asked ||= requestAnimationFrame(draw);
  }

  /** Puts the playhead and the ring where they belong; draws nothing. */
  function place() {
    const x = toX(state.time_s);
    playhead.hidden = x < state.gutter - 1 || x > state.width + 1;
    playhead.style.setProperty("transform", `translateX(${x}px)`);
    const at = rowOf(state.chosen);
    ring.hidden = !at;
    if (!at) return;
    const left = Math.max(toX(state.chosen.start_s), state.gutter);
    const right = Math.min(toX(state.chosen.end_s), state.width);
    ring.hidden = right < left;
    const wide = Math.max(right - left, 6);
    ring.style.setProperty("transform", `translate(${Math.min(left, state.width - wide)}px, ${at.top}px)`);
    ring.style.setProperty("width", `${wide}px`);
    ring.style.setProperty("height", `${at.height}px`);
  }

  /* ---- what is visible ---- */

  function look(from_s, to_s) {
    const least = Math.min(answer.span_s, CLOSEST_S);
    const length = Math.min(answer.span_s, Math.max(least, to_s - from_s));
    const middle = (from_s + to_s) / 2;
    view.from_s = Math.max(0, Math.min(answer.span_s - length, middle - length / 2));
    view.to_s = view.from_s + length;
    redraw();
  }
  function zoom(factor, at_s = null) {
    const length = view.to_s - view.from_s;
    const visible = state.time_s >= view.from_s && state.time_s <= view.to_s;
    const centre = at_s ?? (visible ? state.time_s : (view.from_s + view.to_s) / 2);
    const least = Math.min(answer.span_s, CLOSEST_S);
    const wanted = Math.min(answer.span_s, Math.max(least, length / factor));
    const share = (centre - view.from_s) / length;
    look(centre - share * wanted, centre + (1 - share) * wanted);
  }
  const pan = (by_s) => look(view.from_s + by_s, view.to_s + by_s);
  const fit = () => look(0, answer.span_s);
  function reveal(from_s, to_s = from_s) {
    const length = view.to_s - view.from_s;
    if (from_s >= view.from_s && to_s <= view.to_s) return;
    if (from_s >= view.from_s && from_s <= view.to_s && to_s - from_s > length) return;
    look(from_s - 0.1 * length, from_s + 0.9 * length);
  }

  function setTime(time_s, jumped = false) {
    const before = state.time_s;
    const [was, is] = [before, time_s].map((time) => time >= view.from_s && time <= view.to_s);
    state.time_s = clamped(time_s);
    if (zoomed() && !is && (was || jumped)) {  // who looks elsewhere is left alone
      unhint();
      reveal(state.time_s);
    }
    if (state.width) place();
  }

  /* ---- hints ---- */

  /** Shows lines above a place, or next to it, where they would hide the segments. */
  function hint(x, y, lines, aside = false) {
    tip.hidden = false;
    show(tip, lines);
    const [width, height] = [tip.offsetWidth, tip.offsetHeight];
    const wanted = aside ? x + (x + width + 14 > state.width ? -width - 14 : 14) : x - width / 2;
    const left = Math.max(0, Math.min(wanted, state.width - width));
    tip.style.setProperty("transform", `translate(${left}px, ${aside ? y : y - height - 10}px)`);
  }
  function swatch(label) {
    return el("span", { class: `tl-swatch tl-t${answer.marks.get(label).texture}`,
      style: { "--colour": answer.marks.get(label).colour } });
  }
  function hintOf(segment) {
    const [start, end] = [segment.start_s, segment.end_s].map((time) => moment(time, answer.duration_s));
    const length = (segment.end_s - segment.start_s).toFixed(1);
    return [el("p", { class: "tl-tip-head" }, swatch(segment.label), el("bdi", null, segment.label ?? NONE)),
      el("p", null, `${start} – ${end} (${length} s)`), el("p", null, `Score ${percent(segment.score)}`)];
  }
  function hintAt(time_s) {
    const best = scoresAt(answer, time_s, isOn);
    const rows = best.slice(0, HINTS).map(([label, score]) => el("p", { class: "tl-tip-row" }, swatch(label),
      el("bdi", null, label ?? NONE), el("span", { class: "tl-number" }, percent(score))));
    const more = best.length > HINTS && el("p", null, `and ${best.length - HINTS} more`);
    return [headOf(time_s), rows, more];
  }
  function headOf(time_s) {
    return el("p", { class: "tl-tip-head" }, moment(time_s, answer.duration_s));
  }
  /** The name of a lane, which may have been cut. */
  function nameAt(y) {
    const row = state.laneTops.find(({ top, height }) => y >= top && y < top + height);
    unhint();
    if (!row || row.lane.label === undefined) return;
    const name = el("bdi", null, row.lane.label ?? NONE);
    hint(0, row.top, [el("p", { class: "tl-tip-head" }, swatch(row.lane.label), name)]);
  }
  function unhint() {
    tip.hidden = hair.hidden = true;
  }
  function hover(x, y) {
    if (x < state.gutter && y < axis.offsetTop) return nameAt(y);
    if (x < state.gutter || x > state.width) return unhint();
    const time_s = clamped(toTime(x));
    hair.hidden = false;
    hair.style.setProperty("transform", `translateX(${x}px)`);
    const segment = y < axis.offsetTop ? segmentUnder(x, y) : null;
    if (segment) return hint(x, rowOf(segment).top, hintOf(segment));
    if (y < axis.offsetTop) return hint(x, 0, [headOf(time_s)]);
    return hint(x, curves.offsetTop + 6, hintAt(time_s), true);
  }

  /* ---- choosing segments ---- */

  function segmentUnder(x, y) {
    const row = state.laneTops.find(({ top, height }) => y >= top && y < top + height);
    if (!row || x < state.gutter) return null;
    // The column under the pointer may show a segment narrower than itself.
    const column = { from_s: toTime(Math.floor(x)), to_s: toTime(Math.floor(x) + 1) };
    const shown = runs(row.lane.segments, column, 1, laneShows)[0]?.segment;
    const exact = segmentAt(row.lane, toTime(x));
    return (exact && laneShows(exact) && exact.label !== null ? exact : shown) ?? null;
  }
  function choose(segment) {
    unhint();
    state.chosen = segment;
    if (segment) {
      reveal(segment.start_s, segment.end_s);
      const which = `Segment ${segment.index + 1} of ${num_segments}`;
      plot.setAttribute("aria-valuenow", String(segment.index + 1));
      plot.setAttribute("aria-valuetext", `${which}: ${described(segment, answer.duration_s)}`);
    }
    if (state.width) place();
  }
  function walk(step, lane) {
    const list = (lane ? lane.segments : answer.segments).filter(laneShows);
    if (!list.length) return;
    const at = state.chosen ? list.indexOf(state.chosen) : -1;
    choose(list[Math.max(0, Math.min(list.length - 1, at + step))]);
    peek();
  }
  function climb(step) {
    const rows = state.laneTops.filter(({ lane }) => lane.segments.length > 0);
    if (rows.length < 2) return walk(-step);
    const at = rows.findIndex(({ lane }) => holds(lane, state.chosen));
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + step))].lane.segments;
    const near = (segment) => Math.abs(segment.start_s - (state.chosen?.start_s ?? state.time_s));
    choose(next.reduce((one, other) => (near(other) < near(one) ? other : one)));
    return peek();
  }
  /** The hint of the chosen segment, for those who use keys. */
  function peek() {
    if (!state.chosen) return;
    const row = rowOf(state.chosen);
    const { start_s, end_s } = state.chosen;
    const middle = (Math.max(start_s, view.from_s) + Math.min(end_s, view.to_s)) / 2;
    if (row) hint(Math.max(state.gutter, Math.min(state.width, toX(middle))), row.top, hintOf(state.chosen));
  }

  function onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const lane = answer.independent && rowOf(state.chosen)?.lane;
    const keys = {
      ArrowRight: () => walk(1, lane), ArrowLeft: () => walk(-1, lane),
      ArrowDown: () => climb(1), ArrowUp: () => climb(-1),
      Home: () => walk(-Infinity, lane), End: () => walk(Infinity, lane),
      Enter: () => state.chosen && onSeek(state.chosen.start_s, state.chosen), " ": onToggle,
      "+": () => zoom(2), "=": () => zoom(2), "-": () => zoom(0.5), 0: fit, Escape: unhint,
    };
    const react = keys[event.key];
    if (!react) return;
    event.preventDefault();
    react();
  }
  function onFocus() {
    if (!plot.matches(":focus-visible")) return;
    if (!state.chosen) {
      const lane = state.laneTops.find((row) => row.lane.segments.length)?.lane;
      choose((lane && segmentAt(lane, state.time_s)) ?? answer.segments.find(laneShows) ?? null);
    }
    peek();
  }

  plot.addEventListener("keydown", onKey);
  plot.addEventListener("focus", onFocus);
  plot.addEventListener("blur", unhint);
  plot.setAttribute("aria-valuemin", String(Math.min(1, num_segments)));
  plot.setAttribute("aria-valuemax", String(num_segments));
  plot.setAttribute("aria-valuenow", String(Math.min(1, num_segments)));
  plot.setAttribute("aria-valuetext", counted(num_segments, "segment"));
  const centre = (x) => {
    const middle = (x / state.width) * answer.span_s;
    const half = (view.to_s - view.from_s) / 2;
    look(middle - half, middle + half);
  };
  const ends = [
    pointing(plot, {
      hover, leave: unhint,
      click: (x, y) => {
        if (x < state.gutter) return;
        const segment = y < axis.offsetTop ? segmentUnder(x, y) : null;
        if (segment) choose(segment);
        onSeek(segment ? segment.start_s : clamped(toTime(x)), segment);
      },
      drag: (by_px) => pan((-by_px / inner()) * (view.to_s - view.from_s)),
      zoom: (factor, x) => zoom(factor, toTime(x)),
    }),
    pointing(map, {
      click: (x) => centre(x), drag: (by_px) => pan((by_px / state.width) * answer.span_s),
    }),
  ];
  const sizes = new ResizeObserver(redraw);
  sizes.observe(element);

  return {
    element, plot, redraw, setTime, zoom, fit, choose,
    emphasise: (label) => {
      state.emphasis = label;
      redraw();
    },
    close: () => {
      sizes.disconnect();
      theme.close();
      cancelAnimationFrame(state.asked);
      ends.forEach((end) => end());
    },
  };
}
