/* What Recognise shows: an answer and bars for each video, and what is there before one has asked. */

import { NONE, el, facts, icon, notes, percent, svg, without } from "./parts.js";
import { tile } from "./uploads.js";
import { thumbnailButton } from "./viewer.js";

const FIRST = 5;
const LIKELY = 0.5;  // from here on an independent label is an answer
const LONG_S = 4;  // with less there is no when to speak of

function bar(label, score, best) {
  const style = { "--share": `${100 * Math.min(1, score)}%` };
  return el("li", { class: best ? "bar best" : "bar" },
    el("span", { class: "bar-label", dir: "auto" }, label),
    el("span", { class: "bar-value" }, percent(score)),
    el("span", { class: "bar-track", "aria-hidden": "true", style }));
}

/** The labels that are the answer; none if none of these is. Independent labels may be several. */
function answersOf(prediction, independent) {
  if (prediction.none_of_these) return [];
  if (!independent) return prediction.labels.slice(0, 1);
  return prediction.labels.filter((_, at) => prediction.scores[at] >= LIKELY);
}

/** The answer in words. */
export function answerLine(prediction, independent) {
  return answersOf(prediction, independent).join(", ") || (independent ? "No label fits well" : NONE);
}

/** Bars, best first; those after the first few can be unfolded. */
function bars(prediction, answers) {
  const rows = prediction.labels.map((label, at) => ({ label, score: prediction.scores[at] }));
  const wins = prediction.none_of_these;
  if (prediction.none !== null && prediction.none !== undefined) {
    const row = { label: NONE, score: prediction.none };
    if (wins) rows.unshift(row);
    else rows.splice(rows.filter((other) => other.score >= row.score).length, 0, row);
  }
  const best = wins ? [NONE] : answers;
  const drawn = rows.map((row) => bar(row.label, row.score, best.includes(row.label)));
  const rest = drawn.slice(FIRST);
  return [
    el("ul", { class: "bars", "aria-label": "Scores" }, drawn.slice(0, FIRST)),
    rest.length > 0 && el("details", null, el("summary", null, `${rest.length} more`),
      el("ul", { class: "bars", "aria-label": "More scores" }, rest)),
  ];
}

/** An answer. `video` is undefined if it was deleted; `whenButton(video)` makes a button for its timeline. */
export function resultOf(prediction, video, independent, whenButton) {
  const answers = answersOf(prediction, independent);
  const answer = answerLine(prediction, independent);
  return el("article", { class: "result" },
    video ? thumbnailButton(video) : tile(),
    el("div", { class: "result-text" },
      el("p", { class: "result-name", dir: "auto" }, prediction.name),
      el("h3", { class: answers.length ? "answer" : "answer none", dir: "auto" }, answer),
      video && el("p", { class: "hint" }, facts(video))),
    el("div", { class: "result-bars" }, notes(prediction.warnings ?? []), bars(prediction, answers),
      video?.duration_s >= LONG_S && whenButton(video)));
}

/** A video that could not be read, and why. */
export function unreadable(item) {
  return el("article", { class: "result unreadable" },
    tile(),
    el("div", { class: "result-text" },
      el("p", { class: "result-name", dir: "auto" }, item.name),
      el("h3", { class: "answer none" }, "Could not be read"),
      el("p", { class: "hint" }, without(item.name, item.reason))));
}

const FORMATS = { json: "JSON, with everything", csv: "CSV, for a spreadsheet" };

/** Links to the files of a job. */
export function downloads(job) {
  const links = Object.entries(job.files).map(([format, url]) =>
    el("a", { class: "button small", href: url, download: "" },
      icon("M12 4v11", "M7.5 11L12 15.5l4.5-4.5", "M5 20h14"), FORMATS[format] ?? format.toUpperCase()));
  return el("div", { class: "downloads", role: "group", "aria-label": "Downloads" }, links);
}

/** What is there before anything was asked. */
export function welcome() {
  const rows = [[96, "#0072b2"], [58, "#e69f00"], [26, "#56b4e9"]];
  const art = svg("svg", { class: "art", viewBox: "0 0 180 96", "aria-hidden": "true" },
    svg("rect", { x: 2, y: 14, width: 64, height: 68, rx: 10, class: "art-frame" }),
    svg("path", { d: "M27 34v28l24-14z", class: "art-play" }),
    rows.map(([width, fill], at) => svg("rect", { x: 80, y: 20 + 22 * at, width, height: 12, rx: 6, fill })));
  return el("div", { class: "empty" }, art, el("h2", null, "What happens in your videos?"),
    el("p", null, "Add one or several short videos, name the actions that could be in them, and press "
      + "Recognise. Each video gets a score for each action."),
    el("p", { class: "hint" }, "A long recording with many actions in it? The tab Timeline finds when each "
      + "happens."));
}

