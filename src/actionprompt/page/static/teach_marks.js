/* Colours and textures of the actions that are taught, the same ones as in timelines. */

import { el, mark } from "./parts.js";

/** The mark of an action: by its place among the others; the background has that of "none of these". */
export function markOf(draft, action) {
  return mark(action === draft.background ? null : draft.classes.indexOf(action));
}

/** A small tile in a mark, for a name that stands next to it. */
export function swatch({ colour, texture }) {
  return el("span", {
    class: "teach-swatch", data: { texture }, style: { "--mark": colour }, "aria-hidden": "true",
  });
}
