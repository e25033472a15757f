/* Timeline: when what happens in one video. */

import { api, getJSON, isFinal, watch } from "./api.js";
import {
  announce, el, jobPanel, problem, recentJobs, show, store, svg, toggle, uid, uploadList,
} from "./parts.js";
import { question } from "./question.js";
import { timelineResult } from "./timeline_result.js";

const DRAFT = "timeline.draft";
const WINDOW_S = 2;
const HOP_S = 0.5;

/** A number of seconds, checked when it is asked for. */
function secondsField({ label, hint, value, min, max, step, onChange }) {
  const [id, hintId] = [uid("seconds"), uid("hint")];
  const input = el("input", {
    type: "number", id, min, max, step, inputmode: "decimal", "aria-describedby": hintId, value,
    on: { change: onChange },
  });
  return {
    element: el("div", { class: "field tl-seconds-field" }, el("label", { for: id }, label),
      el("div", { class: "tl-with-unit" }, input, el("span", { "aria-hidden": "true" }, "seconds")),
      el("p", { class: "hint", id: hintId }, hint)),
    value: () => input.valueAsNumber,
    set: (to) => { input.value = to; },
    wrong: () => {
      const number = input.valueAsNumber;
      const fits = Number.isFinite(number) && number >= min && number <= max;
      return fits ? null : `“${label}”: expected ${min} to ${max} seconds.`;
    },
  };
}

/** Window, hop and smoothing, in plain words. */
function options(onChange) {
  const seen = secondsField({
    label: "How much to look at at once", value: WINDOW_S, min: 0.1, max: 600, step: 0.1, onChange,
    hint: "About as long as one action lasts.",
  });
  const hop = secondsField({
    label: "Look again every", value: HOP_S, min: 0.05, max: 600, step: 0.05, onChange,
    hint: "Less finds starts and ends more exactly, and takes longer.",
  });
  const smooth = toggle({
    label: "Ignore flicker", hint: "Leaves out very short changes of the answer.", value: true, onChange,
  });
  const element = el("details", { class: "tl-more" }, el("summary", null, "More options"),
    el("div", { class: "stack" },
      el("div", { class: "tl-pair" }, seen.element, hop.element), smooth.element));
  return {
    element,
    values: () => ({ window_s: seen.value(), hop_s: hop.value(), smooth: smooth.value() }),
    set: (to) => {
      seen.set(to.window_s ?? WINDOW_S);
      hop.set(to.hop_s ?? HOP_S);
      smooth.set(to.smooth ?? true);
    },
    wrong: () => {
      const gaps = hop.value() > seen.value();
      const message = seen.wrong() ?? hop.wrong()
        ?? (gaps ? "“Look again every” must not be longer than what is looked at at once." : null);
      const focus = () => {
        element.open = true;
        element.querySelector("input").focus();
      };
      return message && { message, focus };
    },
  };
}

function welcome() {
  const parts = [
    [0, 44, "#0072b2"], [44, 22, "#cdcdcd"], [66, 50, "#e69f00"], [116, 14, "#cdcdcd"], [130, 50, "#009e73"],
  ];
  const art = svg("svg", { class: "art", viewBox: "0 0 180 96", "aria-hidden": "true" },
    svg("rect", { x: 48, y: 4, width: 84, height: 50, rx: 8, class: "art-frame" }),
    svg("path", { d: "M82 18v22l18-11z", class: "art-play" }),
    parts.map(([x, width, fill]) =>
      svg("rect", { x: x + 1, y: 68, width: width - 2, height: 18, rx: 3, fill })));
  return el("div", { class: "empty" }, art, el("h2", null, "When does what happen?"),
    el("p", null, "Add a video, name the actions that could be in it, and press Find. You get coloured parts "
      + "under the video: click one and the video jumps there."),
    el("p", { class: "hint" }, "Long recordings are welcome; an hour is no problem."));
}

