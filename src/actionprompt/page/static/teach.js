/* The tab Teach: a form, the job that learns, what it found, and the models that were taught before. */

import { api, getJSON, isFinal, watch } from "./api.js";
import { announce, button, counted, el, jobPanel, notes, problem, recentJobs, show, store } from "./parts.js";
import { draftOf, isNew, newDraft } from "./teach_draft.js";
import { teachForm } from "./teach_form.js";
import { modelList } from "./teach_models.js";
import { inPercent, resultOf } from "./teach_result.js";

/**
 * @param {HTMLElement} root
 * @param {object} context - see app.js
 * @returns {{show: (jobId: string|null) => void}}
 */
export function mount(root, context) {
  let stop = () => {};
  let current = null;  // the job that is shown
  let sent = false;  // just now, from the form
  let taught = null;

  const form = teachForm({ onTeach: teach });
  const models = modelList({ onUse: use, onAddTo: addTo, onList });
  const title = el("h2", { tabindex: "-1" });
  const about = el("p", { class: "hint" });
  const panel = jobPanel();
  const found = el("div", null);
  const after = el("div", { class: "teach-buttons teach-after" });
  const head = el("div", { class: "teach-job-head" }, title, about);
  const jobArea = el("section", { class: "teach-job", hidden: true, "aria-label": "What is taught" },
    head, panel.element, found, after);
  const intro = el("div", { class: "teach-intro" },
    el("p", { class: "lead" }, "Teach it your own actions from a few clips of each. It tells you how well it "
      + "does on clips that it has not learned from."));
  const recent = recentJobs({
    kind: "teach", title: "Recent tries", onOpen: (id) => context.go("teach", id),
    onDeleted: (id) => id === current?.id && context.go("teach"),
  });
  root.append(intro, jobArea, form.element, models.element, recent.element);
  new MutationObserver(() => root.hidden && form.pause()).observe(root, { attributeFilter: ["hidden"] });
  models.refresh();
  recent.refresh();

  async function teach(request) {
    const job = await api("POST", "/api/teach", request);
    sent = true;
    context.go("teach", job.id);
  }
  function use(tab, id) {
    store(`${tab}.model`, id);
    context.go(tab);
  }
  function addTo(model) {
    form.addTo(model.id);
    context.go("teach");
    window.scrollTo({ top: 0 });
  }
  function onList(list) {
    taught = list;
    form.setTaught(list);
    tellDeleted();
  }

  function showJob(jobId) {
    const fromJob = jobArea.contains(document.activeElement);
    stop();
    current = null;
    recent.select(jobId);
    recent.refresh();
    panel.clear();
    show(found);
    show(after);
    jobArea.hidden = !jobId;
    head.hidden = false;
    for (const part of [form.element, intro]) part.hidden = Boolean(jobId);
    if (!jobId && fromJob) form.focus();
    if (jobId && sent) title.focus();  // what had the focus is hidden now
    sent = false;
    if (!jobId) return;
    title.textContent = "Teaching";
    about.textContent = "";
    window.scrollTo({ top: 0 });
    let state = null;
    stop = watch(jobId, (job) => {
      const before = state;
      state = job?.state ?? "gone";
      update(job, before);
    });
  }
  function update(job, before) {
    current = job;
    if (job && job.kind !== "teach") {
      title.textContent = "This is another kind of job";
      show(found, notes(["The address of this page names a job that teaches nothing."]));
      return form.element.removeAttribute("hidden");
    }
    panel.update(job);
    title.textContent = job ? `Teaching “${job.request.name}”` : "Teaching";
    about.textContent = job ? summary(job.request) : "";
    const open = !job || job.state === "failed" || job.state === "cancelled";
    form.element.hidden = !open;
    if (open && job) restore(job);
    const still = "Your actions and clips are still here: see below.";
    show(found, open && job && el("p", { class: "hint" }, still));
    if (job?.state === "done") finish(job, before);
    if (job && isFinal(job) && before && before !== job.state) {
      models.refresh();
      recent.refresh();
    }
    return undefined;
  }
  /** What was asked for is put into the form again, if that holds nothing. */
  async function restore(job) {
    if (!isNew(form.draft())) return;
    const videos = await api("GET", "/api/videos").catch(() => []);
    const { draft, numGone } = draftOf(job.request, videos);
    if (isNew(form.draft()) && current === job) form.set(draft, numGone);
  }
  async function finish(job, before) {
    let result;
    try {
      result = await getJSON(job.files.json);
    } catch (error) {
      show(found, problem(error.message, () => finish(job, before)));
      return;
    }
    if (current !== job) return;
    const focused = jobArea.contains(document.activeElement);
    panel.clear();
    head.hidden = true;
    const onUse = (tab) => use(tab, result.model);
    show(found, resultOf(result, { onUse, warning: context.backbone?.warning }));
    found.dataset.model = result.model;
    show(after,
      button("Change the clips and teach again", () => change(job)),
      button("Teach another model", another),
      el("a", { class: "button", href: job.files.json, download: "" }, "Download these numbers"));
    tellDeleted();
    if (focused) found.querySelector("h2").focus();
    if (before && before !== "done") announce(spoken(result));
  }
  async function change(job) {
    const videos = await api("GET", "/api/videos").catch(() => []);
    const { draft, numGone } = draftOf(job.request, videos);
    form.replace(draft, numGone);
    context.go("teach");
  }
  function another() {
    form.replace(newDraft(), 0);
    context.go("teach");
  }
  /** A result may be looked at after its model was deleted. */
  function tellDeleted() {
    const done = found.querySelector(".teach-done");
    if (!done || !taught) return;
    const gone = !taught.some((model) => model.id === found.dataset.model);
    for (const use of done.querySelectorAll(".button")) use.disabled = gone;
    done.querySelector(".teach-deleted")?.remove();
    if (gone) done.append(el("p", { class: "teach-deleted" }, "This model was deleted."));
  }
  return { show: showJob };
}

function summary({ classes }) {
  const number = classes.reduce((sum, { clips }) => sum + clips.length, 0);
  const names = classes.map(({ name }) => name).join(", ");
  return `${counted(classes.length, "action")} from ${counted(number, "clip")}: ${names}`;
}

function spoken({ name, held_out: held }) {
  if (!held) return `${name} is ready.`;
  return `${name} is ready. ${inPercent(held.top1)} of the held-out clips were recognised.`;
}
