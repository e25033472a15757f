/** What is about to be taught: actions, their clips and spans. Plain data and functions of it. */

/** The action that is answered with "none of these". */
export const BACKGROUND = "nothing in particular";
/** Clips of an action: fewer than FEW work poorly, GOOD are a good start. */
export const FEW = 3;
export const GOOD = 5;
const LONGEST_NAME = 200;
const SHORTEST_S = 0.1;

/** An action without clips. Its id is for this page alone. */
export function newAction(name = "") {
  return { id: newId(), name, videos: [], spans: [] };
}

/** Two actions without names; `background` becomes a third one when it is wanted. */
export function newDraft() {
  return { name: "", addTo: null, classes: [newAction(), newAction()], background: null };
}

/** All actions, the background last. */
export function actionsOf(draft) {
  return draft.background ? [...draft.classes, draft.background] : draft.classes;
}

/** How many clips an action has. */
export function numClips(action) {
  return action.videos.length + action.spans.length;
}

/** Whether there is nothing in it that would be a pity to lose. */
export function isBlank(action) {
  return !action.name.trim() && numClips(action) === 0;
}

/** Whether nothing was entered yet. */
export function isNew(draft) {
  return !draft.name.trim() && !draft.background && draft.classes.every(isBlank);
}

/** What to call an action in a sentence. */
export function called(draft, action) {
  return action.name.trim() || `action ${draft.classes.indexOf(action) + 1}`;
}

/** Of a number of clips: {level: "none"|"poor"|"fair"|"good", text}. `more`: of an action that is known. */
export function advice(number, more = false) {
  const clips = `${number}${more ? " more" : ""} clip${number === 1 ? "" : "s"}`;
  if (more) return { level: "fair", text: number ? `${clips}.` : "It knows this; give it more clips." };
  if (number === 0) return { level: "none", text: `No clips yet. ${GOOD} are a good start.` };
  if (number < FEW) return { level: "poor", text: `${clips}: works poorly. ${GOOD} are a good start.` };
  if (number < GOOD) return { level: "fair", text: `${clips}: enough to try. ${GOOD} are a good start.` };
  return { level: "good", text: `${clips}: a good start.` };
}

/** "0:12.5", "1:02:05.25": minutes and seconds, with as many decimals as matter. */
export function writeTime(time_s) {
  const hundredths = Math.round(time_s * 100);
  const [hours, minutes] = [Math.floor(hundredths / 360000), Math.floor(hundredths / 6000) % 60];
  const seconds = ((hundredths % 6000) / 100).toFixed(2).padStart(5, "0").replace(/0$/, "");
  const padded = hours ? String(minutes).padStart(2, "0") : String(minutes);
  return `${hours ? `${hours}:` : ""}${padded}:${seconds}`;
}

/** Seconds of "12.5", "1:02.5" or "1:02:05"; null if it is no time. A decimal comma is one, too. */
export function readTime(text) {
  const trimmed = text.trim().replace(",", ".").replace(/\s*s$/, "");
  if (!/^(\d+:){0,2}(\d+\.?\d*|\.\d+)$/.test(trimmed)) return null;
  return trimmed.split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
}

/** "0:12.5–0:15.0" */
export function writeSpan(span) {
  return `${writeTime(span.start_s)}–${writeTime(span.end_s)}`;
}

/** The spans of a video, from its start on: [{action, span}]. */
export function spansOf(draft, videoId) {
  return actionsOf(draft)
    .flatMap((action) => action.spans.map((span) => ({ action, span })))
    .filter(({ span }) => span.video.id === videoId)
    .sort((one, other) => one.span.start_s - other.span.start_s);
}

/** Why a span cannot be taken, in a sentence, or null. `except`: the span that it is to replace. */
export function spanProblem(draft, video, start_s, end_s, except = null) {
  if (start_s === null || end_s === null) return "Mark the start and the end first.";
  if (end_s <= start_s) return "The end has to come after the start.";
  if (end_s - start_s < SHORTEST_S) return "This is too short: a tenth of a second at least.";
  if (end_s > video.duration_s + 0.05) return `The video ends at ${writeTime(video.duration_s)}.`;
  const other = spansOf(draft, video.id).find(
    ({ span }) => span !== except && span.start_s < end_s && start_s < span.end_s);
  if (other) {
    const name = called(draft, other.action);
    return `This overlaps “${name}”, ${writeSpan(other.span)}. The spans of one video may not overlap.`;
  }
  const whole = actionsOf(draft).find((action) => action.videos.some((own) => own.id === video.id));
  if (whole) return `The whole of this video is a clip of “${called(draft, whole)}” already.`;
  return null;
}

/** Add a span to an action. Returns why it cannot be taken, or null. */
export function addSpan(draft, action, video, start_s, end_s) {
  const problem = spanProblem(draft, video, start_s, end_s);
  if (problem) return problem;
  action.spans.push({ id: newId(), video, start_s, end_s });
  action.spans.sort((one, other) => one.start_s - other.start_s);
  return null;
}

/** Change times of a span. Returns why they cannot be taken, or null. */
export function changeSpan(draft, span, start_s, end_s) {
  if (start_s === null || end_s === null) return "Write a time such as 12.5 or 1:02.5.";
  const problem = spanProblem(draft, span.video, start_s, end_s, span);
  if (!problem) Object.assign(span, { start_s, end_s });
  return problem;
}

