/* What teaching found: how well held-out clips were recognised, what is mixed up, how to use the model. */

import { button, counted, el, mark, notes, show, svg, took, uid } from "./parts.js";
import { swatch } from "./teach_marks.js";

const WIDE = 12;  // actions; more columns are no help, and each row names its most frequent mistake

/**
 * The result of a teach job.
 * @param {object} result - the job's result.json
 * @param {{onUse: (tab: string) => void, warning: string|null}} options - `onUse` is called with "recognise"
 *   or "timeline"; `warning` is said by the page anyway
 * @returns {HTMLElement}
 */
export function resultOf(result, { onUse, warning }) {
  const held = result.held_out;
  return el("div", { class: "teach-result" },
    el("header", { class: "teach-done" },
      el("h2", { tabindex: "-1" }, `“${result.name}” is ready`),
      el("p", { class: "teach-quiet" }, learned(result)),
      el("div", { class: "teach-buttons" },
        button("Use it on a clip", () => onUse("recognise"), { class: "button primary" }),
        button("Use it on a long video", () => onUse("timeline")))),
    notes(result.warnings.filter((line) => line !== warning)),
    held ? heldOut(result) : unknown(),
    held ? mixedUp(result) : null,
    result.curve.length || result.advice ? moreClips(result) : null,
    el("div", { class: "stack" }, noneOfThese(result), commandLine(result)));
}

/** A share that is given in percent, in words. */
export function inPercent(value) {
  return `${Math.round(value)} %`;
}

function learned(result) {
  const number = Object.values(result.num_clips).reduce((sum, count) => sum + count, 0);
  const names = Object.keys(result.num_clips).length;
  return `It learned ${counted(names, "action")} from ${counted(number, "clip")}: ` +
    `${took(result.encode_s)} to look at them, ${took(result.train_s)} to learn.`;
}

function section(title, ...children) {
  return el("section", { class: "card teach-found" }, el("h3", null, title), children);
}

function unknown() {
  return section("How well does it do?",
    el("p", null, "This is not known: no action has two clips, so none could be held out as a test. " +
      "Give two or more clips per action to find out; five are a good start."));
}

/** The sentence, drawn once more: the interval, the accuracy, and what guessing reaches. */
function heldOut(result) {
  const { num_clips, top1, interval, chance, per_class } = result.held_out;
  const right = per_class.reduce((sum, row) => sum + row.num_right, 0);
  const [low, high] = interval.map(Math.round);
  return section("How well does it do?",
    el("p", { class: "teach-sentence" },
      "Held out, ", el("strong", null, `${right} of ${counted(num_clips, "clip")}`),
      num_clips === 1 ? " was recognised: " : " were recognised: ", el("strong", null, inPercent(top1)),
      ` (95 % interval ${low} to ${high} %; guessing ${Math.round(chance)} %).`),
    gauge(top1, interval, chance),
    el("p", { class: "teach-quiet" },
      "Each clip was tested by a model that had not learned from it. With few clips the interval is wide: " +
      "the true accuracy is most likely inside it."),
    perClass(result));
}

function gauge(top1, [low, high], chance) {
  const at = (percent) => ({ "--at": `${Math.min(Math.max(percent, 0), 100)}%` });
  return el("div", { class: "teach-gauge", "aria-hidden": "true" },
    el("div", { class: "teach-gauge-bar" },
      el("span", { class: "teach-gauge-span", style: { "--at": `${low}%`, "--wide": `${high - low}%` } }),
      el("span", { class: "teach-gauge-guess", style: at(chance) }),
      el("span", { class: "teach-gauge-point", style: at(top1) })),
    el("div", { class: "teach-gauge-legend" },
      el("span", { class: "teach-key teach-key-point" }, "recognised"),
      el("span", { class: "teach-key teach-key-span" }, "95 % interval"),
      el("span", { class: "teach-key teach-key-guess" }, "guessing")));
}

