/* The result of a timeline: player, timeline, labels with their seconds, segments, downloads. */

import { announce, counted, el, icon, notes, percent, show, toggle, uid } from "./parts.js";
import { player } from "./player.js";
import { answerOf, moment, segmentAt } from "./timeline_answer.js";
import { chart, described } from "./timeline_chart.js";
import { downloads } from "./timeline_downloads.js";
import { legend } from "./timeline_legend.js";
import { labelled, segmentTable } from "./timeline_table.js";

/** Later than a start by less than a frame, so that the segment's first frame is shown, not one before. */
const AFTER_S = 0.001;
/** Somebody who goes back within this time of a start means the segment before. */
const AGAIN_S = 0.4;
const SPEEDS = [0.25, 0.5, 1, 1.5, 2, 4, 8];
const PLAY = "M8 5.5v13l10.5-6.5z";
const PAUSE = ["M8.5 6v12", "M15.5 6v12"];

function iconButton(name, react, ...paths) {
  return el("button", {
    type: "button", class: "button tl-icon", "aria-label": name, title: name, on: { click: react },
  }, icon(...paths));
}

function heading(result, job, answer) {
  const found = answer.segments.filter((segment) => segment.label !== null);
  const labels = new Set(found.map((segment) => segment.label)).size;
  const facts = [
    moment(answer.duration_s, answer.duration_s),
    found.length ? `${counted(found.length, "segment")} of ${counted(labels, "label")}` : "no label found",
    answer.times.length > 1 && `scored every ${job.request.hop_s ?? 0.5} s`,
  ].filter(Boolean);
  return el("div", { class: "tl-head" }, el("h2", { dir: "auto" }, result.name),
    el("p", { class: "hint" }, facts.join(" · ")));
}

function noVideo() {
  return el("div", { class: "player tl-lost" }, icon("M4 6.5h16v11H4z", "M4 4l16 16"),
    el("p", null, "The video is no longer on the server."),
    el("p", { class: "hint" }, "Its timeline is still here."));
}

/**
 * Shows a result.
 * @param {object} job - a Job of the kind timeline that is done
 * @param {object} result - its result.json
 * @param {object|null} video - null if it was deleted
 * @param {string|null} [said] - the warning that the page shows anyway
 * @returns {{element: HTMLElement, pause: () => void, close: () => void}}
 */
