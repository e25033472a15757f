/* The server, from the page's side: requests, uploads with progress, and watching a job. */

/** Whether the server answers; `change` is fired when that changes. */
export const connection = Object.assign(new EventTarget(), { online: true });

/** What the server takes, once app.js has asked it; `upload` refuses larger files at once. */
export const limits = { max_bytes: null, max_labels: null };

/** What the server refused, in its own words. `status` is 0 if it did not answer at all. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message - one line, to be shown as it is
   * @param {number|null} retryAfter - seconds to wait, where the server said so
   */
  constructor(status, message, retryAfter = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const GONE = "The server does not answer. Is actionprompt still running?";
const FINAL = new Set(["done", "failed", "cancelled"]);

/** Whether nothing more will happen to a job. */
export function isFinal(job) {
  return FINAL.has(job.state);
}

function setOnline(online) {
  if (connection.online !== online) {
    connection.online = online;
    connection.dispatchEvent(new Event("change"));
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function refusal(status, text, retryAfter) {
  const said = parsed(text)?.error;
  const seconds = Number.parseInt(retryAfter ?? "", 10);
  let message = said ?? `The server answered with status ${status}.`;
  if (status === 429) {
    const when = seconds > 0 ? `in about ${seconds} second${seconds === 1 ? "" : "s"}` : "in a little while";
    message = `The server is busy: its queue is full. Try again ${when}.`;
  }
  return new ApiError(status, message, Number.isNaN(seconds) ? null : seconds);
}

/**
 * One request.
 * @param {string} method - "GET", "POST" or "DELETE"
 * @param {string} path - such as "/api/jobs"
 * @param {object} [body] - sent as JSON
 * @returns {Promise<any>} what the server answered; null if it answered with nothing
 * @throws {ApiError}
 */
export async function api(method, path, body) {
  const options = { method, headers: { Accept: "application/json" }, cache: "no-store" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response, text;
  try {
    response = await fetch(path, options);
    text = await response.text();
  } catch {
    setOnline(false);
    throw new ApiError(0, GONE);
  }
  setOnline(true);
  if (!response.ok) throw refusal(response.status, text, response.headers.get("Retry-After"));
  if (!text) return null;
  const answer = parsed(text);
  if (answer === null) throw new ApiError(response.status, `Expected JSON from ${path}, got something else.`);
  return answer;
}

/** Reads a result, such as `job.files.json`. */
export function getJSON(url) {
  return api("GET", url);
}

/** A number of bytes for people: "820 kB", "1.4 GB". */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 9.95 ? value.toFixed(1).replace(/\.0$/, "") : Math.round(value)} ${units[unit]}`;
}

function tooLarge(file) {
  const [has, most] = [size(file.size), size(limits.max_bytes)];
  return new ApiError(413, `This file has ${has}; the server takes up to ${most} for one video.`);
}

async function brokeOff() {
  try {
    await api("GET", "/api/server");
  } catch (error) {
    return error;
  }
  return new ApiError(0, "The upload broke off. Was the file moved or changed? Otherwise try again.");
}

/**
 * Sends a file as it is.
 * @param {File} file
 * @param {{onProgress?: (done: number, total: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<object>} the Video
 * @throws {ApiError} or a DOMException called AbortError if the signal stopped it
 */
export function upload(file, { onProgress, signal } = {}) {
  if (limits.max_bytes && file.size > limits.max_bytes) return Promise.reject(tooLarge(file));
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();  // fetch cannot tell how much was sent
    const abort = () => request.abort();
    request.open("POST", `/api/videos?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => onProgress?.(event.loaded, file.size);
    request.onload = () => {
      setOnline(true);
      const video = parsed(request.responseText);
      if (request.status === 201 && video) resolve(video);
      else reject(refusal(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => brokeOff().then(reject);
    request.onabort = () => reject(new DOMException("The upload was cancelled.", "AbortError"));
    request.onloadend = () => signal?.removeEventListener("abort", abort);
    if (signal?.aborted) {
      request.onabort();
      return;
    }
    signal?.addEventListener("abort", abort);
    request.send(file);
  });
}

/**
 * Follows a job until it is final. Survives a server that is away for a while.
 * @param {string} jobId
 * @param {(job: object|null) => void} onChange - called with every state; with null if there is no such job
 * @returns {() => void} stops watching
 */
export function watch(jobId, onChange) {
  let source = null;
  let timer = null;
  let stopped = false;
  let wait_s = 0.5;
  let turn = 0;

  const hush = () => {
    source?.close();
    clearTimeout(timer);
  };
  const stop = () => {
    stopped = true;
    hush();
    document.removeEventListener("visibilitychange", renew);
  };
  const tell = (job) => {
    if (stopped) return;
    if (job === null || isFinal(job)) stop();
    onChange(job);
  };
  const again = () => {
    timer = setTimeout(ask, 1000 * wait_s);
    wait_s = Math.min(2 * wait_s, 5);
  };
  // An EventSource does not say why it failed, so the job is asked for by itself before the next try.
  const ask = async () => {
    turn += 1;
    const mine = turn;
    try {
      const job = await api("GET", `/api/jobs/${encodeURIComponent(jobId)}`);
      if (mine !== turn) return;
      tell(job);
      if (!stopped) listen();
    } catch (error) {
      if (mine !== turn || stopped) return;
      if (error.status === 404 || error.status === 422) tell(null);
      else again();
    }
  };
  const listen = () => {
    if (document.hidden) {  // browsers allow six connections to a server: hidden tabs ask now and then
      again();
      return;
    }
    source = new EventSource(`/api/jobs/${encodeURIComponent(jobId)}/events`);
    source.addEventListener("job", (event) => {
      setOnline(true);
      wait_s = 0.5;
      tell(JSON.parse(event.data));
    });
    source.onerror = () => {
      source.close();
      if (!stopped) again();
    };
  };
  function renew() {
    hush();
    wait_s = 0.5;
    ask();
  }
  document.addEventListener("visibilitychange", renew);
  ask();
  return stop;
}
