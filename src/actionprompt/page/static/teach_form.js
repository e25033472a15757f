/* What is to be taught: actions, their clips, spans of long videos, the name. It survives a reload. */

import { api } from "./api.js";
import { announce, button, counted, el, icon, notes, problem, show, store, uid } from "./parts.js";
import { actionCard } from "./teach_action.js";
import {
  BACKGROUND, FEW, actionsOf, called, isBlank, isNew, moveSpan, newAction, newDraft, numClips, problems,
  requestOf, sameFiles, usualName, withoutGone,
} from "./teach_draft.js";
import { markOf, swatch } from "./teach_marks.js";
import { spanMarker } from "./teach_spans.js";

const KEPT = "teach.draft";
const SHOWN = 10;  // actions in the summary, so that it fits on the screen

/**
 * @param {{onTeach: (request: object) => Promise<void>}} options - posts it; what it throws is shown
 * @returns {{element: HTMLElement, draft: () => object, set: (draft: object, numGone?: number) => void,
 *   replace: (draft: object, numGone: number) => void, setTaught: (models: object[]) => void,
 *   addTo: (id: string) => void, focus: () => void, pause: () => void}} `replace` can be undone;
 *   `pause` stops the player
 */
export function teachForm({ onTeach }) {
  let draft = kept() ?? newDraft();
  let taught = [];
  let cards = [];
  let eager = false;  // Teach was pressed while clips were still on their way
  let tried = false;  // only then what is missing is said; what is wrong is said at once

  const title = el("h2", { id: "teach-actions-title", tabindex: "-1" }, "Actions and their clips");
  const gone = el("div", null);
  const undo = el("div", { class: "teach-undo", hidden: true });
  const list = el("div", { class: "teach-actions" });
  const few = el("p", { class: "said" });
  const base = addToField((id) => addTo(id), (name) => moreOf(name));
  const background = button([plus(), `Add “${BACKGROUND}”`], addBackground);
  const spans = spanMarker({ draft: () => draft, onChange: () => changed() });
  const name = nameField((text) => {
    draft.name = text;
    changed();
  });
  const summary = el("ul", { class: "teach-summary", "aria-label": "What is learned" });
  const advices = el("div", null);
  const said = el("div", null);
  const go = el("button", { type: "submit", class: "button primary wide" }, "Teach");
  const fresh = button("Clear all", startAfresh, { class: "link" });
  const element = el("form", { class: "teach-form", novalidate: true, on: { submit: (event) => {
    event.preventDefault();
    submit();
  } } },
  el("div", { class: "stack" },
    gone, base.element,
    el("section", { class: "stack", "aria-labelledby": "teach-actions-title" },
      el("div", null, title,
        el("p", { class: "hint" },
          "Name at least two actions, and give each a few short clips that show it and little else. ",
          "Different people, places and views help more than many clips that look alike.")),
      list, few, undo,
      el("div", { class: "teach-buttons" },
        button([plus(), "Add an action"], () => add(newAction())), background)),
    spans.element),
  el("section", { class: "card stack teach-go", "aria-label": "Teach" },
    name.element, summary, advices, said, go, fresh));

  function changed() {
    if (tried && !eager) show(said);  // it was said of what is not so any more
    store(KEPT, isNew(draft) && !draft.addTo ? null : draft);
    for (const card of cards) card.draw();
    spans.refresh();
    drawRest();
    if (eager && !busy()) submit();
  }
  /** By hand: what was done before is not to be undone any more. */
  function edited() {
    undo.hidden = true;
    changed();
  }
  function known() {
    return taught.find((model) => model.id === draft.addTo)?.labels ?? [];
  }
  function rebuild() {
    cards = actionsOf(draft).map(cardOf);
    show(list, cards.map((card) => card.element));
    background.hidden = Boolean(draft.background);
    name.set(draft.name);
    changed();
  }
  function cardOf(action) {
    return actionCard({
      action, draft: () => draft, known, onChange: edited, onRemove: () => removeAction(action),
      onShowSpan: (span) => spans.open(span.video, span),
      onRemoveSpan: (span) => {
        moveSpan(draft, span, null);
        changed();
        cards.find((card) => card.action === action)?.focus("clips");
      },
    });
  }
  function drawRest() {
    const found = problems(draft, known()).filter((one) => tried || !one.missing);
    for (const card of cards) {
      const coming = (one) => one.field === "clips" && one.missing && card.busy();
      const own = found.filter((one) => one.action === card.action && !coming(one));
      card.complain(Object.fromEntries(own.map((one) => [one.field, one.text])));
    }
    few.textContent = found.find((one) => one.field === "classes")?.text ?? "";
    const used = actionsOf(draft).filter((action) => !isBlank(action));
    const kept = known().filter((label) => !used.some((action) => action.name.trim() === label));
    const rows = [
      ...kept.map((label) => summaryRow(label, "kept")),
      ...used.map((action) => (
        summaryRow(called(draft, action), counted(numClips(action), "clip"), markOf(draft, action)))),
    ];
    const more = rows.length - SHOWN;
    show(summary, rows.slice(0, SHOWN), more > 0 && el("li", { class: "teach-count" }, `and ${more} more`));
    summary.hidden = rows.length === 0;
    show(advices, advicesFor(used));
    name.suggest(usualName(draft, known()));
    base.draw(taught, draft.addTo);
    fresh.hidden = isNew(draft) && !draft.addTo;
    return found;
  }
  function summaryRow(label, number, mark = { colour: "transparent", texture: 0 }) {
    return el("li", null, swatch(mark), el("span", { dir: "auto" }, label),
      el("span", { class: "teach-count" }, number));
  }
  /** What is worth knowing before it is taught; nothing of it is wrong. */
  function advicesFor(used) {
    const isPoor = (action) => numClips(action) > 0 && numClips(action) < FEW;
    const poor = used.filter((action) => isPoor(action) && !known().includes(action.name));
    const names = poor.map((action) => `“${called(draft, action)}”`).join(", ");
    const few = poor.length > 0 && `Fewer than ${FEW} clips work poorly: ${names}.`;
    return notes([few, ...sameFiles(draft).slice(0, 3)]);
  }
  function add(action) {
    draft.classes.push(action);
    rebuildKeeping();
    cards.find((card) => card.action === action).focus(action.name ? "clips" : "name");
  }
  function addBackground() {
    draft.background = newAction(BACKGROUND);
    rebuildKeeping();
    cards.at(-1).focus("clips");
  }
  /** Cards of actions that are still there stay as they are: uploads may be running in them. */
  function rebuildKeeping() {
    const before = new Map(cards.map((card) => [card.action, card]));
    cards = actionsOf(draft).map((action) => before.get(action) ?? cardOf(action));
    for (const card of before.values()) if (!cards.includes(card)) card.element.remove();
    cards.forEach((card, index) => {
      const there = list.children[index] ?? null;
      if (there !== card.element) list.insertBefore(card.element, there);
    });
    background.hidden = Boolean(draft.background);
    changed();
  }
  function removeAction(action) {
    const was = { classes: [...draft.classes], background: draft.background };
    const words = `“${called(draft, action)}” was removed`;
    if (action === draft.background) draft.background = null;
    else draft.classes = draft.classes.filter((one) => one !== action);
    while (draft.classes.length < 2 && !draft.addTo) draft.classes.push(newAction());
    if (!draft.classes.length) draft.classes.push(newAction());
    rebuildKeeping();
    if (isBlank(action) || (action === was.background && !numClips(action))) return cards.at(-1).focus();
    offerUndo(`${words}.`, () => {
      Object.assign(draft, was);
      rebuildKeeping();
      cards.find((card) => card.action === action)?.focus();
    });
    return undefined;
  }
  function offerUndo(text, run) {
    const back = button("Undo", () => {
      undo.hidden = true;
      run();
    }, { class: "button small" });
    show(undo, el("p", null, text), back);
    announce(text);
    undo.hidden = false;
    back.focus();
  }
  function moreOf(known_name) {
    if (known_name === BACKGROUND && !draft.background) return addBackground();
    const there = cards.find((card) => card.action.name.trim() === known_name);
    if (there) return there.focus("clips");
    const blank = draft.classes.find(isBlank);
    if (!blank) return add(newAction(known_name));
    blank.name = known_name;
    rebuild();
    return cards.find((card) => card.action === blank).focus("clips");
  }
  function addTo(id) {
    draft.addTo = id || null;
    const model = taught.find((one) => one.id === id);
    if (model) announce(`It keeps ${counted(model.labels.length, "action")}: ${model.labels.join(", ")}`);
    changed();
  }
  function busy() {
    return cards.some((card) => card.busy());
  }
  async function submit() {
    tried = true;
    eager = busy();
    const soon = "This starts when all clips have arrived.";
    show(said, eager && el("p", { class: "hint", role: "status" }, soon));
    if (eager) return undefined;
    const found = drawRest();
    if (found.length) {
      const [first] = found;
      const many = `Not yet: ${found.length} things are missing or wrong. They are marked.`;
      show(said, problem(found.length === 1 ? `Not yet. ${first.text}` : many));
      const card = cards.find((one) => one.action === first.action) ?? cards[0];
      card.focus(first.field === "clips" ? "clips" : "name");
      return undefined;
    }
    go.disabled = true;
    go.textContent = "Sending…";
    spans.pause();
    try {
      await onTeach(requestOf(draft, known()));
      tried = false;
    } catch (error) {
      const numGone = error.status === 404 ? await checkVideos() : 0;
      show(said, problem(numGone ? goneText(numGone) : error.message));
    } finally {
      go.disabled = false;
      go.textContent = "Teach";
    }
    return undefined;
  }
  function startAfresh() {
    const was = draft;
    set(newDraft());
    offerUndo("All was cleared.", () => set(was));
  }
  /** Another draft, in place of one that may be wanted again. */
  function replace(to, numGone) {
    const was = draft;
    const lost = !isNew(was) && JSON.stringify(requestOf(was)) !== JSON.stringify(requestOf(to));
    set(to, numGone);
    if (lost) offerUndo("These clips took the place of others in the form.", () => set(was));
  }
  function set(to, numGone = 0) {
    draft = to;
    tried = false;
    undo.hidden = true;
    show(said);
    tellGone(numGone);
    rebuild();
  }
  function tellGone(number) {
    show(gone, number > 0 && notes([goneText(number)]));
  }
  /** Videos may have been deleted elsewhere, or the server started anew. Returns how many clips are gone. */
  async function checkVideos() {
    const videos = await api("GET", "/api/videos").catch(() => null);
    if (!videos || busy()) return 0;
    const { numGone } = withoutGone(draft, videos);
    if (numGone) set(draft, numGone);
    return numGone;
  }
  window.addEventListener("beforeunload", (event) => {
    if (busy()) event.preventDefault();  // an upload would be lost
  });
  rebuild();
  if (!isNew(draft)) checkVideos();
  return {
    element, set, replace, addTo,
    draft: () => draft,
    focus: () => title.focus(),
    pause: spans.pause,
    setTaught: (models) => {
      taught = models;
      if (draft.addTo && !taught.some((model) => model.id === draft.addTo)) draft.addTo = null;
      changed();
    },
  };
}