export function timelineResult(job, result, video, said) {
  const answer = answerOf(result, Boolean(job.request.independent));
  let time_s = 0;
  const labels = legend(answer, switched, (label) => drawn.emphasise(label));
  const { isOn } = labels;
  const files = downloads(job, video !== null);
  const screen = video ? player(video, { captions: job.files.vtt ?? null }) : null;
  const [fit, out] = [
    el("button", { type: "button", class: "button small", on: { click: () => drawn.fit() } }, "Show all"),
    iconButton("Zoom out", () => drawn.zoom(0.5), "M5 12h14"),
  ];
  const into = iconButton("Zoom in", () => drawn.zoom(2), "M5 12h14", "M12 5v14");
  const drawn = chart(answer, {
    isOn, onSeek: jump, onToggle: () => screen?.toggle(),
    onZoom: (zoomed) => { fit.disabled = out.disabled = !zoomed; },
  });
  const table = segmentTable(answer, { isOn, onSeek: jump });
  const length = moment(answer.duration_s, answer.duration_s);
  const clockwork = el("span", { class: "tl-time" });
  const now = el("p", { class: "tl-now" });
  const play = screen && iconButton("Play", () => screen.toggle(), PLAY);

  /** Goes to a time; with a segment, to its start. */
  function jump(to_s, segment = null) {
    if (segment) drawn.choose(segment);
    screen?.seek(to_s + (segment ? AFTER_S : 0));
    arrive(to_s + (segment ? AFTER_S : 0), true);
    announce(segment ? described(segment, answer.duration_s) : moment(to_s, answer.duration_s));
  }
  function current() {
    const here = answer.lanes.map((lane) => segmentAt(lane, time_s));
    return here.filter((segment) => segment && isOn(segment.label));
  }
  let told = null;
  function arrive(at_s, jumped = false) {
    time_s = at_s;
    drawn.setTime(at_s, jumped);
    const text = `${moment(at_s, answer.duration_s)} / ${length}`;
    if (clockwork.textContent !== text) clockwork.textContent = text;
    const here = current();
    const key = here.map((segment) => segment.index).join();
    if (key === told) return;
    told = key;
    table.mark(here);
    show(now, here.map((segment) => el("span", { class: "tl-here" }, labelled(segment.label, answer.marks),
      el("span", { class: "tl-number" }, percent(segment.score)))));
    if (!here.length) show(now, el("span", { class: "hint" }, "no label here"));
  }
  function step(by) {
    const list = answer.segments.filter((segment) => isOn(segment.label));
    const before = list.filter((segment) => segment.start_s < time_s - AGAIN_S);
    const after = list.find((segment) => segment.start_s > time_s + 2 * AFTER_S);
    const next = by > 0 ? after : before[before.length - 1] ?? list[0];
    if (next) jump(next.start_s, next);
  }
  function switched() {
    told = null;
    drawn.redraw();
    table.redraw();
    arrive(time_s);
  }
  function hasten() {
    screen.media.playbackRate = Number(speed.value);
  }
  function onKey(event) {
    const typing = event.target.closest("input, select, textarea");
    const command = event.metaKey || (event.ctrlKey && !event.altKey);  // both are AltGr, which may type [
    if (typing || command || event.defaultPrevented) return;
    if (event.key === "[") step(-1);
    else if (event.key === "]") step(1);
    else return;
    event.preventDefault();
  }

  const speed = screen && el("select", {
    "aria-label": "Speed", value: "1", on: { change: hasten },
  }, SPEEDS.map((times) => el("option", { value: String(times) }, `${times} ×`)));
  const captions = screen && job.files.vtt && toggle({
    label: "Captions", hint: "", onChange: (on) => screen.showCaptions(on),
  });
  if (screen) {
    screen.onTime((at_s) => arrive(at_s, screen.media.seeking));
    for (const event of ["play", "pause"]) screen.media.addEventListener(event, () => {
      const name = screen.media.paused ? "Play" : "Pause";
      show(play, screen.media.paused ? icon(PLAY) : icon(...PAUSE));
      play.setAttribute("aria-label", name);
      play.title = name;
    });
    // the browser's own switch for captions
    screen.media.textTracks.addEventListener("change", () =>
      captions?.set([...screen.media.textTracks].some((track) => track.mode === "showing")));
    screen.media.addEventListener("loadedmetadata", hasten);
    screen.media.addEventListener("ratechange", () => {  // the browser's own menu has speeds, too
      if (SPEEDS.includes(screen.media.playbackRate)) speed.value = String(screen.media.playbackRate);
    });
  }
  const transport = el("div", { class: "tl-transport" },
    el("div", { class: "tl-buttons" },
      iconButton("Previous segment ( [ )", () => step(-1), "M17.5 6v12l-9-6z", "M6.5 6v12"), play,
      iconButton("Next segment ( ] )", () => step(1), "M6.5 6v12l9-6z", "M17.5 6v12"), clockwork),
    now,
    el("div", { class: "tl-tools" }, captions?.element, speed,
      el("div", { class: "tl-zoom", role: "group", "aria-label": "Zoom" }, out, into, fit)));
  const keys = el("p", { class: "hint tl-keys", id: uid("keys") },
    "Click a segment or the curves to jump there. With the keyboard: ", ...[
      ["←", "→"], " choose, ", ["Enter"], " jumps, ", ["Space"], " plays, ",
      ["[", "]"], " previous and next, ",
      ["+", "−", "0"], " zoom. Ctrl and the wheel zoom, too.",
    ].map((part) => (Array.isArray(part) ? part.map((key) => el("kbd", null, key)) : part)));
  drawn.plot.setAttribute("aria-describedby", keys.id);
  const element = el("section", {
    class: "tl-result card stack", "aria-label": "Timeline", on: { keydown: onKey },
  },
    heading(result, job, answer), notes([...result.warnings.filter((line) => line !== said), ...job.notices]),
    el("div", { class: "tl-stage" }, screen ? screen.element : noVideo(),
      el("div", { class: "tl-board" }, transport, drawn.element, keys), labels.element),
    el("div", { class: "tl-below" }, table.element, files.element));
  arrive(0);
  return {
    element,
    pause: () => screen?.media.pause(),
    close: () => {
      drawn.close();
      files.close();
      screen?.close();
    },
  };
}
