/* A video in a window of its own, over the page. */

import { player } from "./player.js";
import { button, el, uid } from "./parts.js";
import { facts, thumbnail } from "./uploads.js";

/** Opens a video to look at. */
function openVideo(video) {
  const id = uid("video");
  const shown = player(video);
  const close = button("Close", () => dialog.close());
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": id },
    el("h2", { id, dir: "auto" }, video.name), el("div", { class: "dialog-body" }, shown.element),
    el("div", { class: "dialog-foot" }, el("p", { class: "hint" }, facts(video)), close));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    shown.close();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** A thumbnail that opens its video. */
export function thumbnailButton(video) {
  const props = { class: "thumb-button", "aria-label": `Play ${video.name}`, title: "Play" };
  return button(thumbnail(video), () => openVideo(video), props);
}