/** The tile of an action; the background has that of "none of these". */
function tile(result, name, index) {
  return swatch(mark(name === result.background ? null : index));
}

/** A table that scrolls by itself where it is too wide, under its caption, which does not. */
function scrolling(caption, kind, ...parts) {
  const id = uid("table");
  return el("div", null,
    el("p", { class: "teach-caption", id }, caption),
    el("div", { class: "teach-scroll", role: "region", "aria-labelledby": id, tabindex: "0" },
      el("table", { class: `teach-table ${kind}`, "aria-labelledby": id }, parts)));
}

function perClass(result) {
  const rows = result.held_out.per_class.map(({ name, num_clips, num_right }, index) => {
    const share = num_clips ? 100 * num_right / num_clips : 0;
    return el("tr", null,
      el("th", { scope: "row" }, tile(result, name, index), name),
      el("td", { class: "teach-number" }, String(result.num_clips[name] ?? num_clips)),
      el("td", null, num_clips ? `${num_right} of ${num_clips}` : "not tested: a single clip"),
      el("td", { class: "teach-share", "aria-hidden": "true" },
        el("span", { class: "teach-share-bar", style: { "--at": `${share}%` } })));
  });
  return scrolling("Action by action", "teach-each",
    el("thead", null, el("tr", null,
      el("th", { scope: "col" }, "Action"), el("th", { scope: "col" }, "Clips"),
      el("th", { scope: "col" }, "Recognised"), el("td", { class: "teach-share", "aria-hidden": "true" }))),
    el("tbody", null, rows));
}

/** Rows: what a clip shows; columns: what was answered. */
function mixedUp(result) {
  const { per_class, confusion } = result.held_out;
  const names = per_class.map((row) => row.name);
  const wide = names.length > WIDE;
  const answers = wide ? [el("th", { scope: "col" }, "Most frequent mistake")] : names.map((name) => (
    el("th", { scope: "col" }, name)));
  const rows = confusion.map((row, shown) => el("tr", null,
    el("th", { scope: "row" }, tile(result, names[shown], shown), names[shown]),
    wide ? el("td", null, worst(row, shown, names))
      : row.map((number, answer) => cell(row, number, shown === answer))));
  const mistakes = confusion.flatMap((row, shown) => row.filter((_, answer) => answer !== shown));
  return section("What is mixed up?",
    mistakes.some(Boolean) ? null : el("p", null, "Nothing: every held-out clip got the right answer."),
    scrolling(
      wide ? "What was answered instead."
        : "Each row is what the clips show, each column what the model answered.",
      wide ? "teach-mistakes" : "teach-confusion",
      el("thead", null, el("tr", null, el("th", { scope: "col" }, "Shown"), answers)),
      el("tbody", null, rows)));
}

function worst(row, shown, names) {
  const wrong = row.map((number, answer) => (answer === shown ? 0 : number));
  const most = Math.max(...wrong);
  return most ? `${names[wrong.indexOf(most)]} (${most})` : "none";
}

function cell(row, number, right) {
  const total = row.reduce((sum, count) => sum + count, 0);
  const kind = !number ? "teach-zero" : right ? "teach-right" : "teach-wrong";
  const share = `${total ? Math.round(100 * number / total) : 0}%`;
  return el("td", { class: `teach-number ${kind}`, style: { "--share": share } }, String(number));
}

