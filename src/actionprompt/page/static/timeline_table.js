/* The segments of a timeline as a table: what the drawing shows, for screen readers and for exact times. */

import { NONE, counted, el, icon, percent, show } from "./parts.js";
import { moment } from "./timeline_answer.js";

const ROWS = 15;

/** A label with its colour in front. */
export function labelled(label, marks) {
  const { colour, texture } = marks.get(label);
  return el("span", { class: label === null ? "tl-label none" : "tl-label" },
    el("span", { class: `tl-swatch tl-t${texture}`, "aria-hidden": "true", style: { "--colour": colour } }),
    el("bdi", null, label ?? NONE));
}

/**
 * The table, some rows at a time.
 * @param {object} answer - of `answerOf`
 * @param {{isOn: (label: string|null) => boolean, onSeek: (time_s: number, segment: object) => void}} options
 * @returns {{element: HTMLElement, redraw: () => void, mark: (segments: object[]) => void}} `mark` says which
 *   segments are on the screen now, and turns to their page unless somebody is busy with the table
 */
export function segmentTable(answer, { isOn, onSeek }) {
  let page = 0;
  let now = [];
  const body = el("tbody");
  const head = ["Label", "From", "To", "Length", "Score"].map((name, at) =>
    el("th", { scope: "col", class: at > 0 ? "tl-number" : null }, name));
  const table = el("table", { class: "tl-table" },
    el("caption", { class: "unseen" }, "Segments, in the order of time"),
    el("thead", null, el("tr", null, head)), body);
  const said = el("span", { class: "tl-page", role: "status" });
  const turn = (name, by, path) => el("button", {
    type: "button", class: "button small tl-icon", "aria-label": name, title: name,
    on: { click: () => go(page + by) },
  }, icon(path));
  const back = turn("Earlier segments", -1, "M14.5 6l-6 6 6 6");
  const forth = turn("Later segments", 1, "M9.5 6l6 6-6 6");
  const pages = el("div", { class: "tl-pages" }, back, said, forth);
  const empty = el("p", { class: "hint" });
  const element = el("section", { class: "tl-segments", "aria-label": "Segments" },
    el("h3", null, "Segments"), el("div", { class: "tl-scroll" }, table), empty, pages);
  const listed = () => answer.segments.filter((segment) => isOn(segment.label));
  const busy = () => table.contains(document.activeElement) || table.matches(":hover");

  function row(segment) {
    const times = [segment.start_s, segment.end_s].map((time) => moment(time, answer.duration_s));
    const jump = () => onSeek(segment.start_s, segment);
    const button = el("button", {
      type: "button", class: "link tl-jump", "aria-label": `Jump to ${times[0]}`,
    }, times[0]);
    return el("tr", { data: { segment: String(segment.index) }, on: { click: jump } },
      el("th", { scope: "row" }, labelled(segment.label, answer.marks)),
      el("td", { class: "tl-number" }, button),
      el("td", { class: "tl-number" }, times[1]),
      el("td", { class: "tl-number" }, `${(segment.end_s - segment.start_s).toFixed(1)} s`),
      el("td", { class: "tl-number" }, percent(segment.score)));
  }
  function point() {
    for (const line of body.children) {
      const current = now.some((segment) => String(segment.index) === line.dataset.segment);
      if (current) line.setAttribute("aria-current", "true");
      else line.removeAttribute("aria-current");
    }
  }
  function redraw() {
    const list = listed();
    const last = Math.max(0, Math.ceil(list.length / ROWS) - 1);
    page = Math.max(0, Math.min(page, last));
    const first = page * ROWS;
    show(body, list.slice(first, first + ROWS).map(row));
    table.hidden = list.length === 0;
    pages.hidden = list.length <= ROWS;
    [back.disabled, forth.disabled] = [page === 0, page === last];
    const others = answer.segments.length - list.length;
    const end = Math.min(first + ROWS, list.length);
    said.textContent = `${first + 1} to ${end} of ${counted(list.length, "segment")}`
      + (others ? `; ${others} more of labels that are off` : "");
    empty.hidden = list.length > 0;
    empty.textContent = answer.segments.length
      ? "The labels of all segments are switched off."
      : "There are none: no label's score was high enough anywhere.";
    point();
  }
  function go(to) {
    page = to;
    redraw();
  }
  function mark(segments) {
    if (segments.length === now.length && segments.every((segment, at) => segment === now[at])) return;
    now = segments;
    const at = now.length ? listed().indexOf(now[0]) : -1;
    if (at >= 0 && Math.floor(at / ROWS) !== page && !busy()) go(Math.floor(at / ROWS));
    else point();
  }
  redraw();
  return { element, redraw, mark };
}
