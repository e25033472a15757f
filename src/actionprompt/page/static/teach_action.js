/* One action on the page: its name, its clips and spans, and whether these are enough. */

import { cross, el, icon, show, uid, uploadList } from "./parts.js";
import { GOOD, advice, called, numClips, writeSpan } from "./teach_draft.js";
import { markOf, swatch } from "./teach_marks.js";
import { thumbnail } from "./uploads.js";

/**
 * @param {{action: object, draft: () => object, known: () => string[], onChange: () => void,
 *   onRemove: () => void, onShowSpan: (span: object) => void,
 *   onRemoveSpan: (span: object) => void}} options - `action` is changed in place
 * @returns {{element: HTMLElement, action: object, draw: () => void, busy: () => boolean,
 *   complain: (texts: {name?: string, clips?: string}) => void,
 *   focus: (field?: string) => void}} `draw` after something was changed elsewhere
 */
export function actionCard({ action, draft, known, onChange, onRemove, onShowSpan, onRemoveSpan }) {
  const isBackground = action === draft().background;
  const [nameId, nameWhyId, clipsWhyId] = [uid("action"), uid("why"), uid("why")];
  const sign = el("span");
  const label = el("label", { for: nameId });
  const name = el("input", {
    type: "text", id: nameId, value: action.name, maxlength: 200, autocomplete: "off", dir: "auto",
    placeholder: "such as: waving a hand", "aria-describedby": nameWhyId, readonly: isBackground,
    on: { input: () => { action.name = name.value; onChange(); } },
  });
  const nameWhy = el("p", { class: "said", id: nameWhyId });
  const clipsWhy = el("p", { class: "said", id: clipsWhyId });
  const pips = el("span", { class: "teach-pips", "aria-hidden": "true" });
  const enough = el("span", null);
  const uploads = uploadList({
    multiple: true, label: "Drop clips here, or choose them",
    hint: isBackground ? "None of the actions happens in them." : "Each shows this action.",
    onChange: (videos) => { action.videos = videos; showNewest(); onChange(); },
  });
  let [numItems, numRefused] = [0, 0];
  const spans = el("ul", { class: "uploads teach-span-clips", "aria-label": "Spans" });
  const remove = cross("", onRemove);
  const element = el("div", { class: "card teach-action", role: "group" },
    el("div", { class: "teach-action-head" }, sign,
      el("div", { class: "field" }, label, name), remove),
    nameWhy,
    isBackground && el("p", { class: "hint" }, "What is like these clips is answered with “none of these”."),
    el("p", { class: "teach-enough" }, pips, enough), clipsWhy, uploads.element, spans);
  uploads.set(action.videos);

  /** A list that scrolls shows what was added last, and what was refused. */
  function showNewest() {
    const list = uploads.element.querySelector(".uploads");
    const refused = [...list.children].filter((item) => item.dataset.state === "refused");
    if (refused.length > numRefused) list.scrollTop = refused.at(-1).offsetTop - list.offsetTop;
    else if (list.children.length > numItems) list.scrollTop = list.scrollHeight;
    [numItems, numRefused] = [list.children.length, refused.length];
  }
  function draw() {
    show(sign, swatch(markOf(draft(), action)));
    const number = draft().classes.indexOf(action) + 1;
    label.textContent = isBackground ? "None of the actions" : `Action ${number}`;
    element.setAttribute("aria-label", isBackground ? action.name : `Action ${number}: ${action.name}`);
    const words = `Remove ${called(draft(), action)}`;
    remove.setAttribute("aria-label", words);
    remove.title = words;
    drawEnough();
    show(spans, action.spans.map(spanRow));
    spans.hidden = action.spans.length === 0;
  }
  function drawEnough() {
    const number = numClips(action);
    const { level, text } = advice(number, known().includes(action.name.trim()));
    element.dataset.level = level;
    enough.textContent = text;
    show(pips, Array.from({ length: GOOD }, (_, index) => el("i", { class: index < number ? "on" : null })));
  }
  function spanRow(span) {
    const text = `${span.video.name} ${writeSpan(span)}`;
    return el("li", { class: "upload", data: { state: "ready" } }, thumbnail(span.video),
      el("div", { class: "upload-text" },
        el("p", { class: "upload-name", dir: "auto", title: text }, span.video.name),
        el("p", { class: "upload-line" }, writeSpan(span))),
      el("button", { type: "button", class: "cross", "aria-label": `Show ${text}`, title: "Show it",
        on: { click: () => onShowSpan(span) } }, icon("M8 5.5v13l10.5-6.5z")),
      cross(`Remove ${text}`, () => onRemoveSpan(span)));
  }
  function complain({ name: wrongName = "", clips: wrongClips = "" }) {
    nameWhy.textContent = wrongName;
    name.setAttribute("aria-invalid", String(Boolean(wrongName)));
    clipsWhy.textContent = wrongClips;
    element.classList.toggle("teach-lacks", Boolean(wrongClips));
    const input = uploads.element.querySelector("input");
    const ids = (input.getAttribute("aria-describedby") ?? "").split(" ");
    const others = ids.filter((id) => id && id !== clipsWhyId);
    input.setAttribute("aria-describedby", [...others, clipsWhyId].join(" "));
  }
  draw();
  return {
    element, action, draw, complain,
    busy: uploads.busy,
    focus: (field = "name") => (field === "name" ? name : uploads.element.querySelector("input")).focus(),
  };
}
