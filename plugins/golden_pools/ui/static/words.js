/** Plain words for what the server names by a key. */

import { count } from "./time.js";

export const ATTENTION = {
  act: "Act",
  look: "Look",
  busy: "Busy",
  fine: "Fine",
  unknown: "Not known",
};

/** What the buttons above the overview say, in the order of the table. */
export const ATTENTION_FILTERS = {
  act: "need you",
  look: "to look at",
  busy: "busy",
  unknown: "not known",
  fine: "fine",
};

const STRATEGIES = { in_place: "in place", blue_green: "blue/green", recreate: "recreate" };

const OUTCOMES = {
  refreshed: "refreshed",
  unchanged: "nothing to change",
  rolled_back: "rolled back",
  failed: "failed",
  plan_only: "planned only",
  rejected: "not approved",
  resized: "resized",
  running: "running",
  queued: "queued",
};

const OUTCOME_TONES = {
  refreshed: "good",
  unchanged: "good",
  resized: "good",
  rolled_back: "bad",
  failed: "bad",
  rejected: "warn",
};

const STATES = {
  none: "not begun",
  scheduled: "about to begin",
  queued: "about to begin",
  running: "at work",
  waiting: "waits for Azure",
  awaiting_input: "waits for an answer",
  retrying: "will be tried again",
  success: "done",
  skipped: "not needed",
  failed: "failed",
  upstream_failed: "not reached",
};

const GROUPS = { image: "Image", canary: "Canary", pool: "Pool", rollback: "Roll back", also: "Also" };

/** Stages in no group that belong to a part of the run all the same. */
const PART_OF = {
  plan: "checks",
  source: "checks",
  preflight: "checks",
  resize: "pool",
  nodes: "pool",
  replicate: "also",
  alert: "also",
};

/** The part of a run that a stage of no group belongs to; some are a part of their own. */
export const partOf = (name) => PART_OF[name] ?? name;

const RUN_TYPES = {
  manual: "by hand",
  scheduled: "on schedule",
  asset_triggered: "by a new image",
  backfill: "made up for",
};

const LEVELS = { error: "error", warning: "warning", info: "note" };

const LINE_KINDS = {
  golden_vm: "Golden VM",
  snapshots: "Snapshots",
  managed_image: "Managed image",
  version: "Image version",
  pool: "Batch pool",
};

/** A key that has no words here is shown with spaces: the server may be newer than this page. */
function say(words, key) {
  return words[key] ?? String(key).replaceAll("_", " ");
}

export const strategy = (key) => say(STRATEGIES, key);
export const outcome = (key) => say(OUTCOMES, key);
export const outcomeTone = (key) => OUTCOME_TONES[key] ?? "plain";
export const stageState = (key) => say(STATES, key);
export const runType = (key) => say(RUN_TYPES, key);
export const lineKind = (key) => say(LINE_KINDS, key);

/** A task's own name, with spaces. */
export const stageName = (name) => name.replaceAll("_", " ");

/** The heading of a group of stages; of a stage in no group its own name. */
export function groupName(key) {
  const name = say(GROUPS, key);
  return name.charAt(0).toUpperCase() + name.slice(1);
}

/** "1 node", "2,000 nodes". */
export function some(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** "1 error, 2 warnings". */
export function findingCounts(findings) {
  return Object.entries(LEVELS)
    .map(([level, name]) => [findings.filter((finding) => finding.level === level).length, name])
    .filter(([number]) => number)
    .map(([number, name]) => some(number, name))
    .join(", ");
}

export const level = (key) => say(LEVELS, key);

/** "18 of 20 ready, 1 starting, 1 bad". */
export function nodeCounts(nodes) {
  const others = ["starting", "bad", "missing"].filter((kind) => nodes[kind]);
  const more = others.map((kind) => `, ${count(nodes[kind])} ${kind}`).join("");
  if (!nodes.target && !nodes.ready && !more) return "no nodes wanted";
  return `${count(nodes.ready)} of ${count(nodes.target)} ready${more}`;
}

/** "20 dedicated, 5 Spot". */
export function targets({ dedicated, spot }) {
  const kinds = [dedicated ? `${count(dedicated)} dedicated` : "", spot ? `${count(spot)} Spot` : ""].filter(Boolean);
  return kinds.join(", ") || "no nodes";
}

/** The name of what the person wants to see, in a sentence. */
export function sentence(text) {
  if (!text) return "";
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?:]$/.test(start) ? start : `${start}.`;
}
