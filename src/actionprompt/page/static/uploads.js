/* Getting videos to the server: a zone to drop files on, and the list of uploads under it. */

import { api, connection, size, upload } from "./api.js";
import { announce, button, clock, counted, el, icon, show, uid } from "./dom.js";
import { cross, notes } from "./parts.js";
import { chooseStored } from "./storage.js";
import { thumbnailButton } from "./viewer.js";

const AT_ONCE = 2;
const UPWARDS = [
  "M12 15.5V4.5", "M7.5 8.5L12 4l4.5 4.5", "M4.5 15v3.5a1.5 1.5 0 0 0 1.5 1.5h12a1.5 1.5 0 0 0 1.5-1.5V15",
];
const FILM = ["M4 5.5h16v13H4z", "M8 5.5v13", "M16 5.5v13", "M4 12h4", "M16 12h4"];
const ACCEPT = "video/*,.avi,.flv,.m2ts,.m4v,.mkv,.mov,.mp4,.mpeg,.mpg,.mts,.mxf,.ogv,.ts,.webm,.wmv,.gif";

async function entriesIn(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return found;
    found.push(...some);
  }
}

async function filesUnder(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const entries = (await entriesIn(entry)).filter((inside) => !inside.name.startsWith("."));
  entries.sort((a, b) => a.name.localeCompare(b.name));
  return (await Promise.all(entries.map(filesUnder))).flat();
}

/** The files that were dropped, also those in folders. */
export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  if (!entries.some((entry) => entry?.isDirectory)) return [...transfer.files];
  return (await Promise.all(entries.filter(Boolean).map(filesUnder))).flat();
}

/**
 * A zone to drop files on, which is also a button to choose them. A drop elsewhere on the page counts, too,
 * if this is the only zone to be seen (see app.js).
 * @param {{label: string, hint?: string, multiple?: boolean, onFiles: (files: File[]) => void}} options
 * @returns {HTMLElement}
 */
export function dropZone({ label, hint = "", multiple = false, onFiles }) {
  const [id, hintId] = [uid("files"), uid("hint")];
  const take = (files) => files.length && onFiles(multiple ? files : files.slice(0, 1));
  const input = el("input", {
    type: "file", id, class: "unseen", accept: ACCEPT, multiple, "aria-describedby": hint ? hintId : null,
    on: {
      change: () => {
        take([...input.files]);
        input.value = "";  // so that the same file can be chosen again
      },
    },
  });
  const zone = el("div", { class: "drop", data: { drop: "" } }, input,
    el("label", { for: id }, icon(...UPWARDS), el("span", { class: "drop-label" }, label),
      hint && el("span", { class: "hint", id: hintId }, hint)));
  const over = (on) => zone.classList.toggle("over", on);
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  zone.addEventListener("dragleave", (event) => zone.contains(event.relatedTarget) || over(false));
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    event.stopPropagation();
    over(false);
    take(await filesOf(event.dataTransfer));
  });
  zone.addEventListener("files", (event) => take(event.detail));
  return zone;
}

/** What is shown in place of a thumbnail. */
export function tile() {
  return el("span", { class: "thumb", "aria-hidden": "true" }, icon(...FILM));
}

