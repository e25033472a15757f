/* The labels of a timeline: what is drawn how, for how many seconds it was seen, and a switch for each. */

import { clock, el, percent } from "./parts.js";
import { labelled } from "./timeline_table.js";

const FEW_LABELS = 12;
/** At first; more can be switched on. */
const MOST_LANES = 20;

/**
 * All labels, those with the most seconds first. Where there are many, those not found are off at first.
 * @param {object} answer - of `answerOf`
 * @param {() => void} onChange - a label was switched on or off
 * @param {(label: string|null|undefined) => void} onEmphasis - somebody points at a label; undefined: no more
 * @returns {{element: HTMLElement, isOn: (label: string|null) => boolean}}
 */
export function legend(answer, onChange, onEmphasis) {
  const many = answer.labels.length > FEW_LABELS;
  const seldom = many ? answer.labels.filter((label) => !answer.seconds.has(label)) : [];
  const off = new Set([...seldom, ...(answer.independent ? answer.labels.slice(MOST_LANES) : [])]);
  const total = answer.duration_s || answer.span_s;
  const entry = (label) => {
    const seconds = answer.seconds.get(label) ?? 0;
    const button = el("button", { type: "button", class: "tl-entry", on: {
      click: () => {
        if (!off.delete(label)) off.add(label);
        draw();
        onChange();
      },
      pointerenter: () => off.has(label) || onEmphasis(label), pointerleave: () => onEmphasis(undefined),
    } },
    labelled(label, answer.marks),
    el("span", { class: "tl-seconds" },
      seconds > 0 ? `${clock(seconds)} · ${percent(seconds / total)}` : "not found"),
    el("span", { class: "tl-share", "aria-hidden": "true", style: {
      "--share": `${100 * Math.min(1, seconds / total)}%`, "--colour": answer.marks.get(label).colour,
    } }));
    return [label, button];
  };
  const entries = new Map(answer.labels.map(entry));
  const all = (on) => {
    off.clear();
    if (!on) answer.labels.forEach((label) => off.add(label));
    draw();
    onChange();
  };
  const link = (text, on) =>
    el("button", { type: "button", class: "link", on: { click: () => all(on) } }, text);
  const head = el("h3");
  const draw = () => {
    entries.forEach((button, label) => button.setAttribute("aria-pressed", String(!off.has(label))));
    head.textContent = off.size ? `Labels (${entries.size - off.size} of ${entries.size} on)` : "Labels";
  };
  draw();
  return {
    isOn: (label) => !off.has(label),
    element: el("section", { class: "tl-legend", "aria-label": "Labels" },
      el("div", { class: "tl-legend-head" }, head,
        answer.labels.length > 2 && el("span", null, link("All", true), link("None", false))),
      el("ul", null, [...entries.values()].map((button) => el("li", null, button)))),
  };
}
