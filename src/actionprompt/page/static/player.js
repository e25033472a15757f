/* Plays an uploaded video: the file itself, or an H.264 copy of it where the browser cannot play the file. */

import { api, watch } from "./api.js";
import { el, jobPanel, problem, show } from "./parts.js";

const CODECS = { hevc: "H.265", av1: "AV1", vp9: "VP9", mpeg4: "MPEG-4", mjpeg: "Motion JPEG" };
const NO_COPY = "No copy for the browser could be made.";
const STOPPED = "Making the copy was stopped, so there is nothing to play here.";
const SAME = "Times are the same as in your file.";

/** Why a copy is made. */
function why(video) {
  const codec = CODECS[video.codec] ?? video.codec;
  return `most browsers cannot play ${codec ? `${codec} videos` : "videos of this kind"} in such a file`;
}

/**
 * A player of one video. It plays the file, or makes a copy that browsers play and says so.
 * @param {object} video - a Video of the server
 * @param {{onReady?: () => void, captions?: string|null}} [options] - `onReady` is called when times can be
 *   sought; `captions` is the URL of a WebVTT file, which is not shown until `showCaptions(true)`
 * @returns {{element: HTMLElement, media: HTMLVideoElement, seek: (s: number) => void,
 *   onTime: (f: function) => function, showCaptions: (on: boolean) => void, toggle: () => void,
 *   close: () => void}} `onTime(f)` calls f(seconds) while the video plays and after every jump, and returns
 *   what ends that; `close` stops all of it
 */
export function player(video, { onReady = () => {}, captions = null } = {}) {
  const said = el("div", { class: "player-said", hidden: true });
  const media = el("video", {
    class: "player-media", controls: true, preload: "auto", playsinline: true, poster: video.thumbnail,
    "aria-label": `Video ${video.name}`,
  });
  if (captions) {
    media.append(el("track", { kind: "captions", label: "Labels", srclang: "en", src: captions }));
  }
  const shape = { "--shape": `${video.width_px} / ${video.height_px}` };
  const element = el("div", { class: "player", style: shape }, media, said);
  const clockwork = ticker(media);
  let stopWatching = () => {};
  let copied = false;
  let wanted_s = null;  // sought before the video could be
  let closed = false;

  const say = (kind, ...children) => {
    said.hidden = !children.length;
    said.className = `player-said player-${kind}`;
    show(said, ...children);
    media.hidden = kind === "wait" || kind === "problem";
  };
  const refuse = (text, again) => say("problem", problem(text, again));

  function load(url) {
    media.hidden = false;
    media.src = url;
    media.load();
  }

  const known = () => api("GET", `/api/videos/${video.id}`);

  async function fail() {
    if (closed || !media.getAttribute("src")) return;
    wanted_s ??= media.currentTime;
    if (copied) {
      refuse("This browser cannot play the copy of this video either.", () => copy());
      return;
    }
    try {
      await known();
      if (!closed) copy("your browser cannot play the file itself");
    } catch (error) {
      if (closed) return;
      if (error.status === 404) refuse("This video is no longer on the server.");
      else refuse(error.message, start);
    }
  }

  /** Makes the copy, or takes the one that exists. */
  async function copy(reason = why(video)) {
    media.removeAttribute("src");
    stopWatching();
    try {
      const now = await known();
      if (closed) return;
      if (now.preview) {
        play(now, reason);
        return;
      }
      const panel = jobPanel();
      const text = `A copy to play here is being made, because ${reason}. ${SAME}`;
      say("wait", el("p", null, text), panel.element);
      const job = await api("POST", `/api/videos/${video.id}/preview`);
      panel.update(job);
      if (!closed) stopWatching = watch(job.id, (next) => follow(next, panel, reason));
    } catch (error) {
      if (!closed) refuse(`${NO_COPY} ${error.message}`, () => copy(reason));
    }
  }

  function follow(job, panel, reason) {
    if (closed) return;
    if (job === null || job.state === "cancelled") refuse(STOPPED, () => copy(reason));
    else if (job.state === "failed") refuse(`${NO_COPY} ${job.error}`, () => copy(reason));
    else if (job.state === "done") copy(reason);
    else panel.update(job);
  }

  function play(now, reason) {
    if (closed) return;
    copied = true;
    say("note", el("p", null, `This is a copy, because ${reason}. ${SAME}`));
    load(now.preview);
  }

  function start() {
    copied = false;
    say("none");
    if (video.playable) load(video.file);
    else copy();
  }

  function seek(time_s) {
    if (media.readyState < HTMLMediaElement.HAVE_METADATA) {
      wanted_s = time_s;
      return;
    }
    const end_s = Number.isFinite(media.duration) ? media.duration : time_s;
    media.currentTime = Math.max(0, Math.min(time_s, end_s));
  }

  media.addEventListener("error", fail);
  media.addEventListener("loadedmetadata", () => {
    if (media.videoWidth === 0) return void fail();  // the browser plays the sound alone
    for (const track of media.textTracks) track.mode = track.mode === "disabled" ? "hidden" : track.mode;
    if (wanted_s !== null) seek(wanted_s);
    wanted_s = null;
    onReady();
  });
  start();

  return {
    element, media, seek,
    onTime: clockwork.onTime,
    showCaptions: (on) => {
      for (const track of media.textTracks) track.mode = on ? "showing" : "hidden";
    },
    toggle: () => (media.paused ? media.play().catch(() => {}) : media.pause()),
    close: () => {
      closed = true;
      stopWatching();
      clockwork.stop();
      media.pause();
      media.removeAttribute("src");
      media.load();
    },
  };
}

/** Tells the time of a video at every frame of the screen while it plays, and after every jump. */
function ticker(media) {
  const listeners = new Set();
  let asked = 0;
  const tell = () => listeners.forEach((f) => f(media.currentTime));
  const tick = () => {
    tell();
    asked = media.paused || media.ended ? 0 : requestAnimationFrame(tick);
  };
  media.addEventListener("play", () => { asked ||= requestAnimationFrame(tick); });
  for (const event of ["seeking", "seeked", "pause", "ended", "loadedmetadata"]) {
    media.addEventListener(event, tell);
  }
  return {
    onTime: (f) => {
      listeners.add(f);
      return () => listeners.delete(f);
    },
    stop: () => {
      cancelAnimationFrame(asked);
      listeners.clear();
    },
  };
}
