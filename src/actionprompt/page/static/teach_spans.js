/* Marking spans of a long video in the player: start, end, which action, and the list of what was marked. */

import { api } from "./api.js";
import { announce, button, clock, cross, dropZone, el, icon, problem, show, uid } from "./parts.js";
import { player } from "./player.js";
import {
  actionsOf, addSpan, called, changeSpan, moveSpan, readTime, spansOf, writeSpan, writeTime,
} from "./teach_draft.js";
import { markOf, swatch } from "./teach_marks.js";
import { sending } from "./teach_upload.js";

const TYPING = "input:not([type=checkbox], [type=range]), textarea, select";
const STEP_S = 0.1;

/**
 * @param {{draft: () => object, onChange: () => void}} options - `onChange`: spans were changed here
 * @returns {{element: HTMLElement, refresh: () => void, open: (video: object, span?: object) => void,
 *   pause: () => void}} `refresh` after actions or spans were changed elsewhere
 */
export function spanMarker({ draft, onChange }) {
  let video = null;
  let shown = null;  // the player
  let [start_s, end_s] = [null, null];
  let ready = false;  // a copy for the browser may have to be made first

  const chosen = chooser((to) => load(to));
  const stage = el("div", { class: "teach-stage" });
  const strip = el("div", { class: "teach-strip", "aria-hidden": "true", on: { click: seekInStrip } });
  const head = el("span", { class: "teach-strip-head" });
  const times = el("output", { class: "teach-times" });
  const which = uid("which");
  const actions = el("div", { class: "teach-which", role: "group", "aria-labelledby": which });
  const said = el("p", { class: "said", role: "alert" });
  const list = el("ul", { class: "teach-marked", "aria-label": "Spans of this video" });
  const work = el("div", { class: "teach-marking", hidden: true },
    stage, strip,
    el("div", { class: "teach-in-out" },
      keyButton("Start here", "I", () => set("start")), keyButton("End here", "O", () => set("end")), times),
    el("p", { class: "teach-which-label", id: which }, "Which action is it? This adds the span."),
    actions, said, list);
  const body = el("div", { class: "teach-spans-body", tabindex: "-1", on: { keydown: onKey } },
    el("p", { class: "hint" },
      "Play the video and press I where an action starts and O where it ends; then choose the action, or "
      + "press its number. Every span is a clip."),
    chosen.element, work);
  const element = el("details", {
    class: "card teach-spans", on: { toggle: () => element.open && chosen.refresh(video) },
  }, el("summary", null, el("h3", null, "Mark spans in a long video")), body);

  function load(to) {
    if (video?.id === to?.id) return;
    stopShowing();
    video = to;
    [start_s, end_s] = [null, null];
    work.hidden = !video;
    if (video) {
      ready = false;
      said.textContent = "";
      shown = player(video, {
        onReady: () => {
          if (!ready) said.textContent = "";
          ready = true;
        },
      });
      shown.onTime(follow);
      show(stage, shown.element);
    }
    refresh();
  }
  function stopShowing() {
    shown?.close();
    shown = null;
    show(stage);
  }
  function now() {
    return Math.min(Math.max(Math.round(100 * shown.media.currentTime) / 100, 0), video.duration_s);
  }
  function set(which) {
    if (!shown) return;
    said.textContent = ready ? "" : "Wait until the video can be played.";
    if (!ready) return;
    if (which === "start") {
      start_s = now();
      if (end_s !== null && end_s <= start_s) end_s = null;
    } else end_s = now();
    announce(which === "start" ? `Start ${writeTime(start_s)}` : `End ${writeTime(end_s)}`);
    drawTimes();
  }
  function add(action) {
    const why = addSpan(draft(), action, video, start_s, end_s);
    said.textContent = why ?? "";
    if (why) return;
    announce(`${called(draft(), action)}: ${writeSpan({ start_s, end_s })} added`);
    [start_s, end_s] = [null, null];
    refresh();
    onChange();
  }
  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest(TYPING) || !shown) return;
    const key = event.key.toLowerCase();
    const action = /^[1-9]$/.test(key) ? actionsOf(draft())[Number(key) - 1] : null;
    if (key === "i") set("start");
    else if (key === "o") set("end");
    else if (action) add(action);
    else return;
    event.preventDefault();
  }
  function follow(time_s) {
    head.style.setProperty("--at", `${100 * time_s / video.duration_s}%`);
  }
  function seekInStrip(event) {
    const box = strip.getBoundingClientRect();
    shown?.seek(video.duration_s * Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1));
  }
  function drawTimes() {
    const end = end_s === null ? "…" : writeTime(end_s);
    times.textContent = start_s === null && end_s === null ? "No span yet"
      : `${start_s === null ? "…" : writeTime(start_s)} – ${end}`;
    drawStrip();
  }
  function piece(kind, from, to, { colour = "transparent", texture = 0 } = {}) {
    const [at, wide] = [from, to - from].map((time_s) => `${100 * time_s / video.duration_s}%`);
    const style = { "--at": at, "--wide": wide, "--mark": colour };
    return el("span", { class: kind, data: { texture }, style });
  }
  function drawStrip() {
    const marked = spansOf(draft(), video.id).map(({ action, span }) => (
      piece("teach-strip-span", span.start_s, span.end_s, markOf(draft(), action))));
    const pending = start_s === null ? null
      : piece("teach-strip-pending", start_s, end_s === null || end_s <= start_s ? start_s : end_s);
    show(strip, marked, pending, head);
  }
  function drawActions() {
    show(actions, actionsOf(draft()).map((action, index) => {
      const { colour, ink, texture } = markOf(draft(), action);
      const key = el("kbd", { data: { texture }, style: { "--mark": colour, "--ink": ink } },
        index < 9 ? String(index + 1) : "·");
      const name = el("span", { dir: "auto" }, called(draft(), action));
      return button([key, name], () => add(action), { class: "button teach-pick" });
    }));
  }
  function refresh() {
    if (!video) return;
    drawActions();
    drawTimes();
    const rows = spansOf(draft(), video.id).map(({ action, span }) => row(action, span));
    const none = "Nothing is marked in this video yet.";
    show(list, rows.length ? rows : el("li", { class: "teach-quiet" }, none));
  }
  function row(action, span) {
    const which = el("select", {
      "aria-label": "Action of this span", value: action.id, on: { change: () => move(which.value) },
    }, actionsOf(draft()).map((one) => el("option", { value: one.id }, called(draft(), one))));
    const why = el("p", { class: "said", role: "alert", id: uid("why") });
    const from = timeField("Start", span.start_s, why.id, change);
    const to = timeField("End", span.end_s, why.id, change);

    function change() {
      const problemText = changeSpan(draft(), span, readTime(from.value), readTime(to.value));
      why.textContent = problemText ?? "";
      for (const field of [from, to]) field.setAttribute("aria-invalid", String(Boolean(problemText)));
      if (problemText) return;
      drawStrip();
      onChange();
    }
    function move(id) {
      moveSpan(draft(), span, actionsOf(draft()).find((one) => one.id === id));
      refresh();
      onChange();
    }
    return el("li", null,
      swatch(markOf(draft(), action)), which, from, el("span", { "aria-hidden": "true" }, "–"), to,
      button([icon("M8 5.5v13l10.5-6.5z"), "Play"], () => playSpan(span),
        { class: "button small", "aria-label": `Play ${writeSpan(span)}` }),
      cross(`Remove ${writeSpan(span)}`, () => {
        moveSpan(draft(), span, null);
        refresh();
        onChange();
        announce(`${writeSpan(span)} removed`);
        (list.querySelector("button") ?? body).focus();
      }),
      why);
  }
  /** From its start to its end, then it stops. */
  function playSpan(span) {
    const { media } = shown;
    shown.seek(span.start_s);
    const stop = () => {
      const outside = media.currentTime < span.start_s - 0.5;
      if (media.currentTime >= span.end_s) media.pause();
      if (outside || media.currentTime >= span.end_s) media.removeEventListener("timeupdate", stop);
    };
    media.addEventListener("seeked", () => media.addEventListener("timeupdate", stop), { once: true });
    media.play()?.catch(() => null);  // a browser that refuses still shows the start
  }
  return {
    element,
    refresh,
    open(to, span) {
      element.open = true;
      load(to);
      chosen.refresh(to);
      if (span) shown.seek(span.start_s);
      element.scrollIntoView({ block: "start" });
      body.focus({ preventScroll: true });
    },
    pause: () => shown?.media.pause(),
  };
}