function goneText(number) {
  const [are, them] = number === 1 ? ["is", "it"] : ["are", "them"];
  return `${counted(number, "clip")} of yours ${are} no longer on the server: add ${them} again.`;
}

/** The draft of before a reload, if there is one and it is whole. */
function kept() {
  const draft = store(KEPT);
  const whole = (action) => (
    typeof action?.name === "string" && Array.isArray(action.videos) && Array.isArray(action.spans));
  return draft && Array.isArray(draft.classes) && actionsOf(draft).every(whole) ? draft : null;
}

/** A new model, or one that is added to; its actions are there to be given more clips. */
function addToField(onChoose, onMore) {
  const [id, hintId] = [uid("base"), uid("hint")];
  const choice = el("select", {
    id, "aria-describedby": hintId, on: { change: () => onChoose(choice.value) },
  });
  const hint = el("div", { id: hintId, class: "teach-known" });
  const element = el("div", { class: "card field teach-base", hidden: true },
    el("label", { for: id }, "Start from"), choice, hint);

  function draw(taught, chosen) {
    element.hidden = taught.length === 0;
    show(choice, el("option", { value: "" }, "Nothing: a new model"), taught.map((model) => (
      el("option", { value: model.id }, `What “${model.name}” knows`))));
    choice.value = chosen ?? "";
    const model = taught.find((one) => one.id === chosen);
    show(hint, model && [
      el("p", { class: "hint" }, "A new model is made that knows these as well; the old one stays as it is. ",
        "Give new actions, or choose one of these to give it more clips:"),
      el("div", { class: "teach-buttons" }, model.labels.map((name) => (
        button(name, () => onMore(name), { class: "button small", dir: "auto" })))),
    ]);
  }
  return { element, draw };
}

function plus() {
  return icon("M12 5v14", "M5 12h14");
}

function nameField(onInput) {
  const [id, hintId] = [uid("name"), uid("hint")];
  const input = el("input", { type: "text", id, maxlength: 200, autocomplete: "off", dir: "auto",
    "aria-describedby": hintId, on: { input: () => onInput(input.value) } });
  const hint = el("p", { class: "hint", id: hintId });
  return {
    element: el("div", { class: "field" }, el("label", { for: id }, "Name of the model"), input, hint),
    set: (text) => { input.value = text; },
    suggest: (text) => {
      input.placeholder = text;
      hint.textContent = text ? `Without a name it is called “${text}”.`
        : "You find it under this name in the other tabs.";
    },
  };
}
