/* One upload at a time, with its progress: for the video in which spans are marked. */

import { size, upload } from "./api.js";
import { announce, button, el, problem, show } from "./parts.js";

/**
 * @param {(video: object) => void} onReady
 * @returns {{element: HTMLElement, send: (file: File) => void}} `send` gives up an upload that still runs
 */
export function sending(onReady) {
  let stop = null;
  const element = el("div", { class: "teach-sending" });

  async function send(file) {
    stop?.abort();
    const own = new AbortController();
    stop = own;
    const bar = el("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` });
    const line = el("p", { class: "hint" }, "Starting…");
    const cancel = button("Cancel", () => own.abort(), { class: "button small" });
    show(element, el("p", { class: "teach-sending-name", dir: "auto" }, file.name), bar, line, cancel);
    const onProgress = (done, total) => {
      bar.value = total ? done / total : 1;
      line.textContent = done < total ? `${size(done)} of ${size(total)}` : "Checking…";
      if (done >= total) bar.removeAttribute("value");
    };
    try {
      const video = await upload(file, { onProgress, signal: own.signal });
      if (stop !== own) return;
      show(element);
      announce(`${file.name} is ready`);
      onReady(video);
    } catch (error) {
      if (stop !== own) return;
      const why = error.name === "AbortError" ? "the upload was cancelled." : error.message;
      show(element, problem(`${file.name}: ${why}`, () => send(file)));
    }
  }
  return { element, send };
}
