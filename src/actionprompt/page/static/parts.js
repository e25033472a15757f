/* The parts that tabs are made of: chips for labels, the choice of a model, the state of a job, warnings. */

import { api, connection, isFinal } from "./api.js";
import { announce, button, clock, counted, el, icon, show, store, took, uid } from "./dom.js";

export * from "./dom.js";
export { recentJobs } from "./recent.js";
export { dropZone, facts, thumbnail, uploadList, without } from "./uploads.js";

const MAX_LETTERS = 200;
const CROSS = "M6 6l12 12M18 6L6 18";

/** A line with what stands in backticks as code. */
function coded(line) {
  const parts = line.split("`");
  return parts.length % 2 ? parts.map((part, at) => (at % 2 ? el("code", null, part) : part)) : line;
}

/** Lines that one should know of: visible, and read out as a note. Empty and hidden without any. */
export function notes(list) {
  const lines = list.filter(Boolean);
  const sign = icon("M12 4L2.5 20h19z", "M12 10v4.5", "M12 17.2v.3");
  const several = () => el("ul", null, lines.map((line) => el("li", null, coded(line))));
  const body = lines.length > 1 ? several() : el("p", null, lines.map(coded));
  const empty = lines.length === 0;
  return el("div", { class: "notes", role: "note", hidden: empty }, empty ? [] : [sign, body]);
}

/** A line on what went wrong, read out at once. `retry` adds a button. */
export function problem(message, retry) {
  const again = retry && button("Try again", retry, { class: "button small" });
  const sign = icon("M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18", "M12 7.5v6", "M12 16.4v.2");
  return el("div", { class: "problem", role: "alert" }, sign, el("p", null, message), again);
}

/** A button that removes something. */
export function cross(label, onClick) {
  return button(icon(CROSS), onClick, { class: "cross", "aria-label": label, title: label });
}

/**
 * A switch with a name and a plain explanation.
 * @returns {{element: HTMLElement, value: () => boolean, set: (on: boolean) => void,
 *   disable: (why: string|null) => void}}
 */
export function toggle({ label, hint, value = false, onChange }) {
  const [id, hintId] = [uid("switch"), uid("hint")];
  const input = el("input", {
    type: "checkbox", role: "switch", id, "aria-describedby": hintId, checked: value,
    on: { change: () => onChange?.(input.checked) },
  });
  const explained = el("p", { class: "hint", id: hintId }, hint);
  const element = el("div", { class: "switch" }, input, el("label", { for: id }, label), explained);
  return {
    element,
    value: () => input.checked,
    set: (on) => { input.checked = on; },
    disable: (why) => {
      input.disabled = Boolean(why);
      element.classList.toggle("off", Boolean(why));
      explained.textContent = why || hint;
    },
  };
}

const BETWEEN = /[,;\n\t，；、،]/;  // also as Chinese, Japanese and Arabic write it

function tidy(text) {
  return text.replace(/\s+/g, " ").trim();
}

/**
 * A list of names, typed one by one or pasted. Enter, a comma or leaving the field adds; Backspace in the
 * empty field removes the last one; the same name twice is refused with a word.
 * @param {{label: string, hint?: string, values?: string[], max?: number, placeholder?: string,
 *   onChange?: (values: string[]) => void}} options
 * @returns {{element: HTMLElement, values: () => string[], set: (values: string[]) => void,
 *   focus: () => void, hint: (text: string|null) => void}} `hint` replaces the hint; null brings it back
 */
