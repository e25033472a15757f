/* What is asked of a video, in Recognise and in Timeline: a model, labels, and two switches. */

import { limits } from "./api.js";
import { NONE, chips, el, modelPicker, toggle } from "./parts.js";

/**
 * The part of a form that says what is asked.
 * @param {object} options - `tab`: its name, under which another tab can leave a model to take over; `noneHint`;
 *   `several`: {label, hint} of the second switch, and why the first has nothing to decide then (`instead`);
 *   `more`: further options, {element, values, set, wrong}; `onChange`: called when any of it changes
 * @returns {{element: HTMLElement, values: () => object, set: (to: object) => void, takeOver: () => void,
 *   wrong: () => {message: string, focus: () => void}|null}}
 */
export function question({ tab, noneHint, several, more = null, onChange }) {
  let touched = false;  // until somebody decides, the model does
  const picker = modelPicker({ label: "Recognise with", onChange: adapt });
  const labels = chips({
    label: "What to look for",
    hint: "Name actions in a few words, such as “a person jumps”. Enter or a comma adds one.",
    max: limits.max_labels ?? 1000,
    onChange,
  });
  const fixed = el("p", { class: "hint", hidden: true }, "This model is asked for its own labels.");
  const rejects = toggle({
    label: `Allow “${NONE}”`,
    hint: noneHint,
    onChange: () => { touched = true; onChange(); },
  });
  const independent = toggle({ ...several, onChange: () => { separate(); onChange(); } });

  /** Why the switch of "none of these" has nothing to decide; null: it has. */
  function settled() {
    const model = picker.model();
    if (independent.value()) return several.instead;
    return model?.background ? "This model has learned when to say so." : null;
  }
  function separate() {
    rejects.disable(settled());
  }
  function none() {
    const model = picker.model();
    if (settled() || !model) return null;
    if (!rejects.value()) return false;
    return model.rejects ? null : true;  // null: in the model's own way
  }
  function adapt(model) {
    labels.element.hidden = !model.takes_labels;
    fixed.hidden = model.takes_labels;
    const own = model.labels.length > 0;
    labels.hint(own ? "Leave this empty to look for the labels of the model itself." : null);
    if (!touched || settled()) rejects.set(model.rejects);
    separate();
    onChange();
  }
  const asked = () => (picker.model()?.takes_labels === false ? [] : labels.values());
  return {
    element: el("div", { class: "stack" },
      picker.element, labels.element, fixed, rejects.element, independent.element, more?.element),
    values: () => ({
      model: picker.value(), labels: asked(), none: none(), independent: independent.value(), ...more?.values(),
    }),
    set: (to) => {
      touched = (to.none ?? null) !== null;
      labels.set(to.labels ?? []);
      independent.set(to.independent ?? false);
      picker.select(to.model ?? "zero-shot");
      rejects.set(to.none ?? picker.model()?.rejects ?? false);
      more?.set(to);
      separate();
    },
    takeOver: () => picker.takeOver(`${tab}.model`),
    wrong: () => {
      if (picker.model()?.labels.length === 0 && asked().length === 0) {
        return { message: "Add at least one label: what could happen in the video?", focus: labels.focus };
      }
      return more?.wrong() ?? null;
    },
  };
}