async function orNull(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** Puts the tab into its panel. */
export function mount(root, context) {
  let current = null;  // id of the job that is shown
  let view = null;
  let stop = () => null;
  let eager = false;  // pressed while the video was still on its way
  let sending = false;
  let ready = false;  // the draft is read before it is written
  const uploads = uploadList({
    multiple: false, hint: "It stays on the computer that runs this page.", onChange: changed,
  });
  const asked = question({
    tab: "timeline",
    noneHint: "For the parts of the video in which no label fits.",
    several: {
      label: "Several at once",
      hint: "Labels may overlap: each gets a lane and a score of its own. Switched off, one label follows "
        + "the other.",
      instead: "Not needed here: where no label fits, nothing is marked.",
    },
    more: options(changed),
    onChange: changed,
  });
  const button = el("button", { type: "button", class: "button primary wide", on: { click: press } });
  const said = el("div", { class: "form-said" });
  const panel = jobPanel();
  const side = el("div", { class: "stack" });
  const output = el("div", { class: "tl-output", hidden: true });
  const title = el("h2", null, "Find actions");
  const fresh = el("button", {
    type: "button", class: "button small", hidden: true, on: { click: startAnew },
  }, "Start anew");
  const recent = recentJobs({
    kind: "timeline",
    title: "Timelines made before",
    onOpen: (id) => context.go("timeline", id),
    onDeleted: (id) => id === current && context.go("timeline"),
  });
  const form = el("section", { class: "card stack", "aria-label": "What to find" },
    el("div", { class: "card-head" }, title, fresh), uploads.element, asked.element, said, button);
  const status = el("section", { class: "card stack results", "aria-label": "State" }, panel.element, side);
  root.append(output,
    el("div", { class: "columns" }, form, el("div", { class: "stack" }, status, recent.element)));
  window.addEventListener("hashchange", () => {
    if (!location.hash.startsWith("#timeline")) view?.pause();
  });

  function changed() {
    if (ready) store(DRAFT, { ...asked.values(), videos: uploads.videos().map((video) => video.id) });
    said.replaceChildren();
    if (eager && !uploads.busy()) {
      eager = false;
      if (uploads.videos().length) submit();
    }
    label();
  }
  function label() {
    button.disabled = sending;
    if (sending) button.textContent = "Sending…";
    else if (eager) button.textContent = "Starts when the upload is done – press to stop that";
    else button.textContent = "Find";
  }
  function complain(message, focus) {
    show(said, problem(message));
    focus?.();
  }
  function press() {
    const wrong = asked.wrong();
    if (eager) eager = false;
    else if (wrong) complain(wrong.message, wrong.focus);
    else if (uploads.busy()) eager = true;
    else if (uploads.videos().length === 0) complain("Add a video first.", chooseVideo);
    else submit();
    label();
  }
  async function submit() {
    said.replaceChildren();
    sending = true;
    label();
    try {
      const { labels, ...others } = asked.values();
      const body = { ...others, labels: labels.length ? labels : null, video: uploads.videos()[0].id };
      const job = await api("POST", "/api/timeline", body);
      open(job.id, false);
      panel.update(job);
      context.go("timeline", job.id);
      recent.refresh();
      status.scrollIntoView({ block: "nearest" });
    } catch (error) {
      complain(error.message);
    } finally {
      sending = false;
      label();
    }
  }
  function startAnew() {
    uploads.set([]);
    changed();
    context.go("timeline");
    chooseVideo();
  }
  function chooseVideo() {
    uploads.element.querySelector("input").focus();
  }
  function forget() {
    stop();
    view?.close();
    view = null;
    show(output);
    show(side);
    output.hidden = true;
    status.hidden = false;
    panel.clear();
  }

  /** Watches a job and shows its result. `restore`: also fills the form with what was asked. */
  function open(id, restore) {
    forget();
    current = id;
    fresh.hidden = false;
    recent.select(id);
    if (restore) show(side, el("p", { class: "loading" }, "Loading…"));
    let first = restore;
    let state = null;
    stop = watch(id, (job) => {
      show(side);
      panel.update(job);
      if (job && first) fillFrom(job).catch((error) => complain(error.message));
      first = false;
      if (job?.state !== state && (job === null || isFinal(job))) finish(job);
      state = job?.state;
    });
  }
  async function fillFrom(job) {
    asked.set(job.request);
    const video = await orNull(api("GET", `/api/videos/${job.request.video}`));
    if (current !== job.id) return;
    uploads.set(video ? [video] : []);
    changed();
  }
  async function finish(job) {
    recent.refresh();
    if (job?.state !== "done") {
      const advice = el("p", { class: "hint" }, "Change what is asked and try again.");
      if (job?.state === "failed") show(side, advice);
      return;
    }
    show(side, el("p", { class: "loading" }, "Loading the timeline…"));
    try {
      const [result, video] = await Promise.all([
        getJSON(job.files.json), orNull(api("GET", `/api/videos/${job.request.video}`)),
      ]);
      if (current === job.id) draw(job, result, video);
    } catch (error) {
      const message = `The timeline could not be read: ${error.message}`;
      if (current === job.id) show(side, problem(message, () => finish(job)));
    }
  }
  function draw(job, result, video) {
    view?.close();
    view = timelineResult(job, result, video, context.backbone?.warning);
    show(output, view.element);
    output.hidden = false;
    status.hidden = true;
    title.textContent = "Ask again";
    output.scrollIntoView({ block: "start" });
    announce(`The timeline of ${result.name} is ready.`);
  }
  async function restoreDraft() {
    const draft = store(DRAFT);
    if (!draft) {
      ready = true;
      return;
    }
    asked.set(draft);
    const [id] = draft.videos ?? [];
    const video = id ? await orNull(api("GET", `/api/videos/${id}`)).catch(() => null) : null;
    ready = true;
    if (video && current === null && uploads.videos().length === 0 && !uploads.busy()) uploads.set([video]);
  }

  label();
  let started = false;
  return {
    show: (jobId) => {
      recent.refresh();
      const first = !started;
      started = true;
      if (jobId !== null) {
        ready = true;
        if (jobId !== current) open(jobId, true);
        return;
      }
      forget();
      current = null;
      fresh.hidden = true;
      title.textContent = "Find actions";
      recent.select(null);
      show(side, welcome());
      if (first) restoreDraft();
      asked.takeOver();
    },
  };
}