export function chips({ label, hint = "", values = [], max = 1000, placeholder = "", onChange }) {
  const [id, hintId, saidId] = [uid("chips"), uid("hint"), uid("said")];
  let names = [];
  const list = el("ul", { class: "chips-list", role: "list", "aria-label": label });
  const said = el("p", { class: "said", id: saidId, role: "status" });
  const input = el("input", {
    type: "text", id, placeholder, autocomplete: "off", autocapitalize: "none", enterkeyhint: "done",
    "aria-describedby": `${hintId} ${saidId}`,
    on: { keydown: onKey, paste: onPaste, blur: addTyped, input: () => say("") },
  });
  const hinted = el("p", { class: "hint", id: hintId, hidden: !hint }, hint);
  const clear = button("Remove all", removeAll, { class: "link", hidden: true });
  const box = el("div", { class: "chips" }, list, input);
  box.addEventListener("click", (event) => event.target === box && input.focus());
  const element = el("div", { class: "field" },
    el("div", { class: "field-head" }, el("label", { for: id }, label), clear),
    box, said, hinted);

  function say(text) {
    said.textContent = text;
    box.classList.toggle("refused", Boolean(text));
  }
  function draw() {
    show(list, names.map((name, index) => el("li", { class: "chip" }, el("span", { dir: "auto" }, name),
      cross(`Remove ${name}`, () => removeAt(index)))));
    list.hidden = names.length === 0;
    clear.hidden = names.length < 4;
  }
  function changed() {
    draw();
    onChange?.([...names]);
  }
  function flash(name) {
    const at = names.findIndex((known) => known.toLowerCase() === name.toLowerCase());
    list.children[at]?.classList.add("flash");
    setTimeout(() => list.children[at]?.classList.remove("flash"), 900);
  }
  function add(texts) {
    const refused = [];
    const before = names.length;
    for (const name of texts.map(tidy).filter(Boolean)) {
      const twice = names.some((known) => known.toLowerCase() === name.toLowerCase());
      if (twice) refused.push(`${name} is in the list already.`);
      else if (name.length > MAX_LETTERS) refused.push(`${name.slice(0, 30)}… is too long.`);
      else if (names.length >= max) refused.push(`${name} was not added: the list takes up to ${max}.`);
      else names.push(name);
      if (twice) flash(name);
    }
    if (names.length > before) {
      changed();
      announce(`${counted(names.length - before, "label")} added, ${names.length} in the list`);
    }
    const more = refused.length > 1 ? ` And ${refused.length - 1} more could not be added.` : "";
    say(refused.length ? refused[0] + more : "");
    box.scrollTop = box.scrollHeight;
  }
  function addTyped() {
    const typed = input.value;
    input.value = "";
    if (tidy(typed)) add(typed.split(BETWEEN));
    else say("");
  }
  function onKey(event) {
    if (event.isComposing) return;  // Enter ends a word of an input method
    if (event.key === "Enter" || event.key === ",") {
      event.preventDefault();
      addTyped();
    } else if (event.key === "Backspace" && input.value === "" && names.length) {
      removeAt(names.length - 1);
    }
  }
  function onPaste(event) {
    const text = event.clipboardData.getData("text");
    if (!BETWEEN.test(text)) return;
    event.preventDefault();
    add(text.split(BETWEEN));
  }
  function removeAt(index) {
    const [name] = names.splice(index, 1);
    say("");
    changed();
    input.focus();
    announce(`${name} removed, ${names.length} left`);
  }
  function removeAll() {
    names = [];
    changed();
    input.focus();
    announce("All labels removed");
  }
  function set(to) {
    names = [...to];
    say("");
    draw();
  }
  set(values);
  return {
    element,
    values: () => [...names],
    set,
    focus: () => input.focus(),
    hint: (text) => { hinted.textContent = text ?? hint; },
  };
}

const pickers = new Set();
let offered = null;

/** Asks the server which models there are, and tells every picker. Returns what `GET /api/models` answers. */
export async function refreshModels() {
  try {
    offered = await api("GET", "/api/models");
    pickers.forEach((update) => update(null));
  } catch (error) {
    pickers.forEach((update) => update(error));
    throw error;
  }
  return offered;
}

connection.addEventListener("change", () => {
  if (connection.online) refreshModels().catch(() => null);
});

