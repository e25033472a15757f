/* The frame of the page: tabs, the address that names what is shown, the server's state, the warning. */

import { api, connection, limits, size } from "./api.js";
import { announce, el, notes, problem, refreshModels, show, store } from "./parts.js";
import { openStorage } from "./storage.js";

const TABS = ["recognise", "timeline", "teach"];
const RETRY_MS = 2000;
const LOOK_MS = 15000;
const shown = { recognise: undefined, timeline: undefined, teach: undefined };
const mounted = {};
const context = { go, server: null, backbone: null, announce, refreshModels };
const byId = (id) => document.getElementById(id);

/** `#timeline/0123456789abcdef` as its tab and its job (null: none). */
function place() {
  const [tab, job] = decodeURIComponent(location.hash.slice(1)).split("/");
  return TABS.includes(tab) ? { tab, job: job || null } : { tab: store("tab") ?? "recognise", job: null };
}

/** For tabs: shows a tab, and in it a job or (null) what is being prepared, even if it is there already. */
function go(tab, job = null) {
  shown[tab] = undefined;
  visit(tab, job);
}

function visit(tab, job) {
  const hash = job ? `#${tab}/${job}` : `#${tab}`;
  if (location.hash === hash) arrive();
  else location.hash = hash;
}

async function loadTab(tab, panel) {
  show(panel, el("p", { class: "loading" }, "Loading…"));
  try {
    const module = await import(`./${tab}.js`);
    panel.replaceChildren();
    return await module.mount(panel, context);
  } catch (error) {
    delete mounted[tab];
    const message = `This part of the page could not be loaded: ${error.message}`;
    show(panel, problem(message, () => location.reload()));
    throw error;
  }
}

async function arrive() {
  const { tab, job } = place();
  store("tab", tab);
  for (const name of TABS) {
    const chosen = name === tab;
    const button = byId(`tab-${name}`);
    button.setAttribute("aria-selected", String(chosen));
    button.tabIndex = chosen ? 0 : -1;
    byId(`panel-${name}`).hidden = !chosen;
    if (chosen) document.title = `${button.textContent} – ActionPrompt`;
  }
  mounted[tab] ??= loadTab(tab, byId(`panel-${tab}`));
  const module = await mounted[tab];
  const now = place();
  if (now.tab !== tab || now.job !== job || shown[tab] === job) return;
  shown[tab] = job;
  module.show(job);
  readServer().catch(() => null);  // how much is stored
}

function setUpTabs() {
  const buttons = TABS.map((tab) => byId(`tab-${tab}`));
  buttons.forEach((button, index) => {
    button.addEventListener("click", () => visit(TABS[index], shown[TABS[index]] ?? null));
    button.addEventListener("keydown", (event) => {
      const last = TABS.length - 1;
      const steps = { ArrowRight: index + 1, ArrowLeft: index + last, Home: 0, End: last };
      if (!(event.key in steps)) return;
      event.preventDefault();
      const next = steps[event.key] % TABS.length;
      visit(TABS[next], shown[TABS[next]] ?? null);
      buttons[next].focus();
    });
  });
}

function setUpDrops() {
  // A file that misses the zone would otherwise replace the page.
  const zone = () => {
    const seen = [...document.querySelectorAll("[data-drop]")].filter((one) => one.offsetParent !== null);
    return seen.length === 1 && !document.querySelector("dialog[open]") ? seen[0] : null;
  };
  window.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone()?.classList.add("over");
  });
  window.addEventListener("dragleave", (event) => event.relatedTarget || zone()?.classList.remove("over"));
  window.addEventListener("drop", async (event) => {
    event.preventDefault();
    const target = zone();
    target?.classList.remove("over");
    const { filesOf } = await import("./uploads.js");
    const files = await filesOf(event.dataTransfer);
    target?.dispatchEvent(new CustomEvent("files", { detail: files }));
  });
}

async function readServer() {
  const server = await api("GET", "/api/server");
  context.server = server;
  limits.max_bytes = server.max_bytes;
  limits.max_labels = server.max_labels;
  byId("storage").textContent = `Stored: ${size(server.used_bytes)} of ${size(server.quota_bytes)}`;
  return server;
}

async function readBackbone() {
  const { backbone } = await refreshModels();
  show(byId("facts"), `${context.server.program} · backbone: ${backbone.name}`);
  context.backbone = backbone;
  const trying = "For trying out only: the small model `tiny` knows drawings of ActionWorld and nothing else. "
    + "Its scores say nothing about your videos. For those, start the page without `--backbone tiny`.";
  show(byId("warning"), backbone.warning && notes([backbone.tiny ? trying : backbone.warning]));
  byId("warning").hidden = !backbone.warning;
}

let retry = null;

function onConnection() {
  const away = byId("away");
  clearInterval(retry);
  if (connection.online) {
    if (!away.hidden) announce("The server answers again.");
    away.hidden = true;
    return;
  }
  show(away, problem("The server does not answer. Was it stopped? Start it again (actionprompt serve); "
    + "this page looks for it by itself."));
  away.hidden = false;
  retry = setInterval(() => readServer().catch(() => null), RETRY_MS);
}

async function start() {
  try {
    await readServer();
    await readBackbone();
  } catch (error) {
    if (error.status === 0) {
      connection.addEventListener("change", start, { once: true });
      return;
    }
    show(byId("away"), problem(error.message, () => location.reload()));
    byId("away").hidden = false;
    byId("facts").textContent = "Not connected";
    return;
  }
  window.addEventListener("hashchange", arrive);
  setInterval(() => document.hidden || !connection.online || readServer().catch(() => null), LOOK_MS);
  arrive();
}

connection.addEventListener("change", onConnection);
byId("storage").addEventListener("click", () => openStorage().then(readServer, () => null));
setUpTabs();
setUpDrops();
start();