/** A time that is typed; arrow keys move it by a tenth of a second. */
function timeField(label, time_s, describedBy, onChange) {
  const field = el("input", {
    type: "text", inputmode: "decimal", class: "teach-time", "aria-label": `${label}, as 12.5 or 1:02.5`,
    "aria-describedby": describedBy, value: writeTime(time_s), autocomplete: "off",
    on: {
      change: () => {
        const read = readTime(field.value);
        if (read !== null) field.value = writeTime(read);
        onChange();
      },
      keydown: (event) => {
        const step = { ArrowUp: STEP_S, ArrowDown: -STEP_S }[event.key];
        const read = readTime(field.value);
        if (!step || read === null) return;
        event.preventDefault();
        field.value = writeTime(Math.max(read + step, 0));
        onChange();
      },
    },
  });
  return field;
}

function keyButton(label, key, onClick) {
  return button([label, el("kbd", { "aria-hidden": "true" }, key)], onClick, { "aria-keyshortcuts": key });
}

/** The choice of a video: one that was uploaded before, or a new one. */
function chooser(onChoose) {
  const id = uid("film");
  let videos = [];
  const chosen = () => videos.find((one) => one.id === choice.value) ?? null;
  const choice = el("select", { id, on: { change: () => onChoose(chosen()) } });
  const before = el("div", { class: "field", hidden: true },
    el("label", { for: id }, "Uploaded before"), choice);
  const said = el("div", null);
  const upload = sending((video) => {
    refresh(video);
    onChoose(video);
  });
  const element = el("div", { class: "teach-choose" }, before,
    dropZone({ label: "Drop a long video, or choose one", onFiles: ([file]) => upload.send(file) }),
    upload.element, said);

  async function refresh(now) {
    try {
      videos = await api("GET", "/api/videos");
    } catch (error) {
      show(said, problem(error.message, () => refresh(now)));
      return;
    }
    show(said);
    before.hidden = videos.length === 0;
    const longest = [...videos].sort((one, other) => other.duration_s - one.duration_s);
    show(choice, el("option", { value: "" }, "Choose a video"), longest.map((one) => (
      el("option", { value: one.id }, `${one.name} (${clock(one.duration_s)})`))));
    choice.value = now?.id ?? "";
  }
  return { element, refresh };
}