function describe(model) {
  if (model.kind === "zero-shot") return model.note ?? "";
  const parts = [model.kind === "taught" ? "Taught with your own clips." : "Trained before."];
  const right = model.held_out_top1;
  if (right !== null) parts.push(`Got ${Math.round(right)}% of unseen clips right.`);
  parts.push(model.takes_labels ? "Takes other labels, too." : "Knows its own labels only.");
  return parts.join(" ");
}

/** What else is said of a model, without what the page's banner says. */
function noteOf(model) {
  if (model.kind === "zero-shot") return null;
  return (model.note ?? "").replace(offered.backbone.warning ?? "", "").replace(/^[; ]+|[; ]+$/g, "");
}

function optionOf(model) {
  const known = model.kind === "zero-shot" ? "" : ` (${counted(model.labels.length, "label")})`;
  return el("option", { value: model.id }, model.name + known);
}

/**
 * The choice of a model, with what one should know of it.
 * @param {{onChange?: (model: object) => void, label?: string}} options - called once models are known and
 *   when another one is chosen
 * @returns {{element: HTMLElement, value: () => string, model: () => object|null,
 *   refresh: () => Promise<any>, select: (id: string) => void, takeOver: (key: string) => void}} `value` is
 *   an id, `model` null until models are known; `takeOver` selects what a tab has stored under a key, once
 */
export function modelPicker({ onChange, label = "Model" } = {}) {
  const [id, aboutId] = [uid("model"), uid("about")];
  let models = [];
  let wanted = "zero-shot";
  let told = null;
  const choice = el("select", {
    id, "aria-describedby": aboutId, disabled: true, on: { change: () => { wanted = choice.value; tell(); } },
  }, el("option", null, "Loading…"));
  const about = el("div", { class: "about", id: aboutId });
  const element = el("div", { class: "field" }, el("label", { for: id }, label), choice, about);
  const model = () => models.find((candidate) => candidate.id === wanted) ?? null;

  function explain() {
    const now = model();
    const labels = now && now.labels.length > 0 && el("details", null,
      el("summary", null, `Its ${counted(now.labels.length, "label")}`),
      el("ul", { class: "tags" }, now.labels.map((name) => el("li", { dir: "auto" }, name))));
    show(about, now && el("p", { class: "hint" }, describe(now)), labels,
      notes([now && noteOf(now)]));
  }
  function tell() {
    explain();
    const now = model();
    if (now && JSON.stringify(now) !== told) {
      told = JSON.stringify(now);
      onChange?.(now);
    }
  }
  function update(error) {
    if (error) {
      if (models.length === 0) show(about, problem(error.message, refreshQuietly));
      return;
    }
    models = offered.models;
    const gone = !model();
    if (gone) wanted = models[0]?.id ?? "zero-shot";
    const group = (name, kind) => {
      const some = models.filter((one) => one.kind === kind);
      return some.length > 0 && el("optgroup", { label: name }, some.map(optionOf));
    };
    const groups = [["Any action", "zero-shot"], ["Taught by you", "taught"], ["Trained", "trained"]];
    show(choice, groups.map(([name, kind]) => group(name, kind)));
    choice.disabled = models.length === 0;
    choice.value = wanted;
    tell();
    if (gone) about.prepend(notes(["The model that was chosen is no longer there."]));
  }
  function select(to) {
    wanted = to;
    if (models.length) update(null);
  }
  const refreshQuietly = () => refreshModels().catch(() => null);
  pickers.add(update);
  if (offered) queueMicrotask(() => update(null));  // once the caller has what `onChange` needs
  else refreshQuietly();
  return {
    element,
    value: () => wanted,
    model,
    refresh: refreshQuietly,
    takeOver: (key) => {
      const id = store(key);
      store(key, null);
      if (id) refreshQuietly().then(() => select(id));
    },
    select,
  };
}

