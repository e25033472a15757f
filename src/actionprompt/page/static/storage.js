/* What the server keeps: every uploaded video, to delete it or to use it again. */

import { api, size } from "./api.js";
import { announce, button, counted, el, notes, problem, show, uid } from "./parts.js";
import { facts, thumbnail } from "./uploads.js";

function rowToUse(video, use) {
  return el("li", { class: "upload" }, thumbnail(video),
    el("div", { class: "upload-text" }, el("p", { class: "upload-name", dir: "auto" }, video.name),
      el("p", { class: "upload-line" }, facts(video))),
    button("Use", () => use(video), { class: "button small", "aria-label": `Use ${video.name}` }));
}

function rowToDelete(video, jobs, again) {
  const users = jobs.filter((job) => job.videos.includes(video.id));
  const said = el("p", { class: "said" });
  const remove = async () => {
    press.disabled = true;
    try {
      await api("DELETE", `/api/videos/${video.id}`);
      announce(`${video.name} deleted`);
      await again();
    } catch (error) {
      said.textContent = error.message;
      press.disabled = false;
    }
  };
  const press = button("Delete", remove, { class: "button small", "aria-label": `Delete ${video.name}` });
  const used = users.length ? ` · in ${counted(users.length, "job")}` : "";
  return el("li", { class: "upload" }, thumbnail(video),
    el("div", { class: "upload-text" }, el("p", { class: "upload-name", dir: "auto" }, video.name),
      el("p", { class: "upload-line" }, facts(video) + used), said),
    press);
}

/** A window over the page; `fill(body, dialog)` puts something into it. Resolves when it is closed. */
function openDialog(title, fill) {
  const id = uid("dialog");
  const body = el("div", { class: "dialog-body" }, el("p", { class: "loading" }, "Loading…"));
  const close = button("Close", () => dialog.close());
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": id },
    el("h2", { id }, title), body, el("div", { class: "dialog-foot" }, close));
  const refill = () => fill(body, dialog).catch((error) => show(body, problem(error.message, refill)));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  refill();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve();
    });
  });
}

const listed = (rows) => (rows.length ? el("ul", { class: "uploads" }, rows)
  : el("p", { class: "empty" }, "There are no videos on the server."));

/** Opens the list of stored videos; resolves when it is closed. */
export function openStorage() {
  const fill = async (body) => {
    const paths = ["/api/videos", "/api/jobs", "/api/server"];
    const [videos, jobs, server] = await Promise.all(paths.map((path) => api("GET", path)));
    const used = `${size(server.used_bytes)} of ${size(server.quota_bytes)} are in use, for videos and `
      + "results. All of it is deleted when the server stops.";
    const full = server.used_bytes > 0.9 * server.quota_bytes;
    show(body, el("p", { class: "hint" }, used),
      full && notes(["Space is nearly used up. Delete videos that you no longer need."]),
      listed(videos.map((video) => rowToDelete(video, jobs, () => fill(body)))));
  };
  return openDialog("Stored videos", fill);
}

/** Lets one choose a stored video; resolves to it, or to null. `without`: ids that are not offered. */
export async function chooseStored(without = []) {
  let chosen = null;
  await openDialog("Choose a stored video", async (body, dialog) => {
    const videos = (await api("GET", "/api/videos")).filter((video) => !without.includes(video.id));
    const use = (video) => {
      chosen = video;
      dialog.close();
    };
    show(body, listed(videos.map((video) => rowToUse(video, use))));
  });
  return chosen;
}
