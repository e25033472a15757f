/* The smallest pieces of the page: elements, texts, colours, and what a tab remembers. */

/** The answer that no label fits. */
export const NONE = "none of these";

/** Of Okabe and Ito (2008), which colour-blind people tell apart; as in images and films of timelines. */
export const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"];
const TEXTURES = 3;
const OF_NONE = "#cdcdcd";
const OF_OTHERS = "#505050";
const AS_PROPERTY = new Set(["value", "checked", "indeterminate", "currentTime", "muted", "srcObject"]);
const SVG = "http://www.w3.org/2000/svg";

function listen(node, reactions) {
  for (const [event, react] of Object.entries(reactions)) node.addEventListener(event, react);
}

function dress(node, props) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") listen(node, value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "style") for (const [key, to] of Object.entries(value)) node.style.setProperty(key, to);
    else if (AS_PROPERTY.has(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
}

function fill(node, children) {
  const there = (child) => child !== null && child !== undefined && child !== false;
  node.append(...children.flat(Infinity).filter(there));
  return node;
}

/**
 * An element. Strings among the children are text and nothing else.
 * @param {string} tag
 * @param {object|null} [props] - `class`, attributes (true: without value; null or false: left out),
 *   `on: {click: f}`, `data: {key: "text"}`, `style: {"--share": "40%"}` (set one by one: the page's policy
 *   forbids the attribute)
 * @param {...(Node|string|number|null|false|Array)} children
 * @returns {HTMLElement}
 */
export function el(tag, props, ...children) {
  const node = document.createElement(tag);
  const { value, ...others } = props ?? {};
  dress(node, others);
  fill(node, children);
  dress(node, { value });  // after the children: a select takes its value from them
  return node;
}

/** The same for SVG. */
export function svg(tag, props, ...children) {
  const node = document.createElementNS(SVG, tag);
  dress(node, props);
  return fill(node, children);
}

/** A button with a text; `props` may name another class or more attributes. */
export function button(text, onClick, props) {
  return el("button", { type: "button", class: "button", ...props, on: { click: onClick } }, text);
}

/** A small drawing of a line or more, hidden from screen readers. `paths` are in a square of 24. */
export function icon(...paths) {
  const drawn = paths.map((path) => svg("path", { d: path }));
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, drawn);
}

let count = 0;

/** An id that nothing else on the page has. */
export function uid(prefix = "id") {
  count += 1;
  return `${prefix}-${count}`;
}

/** Puts these children, and only these, into a node. */
export function show(node, ...children) {
  node.replaceChildren();
  return fill(node, children);
}

/** Says a line to screen readers. */
export function announce(text) {
  let live = document.getElementById("live");
  if (!live) {
    live = el("div", { id: "live", class: "unseen", role: "status", "aria-live": "polite" });
    document.body.append(live);
  }
  live.textContent = "";
  setTimeout(() => { live.textContent = text; }, 60);  // or the same line twice would be read once
}

/**
 * What this tab of the browser remembers, also over a reload.
 * @param {string} key
 * @param {any} [value] - to keep; null forgets; without it, what was kept is returned (null: nothing)
 */
export function store(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(key);
    else if (value !== undefined) sessionStorage.setItem(key, JSON.stringify(value));
    else return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return null;  // storage is switched off or full: the page works without
  }
  return value ?? null;
}

/** A time within a video of this length: "12.3 s", "2:05" or "1:02:05". */
export function clock(time_s, duration_s = time_s) {
  if (duration_s < 60) return `${time_s.toFixed(1)} s`;
  const seconds = Math.round(time_s);
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (duration_s < 3600) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(seconds / 3600)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

/** A share from 0 to 1: "93 %", "4.2 %", "> 99 %" (no model is sure). */
export function percent(share) {
  if (share <= 0) return "0\u00a0%";
  if (share < 0.0005) return "< 0.1\u00a0%";
  if (share < 0.0995) return `${(100 * share).toFixed(1)}\u00a0%`;
  if (share >= 0.995) return share < 1 ? "> 99\u00a0%" : "100\u00a0%";
  return `${Math.round(100 * share)}\u00a0%`;
}

/** How long something took: "0.8 s", "42 s", "3 min 5 s". */
export function took(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** "1 video", "3 videos". */
export function counted(number, noun, plural = `${noun}s`) {
  return `${number} ${number === 1 ? noun : plural}`;
}

function luminance(hex) {
  const linear = [1, 3, 5].map((at) => {
    const part = parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

/**
 * How a label is drawn: colour, what is readable on it, and texture (0 plain, 1 striped, 2 dotted), which
 * tells the second and third label of a colour apart.
 * @param {number|null} index - of the label; null: "none of these"; past 20: one grey for all
 */
export function mark(index) {
  let colour = OF_NONE;
  let texture = 0;
  if (index !== null) {
    const known = index < COLOURS.length * TEXTURES;
    colour = known ? COLOURS[index % COLOURS.length] : OF_OTHERS;
    texture = known ? Math.floor(index / COLOURS.length) : 0;
  }
  return { colour, ink: luminance(colour) > 0.179 ? "#000000" : "#ffffff", texture };
}
