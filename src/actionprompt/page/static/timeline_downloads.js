/* What a timeline can be downloaded as; the video with its labels drawn in is made when it is asked for. */

import { api, isFinal, watch } from "./api.js";
import { announce, el, icon, jobPanel, problem, show } from "./parts.js";

const FORMATS = {
  csv: "Segments (CSV)", json: "All scores (JSON)", vtt: "Captions (VTT)", png: "Image (PNG)",
};
const ARROW = ["M12 4v11", "M7.5 11L12 15.5l4.5-4.5", "M5 20h14"];

function link(url, text) {
  return el("a", { class: "button small", href: url, download: "" }, icon(...ARROW), text);
}

/**
 * The files of a timeline.
 * @param {object} job - a Job of the kind timeline that is done
 * @param {boolean} hasVideo - whether the video is still there to be drawn into
 * @returns {{element: HTMLElement, close: () => void}}
 */
export function downloads(job, hasVideo) {
  const made = film(job, hasVideo);
  const files = Object.keys(FORMATS).filter((format) => job.files[format]);
  return {
    element: el("section", { class: "tl-downloads", "aria-label": "Downloads" }, el("h3", null, "Downloads"),
      el("div", { class: "downloads" }, files.map((format) => link(job.files[format], FORMATS[format]))),
      made.element),
    close: made.close,
  };
}

/** A video with everything drawn in: asked for, made, then offered. */
function film(job, hasVideo) {
  const box = el("div", { class: "tl-film" });
  const panel = jobPanel();
  let stop = () => {};
  let awaited = false;
  const button = el("button", { type: "button", class: "button small", on: { click: make } },
    icon("M4 6.5h16v11H4z", "M10 9.5v5l4.5-2.5z"), "Make a video with labels");
  const offer = (...children) => show(box, ...children, panel.element);
  function follow(id) {
    stop();
    panel.clear();
    offer();
    stop = watch(id, (now) => {
      if (now?.state === "done") {
        panel.clear();
        offer(link(now.files.mp4, "Video with labels (MP4)"));
        if (awaited) announce("The video with the labels is ready.");
        return;
      }
      awaited = true;
      panel.update(now);
      if (now === null || isFinal(now)) offer(button);
    });
  }
  async function make() {
    button.disabled = true;
    try {
      follow((await api("POST", `/api/jobs/${job.id}/film`)).id);
    } catch (error) {
      offer(button, problem(error.message));
    } finally {
      button.disabled = false;
    }
  }
  async function restore() {
    const films = (await api("GET", "/api/jobs")).filter((one) => one.kind === "film" && one.of === job.id);
    const latest = films.find((one) => one.state === "done") ?? films.find((one) => !isFinal(one));
    if (latest) follow(latest.id);
  }
  if (hasVideo) offer(button);
  restore().catch(() => null);  // then it can be made anew
  return { element: box, close: () => stop() };
}
