/* Recognise: which of some labels whole videos show. */

import { api, getJSON, isFinal, watch } from "./api.js";
import {
  announce, button, counted, el, jobPanel, notes, problem, recentJobs, show, store, uploadList,
} from "./parts.js";
import { question } from "./question.js";
import { answerLine, downloads, resultOf, unreadable, welcome } from "./recognise_result.js";

const DRAFT = "recognise.draft";
const TOP = 20;

async function videosOf(ids) {
  const found = await Promise.all(ids.map((id) => api("GET", `/api/videos/${id}`).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  })));
  return found.filter(Boolean);
}

/** Puts the tab into its panel. */
export function mount(root, context) {
  let current = null;  // id of the job that is shown
  let stop = () => null;
  let eager = false;  // pressed while videos were still on their way
  let sending = false;
  let ready = false;  // the draft is read before it is written
  const uploads = uploadList({ multiple: true, onChange: changed });
  const asked = question({
    tab: "recognise",
    noneHint: "Say so if no label fits, instead of naming the nearest one.",
    several: {
      label: "Several can be true at once",
      hint: "Every label gets a score of its own. If this is off, labels compete for 100 %.",
      instead: "Not needed: where no label fits, all scores are low.",
    },
    onChange: changed,
  });
  const start = button("Recognise", press, { class: "button primary wide" });
  const said = el("div", { class: "form-said" });
  const panel = jobPanel();
  const output = el("div", { class: "stack" });
  const fresh = button("Start anew", startAnew, { class: "button small", hidden: true });
  const recent = recentJobs({
    kind: "predict",
    title: "Recognised before",
    onOpen: (id) => context.go("recognise", id),
    onDeleted: (id) => id === current && context.go("recognise"),
  });
  const form = el("section", { class: "card stack", "aria-label": "What to recognise" },
    el("div", { class: "card-head" }, el("h2", null, "Recognise actions"), fresh),
    uploads.element, asked.element, el("div", { class: "form-foot" }, said, start));
  const results = el("section", { class: "card stack results", "aria-label": "Results" },
    panel.element, output);
  root.append(el("div", { class: "columns" }, form, el("div", { class: "stack" }, results, recent.element)));

  function changed() {
    if (ready) store(DRAFT, { ...asked.values(), videos: uploads.videos().map((video) => video.id) });
    show(said);
    if (eager && !uploads.busy()) {
      eager = false;
      if (uploads.videos().length) submit();
    }
    label();
  }
  function label() {
    start.disabled = sending;
    if (sending) start.textContent = "Sending…";
    else start.textContent = eager ? "Not yet" : "Recognise";
    start.classList.toggle("primary", !eager);
    const soon = "Starts as soon as the uploads are done.";
    if (eager) show(said, el("p", { class: "hint", role: "status" }, soon));
  }
  function complain(message, focus) {
    show(said, problem(message));
    focus?.();
  }
  function focusUploads() {
    uploads.element.querySelector("input").focus();
  }
  function press() {
    show(said);
    if (eager) eager = false;
    else if (asked.wrong()) complain(asked.wrong().message, asked.wrong().focus);
    else if (uploads.busy()) eager = true;
    else if (uploads.videos().length === 0) complain("Add a video first.", focusUploads);
    else submit();
    label();
  }
  async function submit() {
    said.replaceChildren();
    sending = true;
    label();
    try {
      const { labels, ...others } = asked.values();
      const videos = uploads.videos().map((video) => video.id);
      const body = { ...others, labels: labels.length ? labels : null, videos, top: TOP };
      const job = await api("POST", "/api/predict", body);
      open(job.id, false);
      panel.update(job);
      context.go("recognise", job.id);
      recent.refresh();
    } catch (error) {
      complain(error.message);
      if (error.status === 404) uploads.check();
    } finally {
      sending = false;
      label();
    }
  }
  function startAnew() {
    uploads.set([]);
    changed();
    context.go("recognise");
    focusUploads();
  }

  /** Scrolls to the results, which are under the form on a phone. */
  function reveal() {
    const { top } = results.getBoundingClientRect();
    if (top < 0 || top > innerHeight - 200) results.scrollIntoView();
  }

  /** Watches a job and shows its result. `restore`: also fills the form with what was asked. */
  function open(id, restore) {
    stop();
    current = id;
    output.replaceChildren();
    panel.clear();
    fresh.hidden = false;
    recent.select(id);
    if (!restore) reveal();
    let first = restore;
    let state = null;
    stop = watch(id, (job) => {
      panel.update(job);
      if (job && first) fillFrom(job).catch((error) => complain(error.message));
      first = false;
      if (job?.state !== state && (job === null || isFinal(job))) finish(job);
      state = job?.state;
    });
    if (restore) show(output, el("p", { class: "loading" }, "Loading…"));
  }
  async function fillFrom(job) {
    if (!isFinal(job)) output.replaceChildren();
    asked.set(job.request);
    const videos = await videosOf(job.videos);
    if (current !== job.id) return;
    uploads.set(videos);
    changed();
    reveal();
    const lost = job.videos.length - videos.length;
    const are = lost === 1 ? "is" : "are";
    if (lost) show(said, notes([`${counted(lost, "video")} of this job ${are} no longer on the server.`]));
  }
  async function finish(job) {
    recent.refresh();
    output.replaceChildren();
    if (job === null || job.state !== "done") {
      const next = "Change what is asked and try again.";
      if (job?.state === "failed") show(output, el("p", { class: "hint" }, next));
      return;
    }
    try {
      const [result, videos] = await Promise.all([getJSON(job.files.json), videosOf(job.videos)]);
      if (current === job.id) draw(job, result, videos);
    } catch (error) {
      show(output, problem(`The result could not be read: ${error.message}`, () => finish(job)));
    }
  }
  function draw(job, result, videos) {
    const known = new Map(videos.map((video) => [video.id, video]));
    const { independent } = job.request;
    const ofVideo = (one) => resultOf(one, known.get(one.video), independent, whenButton(job));
    const unsaid = (line) => line !== context.backbone?.warning;  // the banner shows that one
    show(output,
      notes([...result.warnings.filter(unsaid), ...job.notices]),
      result.predictions.map(ofVideo),
      (result.unreadable ?? []).map(unreadable),
      downloads(job));
    const answers = result.predictions.map((one) => `${one.name}: ${answerLine(one, independent)}`);
    announce(`Done. ${answers.slice(0, 5).join(". ")}`);
  }
  /** Makes buttons that ask for the timeline of a video, for the same labels. */
  const whenButton = (job) => (video) => {
    const { model, labels, none, independent } = job.request;
    const ask = async () => {
      show(note);
      try {
        const body = { video: video.id, model, labels, none, independent };
        const made = await api("POST", "/api/timeline", body);
        context.go("timeline", made.id);
      } catch (error) {
        show(note, problem(error.message));
      }
    };
    const note = el("div");
    return el("div", { class: "result-more" },
      button("Find when it happens", ask, { class: "button small" }), note);
  };
  async function restoreDraft() {
    const draft = store(DRAFT);
    if (draft) asked.set(draft);
    const videos = await videosOf(draft?.videos ?? []).catch(() => []);
    ready = true;
    if (current === null && uploads.videos().length === 0 && !uploads.busy()) uploads.set(videos);
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
      stop();
      current = null;
      panel.clear();
      fresh.hidden = true;
      recent.select(null);
      show(output, welcome());
      if (first) restoreDraft();
      asked.takeOver();
    },
  };
}