/** Take a span out of its action, and put it into another one unless that is null. */
export function moveSpan(draft, span, to) {
  for (const action of actionsOf(draft)) action.spans = action.spans.filter((own) => own !== span);
  if (to) to.spans = [...to.spans, span].sort((one, other) => one.start_s - other.start_s);
}

/** What a model is called if no name is given. */
export function usualName(draft, known = []) {
  const own = draft.classes.map((action) => action.name.trim()).filter(Boolean);
  const names = [...new Set([...known, ...own])];
  if (!own.length) return "";
  const shown = names.slice(0, 3).join(", ") + (names.length > 3 ? ` and ${names.length - 3} more` : "");
  return shown.slice(0, LONGEST_NAME);
}

/**
 * What keeps a draft from being taught: [{action, field: "name"|"clips"|"classes", missing, text}].
 * The action is null where it is about all; `missing`: it is only not there yet. `known`: what the model to add
 * to knows already.
 */
export function problems(draft, known = []) {
  const taken = takenActions(draft, known);
  const found = taken.flatMap((action) => nameProblems(draft, action, known));
  found.push(...taken.filter((action) => !numClips(action)).map((action) => (
    { action, field: "clips", missing: true, text: "Drop a clip here, or mark a span of a long video." })));
  const few = { action: null, field: "classes", missing: true };
  const names = new Set([...known, ...taken.map((action) => action.name.trim())]);
  if (!taken.length) {
    found.push({ ...few, text: "Give a new action, or more clips of one it knows." });
  } else if (names.size < 2 && taken.length < 2) {
    found.push({ ...few, text: "Two actions at least: they are told apart." });
  }
  return found;
}

/** The actions that count: blank ones are left out, unless there would be too few without them. */
function takenActions(draft, known) {
  const all = actionsOf(draft);
  const filled = all.filter((action) => !isBlank(action));
  return filled.length + known.length >= 2 ? filled : all.slice(0, Math.max(2, filled.length));
}

function nameProblems(draft, action, known) {
  const name = action.name.trim();
  const say = (text, missing = false) => [{ action, field: "name", missing, text }];
  const alike = (other) => other.toLowerCase() === name.toLowerCase();
  if (!name) return say("Give this action a name.", true);
  if (name.length > LONGEST_NAME) return say(`At most ${LONGEST_NAME} letters, please.`);
  if (alike("none of these")) return say("This is what it answers by itself; choose another name.");
  const other = known.find(alike);
  if (other && other !== name) return say(`It knows “${other}” already: write it the same way.`);
  const first = actionsOf(draft).find((own) => alike(own.name.trim()));
  return first === action ? [] : say("This name is there twice.");
}

/**
 * Clips that look like one file that was added twice, a line each: learned from and tested at once, it would
 * make the accuracy look too good. Name, size and length can agree by chance, so this forbids nothing.
 */
export function sameFiles(draft) {
  const seen = new Map();
  const found = [];
  for (const action of actionsOf(draft)) {
    for (const video of action.videos) {
      const key = JSON.stringify([video.name, video.bytes, video.duration_s]);
      const where = seen.get(key);
      const twice = where === action ? `twice in “${called(draft, action)}”`
        : where && `in “${called(draft, where)}” and in “${called(draft, action)}”`;
      if (where) found.push(`${video.name} is ${twice}: is it the same clip? Then remove one of them.`);
      else seen.set(key, action);
    }
  }
  return found;
}

/** The body of `POST /api/teach`. */
export function requestOf(draft, known = []) {
  const clips = (action) => [
    ...action.videos.map((video) => ({ video: video.id, start_s: null, end_s: null })),
    ...action.spans.map(({ video, start_s, end_s }) => ({ video: video.id, start_s, end_s })),
  ];
  return {
    name: draft.name.trim() || usualName(draft, known),
    classes: takenActions(draft, known).map((action) => ({ name: action.name.trim(), clips: clips(action) })),
    background: draft.background?.name ?? null,
    add_to: draft.addTo,
  };
}

/** The draft of which a request was made, as far as its videos are still there: {draft, numGone}. */
export function draftOf(request, videos) {
  const byId = new Map(videos.map((video) => [video.id, video]));
  let numGone = 0;
  const read = ({ name, clips }) => {
    const action = newAction(name);
    for (const { video: id, start_s, end_s } of clips) {
      const video = byId.get(id);
      if (!video) numGone += 1;
      else if (typeof start_s === "number") action.spans.push({ id: newId(), video, start_s, end_s });
      else action.videos.push(video);
    }
    return action;
  };
  const all = request.classes.map(read);
  const background = all.find((action) => action.name === request.background) ?? null;
  const classes = all.filter((action) => action !== background);
  return { draft: { name: request.name, addTo: request.add_to ?? null, classes, background }, numGone };
}

/** The draft without videos that are not there any more: {draft, numGone}. */
export function withoutGone(draft, videos) {
  const there = new Set(videos.map((video) => video.id));
  let numGone = 0;
  const keep = (list, idOf) => list.filter((item) => there.has(idOf(item)) || !(numGone += 1));
  for (const action of actionsOf(draft)) {
    action.videos = keep(action.videos, (video) => video.id);
    action.spans = keep(action.spans, (span) => span.video.id);
  }
  return { draft, numGone };
}

function newId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(16)).join("-");
}