function moreClips(result) {
  const { curve } = result;
  return section("Would more clips help?",
    curve.length > 1 ? chart(curve, result.held_out.chance) : null,
    result.advice ? el("p", null, sentence(result.advice)) : null);
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/** Held-out accuracy over clips per action. The text says the same. */
function chart(curve, chance) {
  const [wide, high, left, right, top, bottom] = [370, 190, 48, 66, 16, 40];
  const most = Math.max(...curve.map((point) => point.clips_per_class)) * 1.08;
  const x = (clips) => left + (wide - left - right) * clips / most;
  const y = (percent) => top + (high - top - bottom) * (1 - percent / 100);
  const text = (props, words) => svg("text", props, words);
  const middle = (props, words) => text({ ...props, "text-anchor": "middle" }, words);
  const grid = [0, 50, 100].flatMap((percent) => [
    svg("line", { class: "teach-grid", x1: left, x2: wide - right, y1: y(percent), y2: y(percent) }),
    text({ x: left - 8, y: y(percent) + 4, "text-anchor": "end" }, `${percent} %`),
  ]);
  const points = curve.flatMap((point) => [
    svg("circle", { class: "teach-point", cx: x(point.clips_per_class), cy: y(point.top1), r: 5 }),
    middle({
      class: "teach-point-text", x: x(point.clips_per_class), y: y(point.top1) + (point.top1 > 88 ? 22 : -12),
    }, inPercent(point.top1)),
    middle({ x: x(point.clips_per_class), y: high - 22 }, short(point.clips_per_class)),
  ]);
  const line = curve.map((point) => `${x(point.clips_per_class)},${y(point.top1)}`).join(" ");
  const words = curve.map(({ clips_per_class: clips, top1 }) => (
    `${short(clips)} clips per action: ${inPercent(top1)}`));
  return svg("svg", { class: "teach-chart", viewBox: `0 0 ${wide} ${high}`, role: "img",
    "aria-label": `Accuracy by number of clips. ${words.join("; ")}; guessing: ${inPercent(chance)}.` },
  grid,
  svg("line", { class: "teach-guess", x1: left, x2: wide - right, y1: y(chance), y2: y(chance) }),
  text({ x: wide - right + 6, y: y(chance) + 4 }, "guessing"),
  svg("polyline", { class: "teach-line", points: line }),
  points,
  middle({ x: left + (wide - left - right) / 2, y: high - 2 }, "clips per action learned from"));
}

function short(number) {
  return String(Number(number.toPrecision(2)));
}

function noneOfThese(result) {
  const { none_of_these: none, background } = result;
  if (!none && background === null) return null;  // a warning says why
  const lines = [];
  if (none) {
    const kept = Math.round(none.kept * none.num_clips);
    const rejected = Math.round(none.rejected * none.num_unknown);
    lines.push(
      `When its best action scores below ${inPercent(100 * none.below)}, it answers “none of these” ` +
        "(the rejection threshold).",
      `Of the ${counted(none.num_clips, "clip")} that it recognised, this keeps ${kept}; of ` +
        `${counted(none.num_unknown, "clip")} of actions it did not know, it rightly refuses ${rejected}.`);
    if (background === null) {
      lines.push("If it says so too often, switch off “Allow none of these” where you use the model.");
    }
  }
  if (background !== null) {
    lines.push(`A clip that is most like “${background}” is answered with “none of these”, too.`);
  }
  return section("When does it say “none of these”?", lines.map((line) => el("p", null, line)));
}

function commandLine(result) {
  const plain = /^[\w./~-]+$/.test(result.folder);
  const quoted = plain ? result.folder : `'${result.folder.replaceAll("'", "'\\''")}'`;
  return section("On the command line",
    el("p", null, "The model is the folder ", el("code", { class: "teach-folder" }, result.folder),
      ". It can be copied to another computer."),
    copyable(`actionprompt predict CLIP --model ${quoted}`),
    copyable(`actionprompt timeline VIDEO --model ${quoted}`));
}

function copyable(text) {
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
      show(copy, "Copied");
    } catch {
      show(copy, "Select it");  // another computer's browser, without a safe connection, may not copy
    }
    setTimeout(() => show(copy, "Copy"), 2000);
  }, { class: "button small teach-copy", "aria-label": `Copy: ${text}` });
  return el("div", { class: "teach-command" },
    el("pre", { tabindex: "0", role: "region", "aria-label": text }, el("code", null, text)), copy);
}