function headline(job) {
  const ahead = (job.place ?? 1) - 1;
  return {
    waiting: ahead > 0 ? `Waiting: ${counted(ahead, "job")} before this one` : "Waiting: this one is next",
    running: "Working",
    done: job.seconds === null ? "Done" : `Done in ${took(job.seconds)}`,
    failed: "This did not work",
    cancelled: "Cancelled",
  }[job.state];
}

/** A sentence of the server with a capital, unless it starts with what looks like a name. */
function capital(text) {
  return /^[a-z]+[ ,:]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
}

function stepOf(progress) {
  if (!progress) return "Starting…";
  const what = progress.what.charAt(0).toUpperCase() + progress.what.slice(1);
  return progress.total > 1 ? `${what}: ${progress.done} of ${progress.total}` : what;
}

/**
 * How a job is doing.
 * @param {{onCancel?: (job: object) => void|Promise<void>}} [options] - without it, the job is deleted
 * @returns {{element: HTMLElement, update: (job: object|null) => void, clear: () => void}} `update(null)`:
 *   the server has no such job; `clear` hides the panel
 */
export function jobPanel({ onCancel } = {}) {
  let current = null;
  let since = null;
  let timer = null;
  const head = el("p", { class: "job-head", role: "status" });
  const step = el("p", { class: "job-step" });
  const spent = el("span", { class: "job-spent" });
  const bar = el("progress", { "aria-label": "Progress", max: 1 });
  const cancel = button("Cancel", onClick, { class: "button small" });
  const sign = el("span", { class: "job-sign", "aria-hidden": "true" });
  const element = el("section", { class: "job", hidden: true, "aria-label": "State of the job" },
    el("div", { class: "job-row" }, sign, head, spent, cancel),
    bar, step);

  async function onClick() {
    cancel.disabled = true;
    cancel.textContent = "Cancelling…";
    try {
      await (onCancel ? onCancel(current) : api("DELETE", `/api/jobs/${current.id}`));
    } catch (error) {
      cancel.disabled = false;
      cancel.textContent = "Cancel";
      step.textContent = error.message;
    }
  }
  function tick() {
    const seconds = since === null ? 0 : (Date.now() - since) / 1000;
    spent.textContent = seconds >= 2 ? clock(Math.floor(seconds), 60) : "";
  }
  function say(state, text, detail) {
    element.hidden = false;
    element.dataset.state = state;
    if (head.textContent !== text) head.textContent = text;  // a status is read out when it changes
    step.textContent = detail;
    step.hidden = !detail;
  }
  function run(job) {
    const running = job?.state === "running";
    if (running && since === null) since = Date.now() - 1000 * (job.seconds ?? 0);
    if (!running) since = null;
    clearInterval(timer);
    timer = running ? setInterval(tick, 1000) : null;
    tick();
  }
  function update(job) {
    const fresh = job?.id !== current?.id || job?.state !== current?.state;
    if (job?.id !== current?.id) since = null;
    current = job;
    run(job);
    const active = job !== null && !isFinal(job);
    cancel.hidden = !active;
    bar.hidden = job?.state !== "running";
    if (job === null) {
      say("gone", "This job is no longer on the server",
        "Finished jobs are forgotten when they are deleted or the server stops.");
      return;
    }
    if (fresh) {
      cancel.disabled = false;
      cancel.textContent = "Cancel";
    }
    const share = job.progress && job.progress.total > 1 ? job.progress.done / job.progress.total : null;
    if (job.state === "running" && share !== null) bar.value = share;
    else bar.removeAttribute("value");
    const details = {
      waiting: "You can leave this page; the job keeps its place.",
      running: stepOf(job.progress),
      failed: job.error ? capital(job.error) : "The server gave no reason.",
      cancelled: "Nothing was kept.",
    };
    say(job.state, headline(job), details[job.state] ?? "");
  }
  return {
    element,
    update,
    clear: () => {
      clearInterval(timer);
      current = since = null;
      element.hidden = true;
    },
  };
}