/** A thumbnail of a video; a tile where there is none. */
export function thumbnail(video) {
  const image = el("img", { class: "thumb", src: video.thumbnail, alt: "", loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(tile()));
  return image;
}

/** Length and size of a video in a line. */
export function facts(video) {
  return [clock(video.duration_s), `${video.width_px} × ${video.height_px}`, size(video.bytes)].join(" · ");
}

/** A reason that starts with the name of its file, without it: the name is next to it. */
export function without(name, reason) {
  return reason.startsWith(`${name}: `) ? reason.slice(name.length + 2) : reason;
}

function newItem(file, video) {
  const { name } = video ?? file;
  const state = video ? "ready" : "queued";
  return { node: el("li", { class: "upload" }), name, file, video, state, stop: null, error: null };
}

/** Whether the same file may be taken at another time. */
function passes(error) {
  return error.status === 0 || error.status === 408 || error.status >= 500;
}

/** Deletes a video unless a job shows it. */
async function forget(video) {
  const jobs = await api("GET", "/api/jobs");
  if (!jobs.some((job) => job.videos.includes(video.id))) await api("DELETE", `/api/videos/${video.id}`);
}

/**
 * A drop zone and, under it, its uploads: progress, cancel, remove, and what was wrong with a file.
 * @param {{multiple?: boolean, onChange?: (videos: object[]) => void, label?: string, hint?: string}} options
 *   - `onChange` is also called when an upload starts or ends (see `busy`)
 * @returns {{element: HTMLElement, videos: () => object[], set: (videos: object[]) => void,
 *   busy: () => boolean, check: () => Promise<void>}} `check` asks the server whether it still has them
 */
export function uploadList({ multiple = false, onChange, label, hint } = {}) {
  let items = [];  // see newItem; state: "queued", "sending", "ready" or "refused"
  const list = el("ul", { class: "uploads", "aria-label": "Videos" });
  const zone = dropZone({
    label: label ?? (multiple ? "Drop videos here, or choose them" : "Drop a video here, or choose one"),
    hint: hint ?? "They stay on the computer that runs this page.",
    multiple,
    onFiles: (files) => addFiles(files),
  });
  const stored = button("Or use a stored video", addStored, { class: "link" });
  const unused = el("p", { class: "said" });
  const element = el("div", { class: "upload-list" }, zone, stored, unused, list);
  const videos = () => items.filter((item) => item.video).map((item) => item.video);
  const busy = () => items.some((item) => item.state === "queued" || item.state === "sending");

  function changed() {
    element.classList.toggle("filled", items.length > 0);
    const refused = items.filter((item) => item.state === "refused").length;  // they may be far down in the list
    const those = `${refused} of ${items.length} files cannot be used; they are marked.`;
    unused.textContent = refused && items.length > 1 ? those : "";
    onChange?.(videos());
  }
  function addFiles(files) {
    if (!multiple) items.slice().forEach((item) => drop(item));
    const added = files.map((file) => newItem(file, null));
    items.push(...added);
    added.forEach((item) => {
      draw(item);
      list.append(item.node);
    });
    if (files.length > 1) announce(`${counted(files.length, "file")} added`);
    changed();
    next();
  }
  async function addStored() {
    const video = await chooseStored(videos().map((known) => known.id));
    if (!video) return;
    if (!multiple) items.slice().forEach((item) => drop(item));
    const item = newItem(null, video);
    items.push(item);
    draw(item);
    list.append(item.node);
    announce(`${video.name} added`);
    changed();
  }
  /** A server that was started anew has lost its videos. */
  async function check() {
    if (!connection.online || videos().length === 0) return;
    const there = new Set((await api("GET", "/api/videos")).map((video) => video.id));
    const lost = items.filter((item) => item.video && !there.has(item.video.id));
    lost.forEach((item) => {
      item.video = null;
      item.state = "refused";
      item.error = { message: "This video is no longer on the server. Please add it again.", status: 0 };
      draw(item);
    });
    if (lost.length) changed();
  }
  function next() {
    const sending = items.filter((item) => item.state === "sending").length;
    items.filter((item) => item.state === "queued").slice(0, Math.max(0, AT_ONCE - sending)).forEach(send);
  }
  async function send(item) {
    item.state = "sending";
    item.stop = new AbortController();
    draw(item);
    try {
      const onProgress = (done, total) => progress(item, done, total);
      item.video = await upload(item.file, { onProgress, signal: item.stop.signal });
      item.state = "ready";
      announce(`${item.file.name} is ready`);
    } catch (error) {
      if (error.name === "AbortError") return;  // it was taken from the list
      item.state = "refused";
      item.error = error;
      announce(`${item.file.name}: ${without(item.file.name, error.message)}`);
    } finally {
      next();
    }
    if (!items.includes(item)) {
      if (item.video) forget(item.video).catch(() => null);
      return;
    }
    draw(item);
    changed();
  }
  function progress(item, done, total) {
    item.bar.value = total ? done / total : 1;
    item.line.textContent = done < total ? `${size(done)} of ${size(total)}` : "Checking…";
    if (done >= total) item.bar.removeAttribute("value");
  }
  function drop(item) {
    items = items.filter((other) => other !== item);
    item.stop?.abort();
    item.node.remove();
    if (item.video) forget(item.video).catch(() => null);  // it only frees space
    next();
  }
  function remove(item) {
    const at = [...list.children].indexOf(item.node);
    drop(item);
    const buttons = list.querySelectorAll(":scope > li .cross");
    (buttons[Math.min(at, buttons.length - 1)] ?? zone.querySelector("input")).focus();
    announce(`${item.name} removed`);
    changed();
  }
  function retry(item) {
    item.state = "queued";
    item.error = null;
    draw(item);
    changed();
    next();
  }
  function draw(item) {
    const { name } = item;
    item.node.dataset.state = item.state;
    item.line = el("p", { class: "upload-line" });
    item.bar = el("progress", { max: 1, "aria-label": `Upload of ${name}` });
    const waiting = item.state === "queued" || item.state === "sending";
    if (item.video) item.line.textContent = facts(item.video);
    else if (item.error) item.line.textContent = without(name, item.error.message);
    else item.line.textContent = item.state === "queued" ? "Waiting for its turn" : "Starting…";
    if (item.state === "queued") item.bar.value = 0;
    const again = item.error && item.file && passes(item.error)
      && button("Try again", () => retry(item), { class: "link" });
    show(item.node,
      item.video ? thumbnailButton(item.video) : tile(),
      el("div", { class: "upload-text" }, el("p", { class: "upload-name", dir: "auto", title: name }, name),
        item.line, waiting && item.bar, again, item.video && notes(item.video.warnings)),
      cross(waiting ? `Cancel the upload of ${name}` : `Remove ${name}`, () => remove(item)));
  }
  function set(to) {
    items.forEach((item) => item.stop?.abort());
    items = to.map((video) => newItem(null, video));
    items.forEach(draw);
    show(list, items.map((item) => item.node));
    unused.textContent = "";
    element.classList.toggle("filled", items.length > 0);
  }
  const checkQuietly = () => check().catch(() => null);
  connection.addEventListener("change", checkQuietly);
  return { element, videos, set, busy, check: checkQuietly };
}
