/* The jobs of a kind that the server still has, to open or delete. */

import { api, isFinal } from "./api.js";
import { announce, button, cross, el, problem, show } from "./parts.js";

const FIRST = 6;
const EVERY_MS = 4000;
const STATES = {
  waiting: "waiting", running: "working", done: "done", failed: "did not work", cancelled: "cancelled",
};

/** "14:05" today, else "27 Nov, 14:05" in the reader's own way. */
function when(iso) {
  const date = new Date(iso);
  const time = { hour: "2-digit", minute: "2-digit" };
  const today = date.toDateString() === new Date().toDateString();
  return date.toLocaleString(undefined, today ? time : { day: "numeric", month: "short", ...time });
}

/** What was looked for, or what was taught. */
function asked(job) {
  return (job.request.labels ?? job.request.classes?.map((one) => one.name) ?? []).join(", ");
}

/**
 * A list of jobs, newest first; hidden while there are none.
 * @param {{kind: string, title?: string, onOpen: (jobId: string) => void,
 *   onDeleted?: (jobId: string) => void}} options
 * @returns {{element: HTMLElement, refresh: () => Promise<void>, select: (jobId: string|null) => void}}
 *   `select` marks the job that is shown
 */
export function recentJobs({ kind, title = "Recent", onOpen, onDeleted }) {
  let jobs = [];
  let current = null;
  let all = false;
  let timer = null;
  const list = el("ul", { class: "recent-list" });
  const more = button("", showAll, { class: "link" });
  const said = el("div");
  const element = el("section", { class: "recent", hidden: true }, el("h2", null, title), said, list, more);

  async function remove(job) {
    try {
      await api("DELETE", `/api/jobs/${job.id}`);
      announce(`${job.title} deleted`);
      onDeleted?.(job.id);
    } catch (error) {
      if (error.status !== 404) {
        show(said, problem(error.message));
        return;
      }
    }
    await refresh();
    (list.querySelector("button") ?? document.getElementById("main")).focus();
  }
  function row(job) {
    const state = el("span", { class: "state", data: { state: job.state } }, STATES[job.state]);
    const open = el("button", {
      type: "button", class: "recent-open", "aria-current": job.id === current ? "true" : null,
      on: { click: () => onOpen(job.id) },
    }, el("span", { class: "recent-text" }, el("span", { class: "recent-title", dir: "auto" }, job.title),
      asked(job) && el("span", { class: "recent-asked", dir: "auto" }, asked(job))),
    el("span", { class: "recent-line" }, state, ` · ${when(job.created)}`));
    return el("li", null, open, isFinal(job) && cross(`Delete ${job.title}`, () => remove(job)));
  }
  function showAll() {
    all = true;
    draw();
    list.querySelectorAll(".recent-open")[FIRST]?.focus();
  }
  function draw() {
    element.hidden = jobs.length === 0;
    const focused = [...list.querySelectorAll("button")].indexOf(document.activeElement);
    show(list, (all ? jobs : jobs.slice(0, FIRST)).map(row));
    if (focused >= 0) list.querySelectorAll("button")[focused]?.focus();
    more.hidden = all || jobs.length <= FIRST;
    more.textContent = `Show all ${jobs.length}`;
  }
  async function refresh() {
    clearTimeout(timer);
    try {
      const before = JSON.stringify(jobs);
      jobs = (await api("GET", "/api/jobs")).filter((job) => job.kind === kind);
      said.replaceChildren();
      if (JSON.stringify(jobs) !== before) draw();
    } catch {
      // the page's banner says that the server is away
    }
    if (jobs.some((job) => !isFinal(job))) timer = setTimeout(refresh, EVERY_MS);
  }
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  return {
    element,
    refresh,
    select: (jobId) => {
      current = jobId;
      draw();
    },
  };
}
