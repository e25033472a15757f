/* The models that were taught: what each knows, how good it is, and what can be done with it. */

import { api } from "./api.js";
import { announce, button, counted, el, problem, refreshModels, show, uid } from "./parts.js";
import { inPercent } from "./teach_result.js";

const SHOWN = 12;  // names; the others are counted

/**
 * @param {{onUse: (tab: string, id: string) => void, onAddTo: (model: object) => void,
 *   onList: (taught: object[]) => void}} options - `onList` is called whenever the list was read
 * @returns {{element: HTMLElement, refresh: () => Promise<void>}}
 */
export function modelList({ onUse, onAddTo, onList }) {
  const list = el("ul", { class: "teach-models" });
  const said = el("div", null);
  const titleId = uid("taught");
  const title = el("h2", { id: titleId, tabindex: "-1" }, "Models you taught");
  const element = el("section", { class: "teach-taught", "aria-labelledby": titleId }, title, said, list);
  const dialog = confirmation();
  element.append(dialog.element);

  async function refresh() {
    let [models, backbone] = [];
    try {
      ({ models, backbone } = await refreshModels());
    } catch (error) {
      show(said, problem(error.message, refresh));
      return;
    }
    models = models.filter((model) => model.kind === "taught");
    show(said);
    const none = "None yet. What you teach is kept on the computer that runs this page.";
    const cards = models.map((model) => card(model, backbone));
    show(list, cards.length ? cards : el("li", { class: "teach-empty" }, none));
    onList(models);
  }
  function card(model, backbone) {
    const act = (text, onClick, more = "") => (
      button(text, onClick, { class: `button small ${more}`, "aria-label": `${text}: ${model.name}` }));
    const more = model.labels.length - SHOWN;
    return el("li", { class: "card teach-model" },
      el("div", { class: "teach-model-head" },
        el("h3", { dir: "auto" }, model.name),
        model.created && el("time", { datetime: model.created, class: "hint" }, when(model.created))),
      el("ul", { class: "tags", "aria-label": "Actions" },
        model.labels.slice(0, SHOWN).map((name) => el("li", { dir: "auto" }, name)),
        more > 0 && el("li", null, `and ${more} more`)),
      accuracy(model),
      noteOf(model, backbone.warning),
      el("div", { class: "teach-buttons" },
        act("Use it on a clip", () => onUse("recognise", model.id)),
        act("Use it on a long video", () => onUse("timeline", model.id)),
        act("Add to it", () => onAddTo(model)),
        act("Delete", () => remove(model), "teach-danger")));
  }
  async function remove(model) {
    const deleted = await dialog.ask(model, () => api("DELETE", `/api/models/${model.id}`));
    if (!deleted) return;
    announce(`${model.name} was deleted`);
    await refresh();
    title.focus();
  }
  return { element, refresh };
}

/** What was said when it was taught, without what the page says anyway. */
function noteOf(model, warning) {
  const note = (model.note ?? "").replace(warning ?? "", "").replace(/^; /, "");
  if (!note) return null;
  return el("details", null, el("summary", null, "What to know of it"), el("p", { class: "hint" }, note));
}

function accuracy(model) {
  if (model.held_out_top1 === null) {
    const text = "How good it is, is not known: it had too few clips to hold any out.";
    return el("p", { class: "teach-quiet" }, text);
  }
  return el("p", { class: "teach-quiet" },
    el("strong", null, inPercent(model.held_out_top1)), " of the held-out clips were recognised",
    model.rejects ? "; it can answer “none of these”." : ".");
}

function when(iso) {
  return new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** Asks before a model is deleted; `ask` tells whether it was. */
function confirmation() {
  const [titleId, textId] = [uid("title"), uid("text")];
  const title = el("h2", { id: titleId });
  const text = el("p", { id: textId });
  const said = el("div", null);
  const keep = button("Keep it", () => element.close(), { autofocus: true });
  const go = button("Delete it", null, { class: "button teach-danger" });
  const element = el("dialog", { class: "dialog", "aria-labelledby": titleId, "aria-describedby": textId },
    title, el("div", { class: "dialog-body" }, text, said),
    el("div", { class: "dialog-foot teach-buttons" }, keep, go));

  function ask(model, run) {
    title.textContent = `Delete “${model.name}”?`;
    text.textContent = `It knows ${counted(model.labels.length, "action")}. Its folder is deleted for good; `
      + "your videos are not touched.";
    show(said);
    go.disabled = false;
    return new Promise((resolve) => {
      let deleted = false;
      go.onclick = async () => {
        go.disabled = true;
        try {
          await run();
          deleted = true;
          element.close();
        } catch (error) {
          go.disabled = false;
          show(said, problem(error.message));
        }
      };
      element.onclose = () => resolve(deleted);
      element.showModal();
    });
  }
  return { element, ask };
}
