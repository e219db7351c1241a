/** The sentences above the overview: is everything on its newest image, and what was the night like? */

import { count, secondsBetween } from "./time.js";
import { some } from "./words.js";

const DAY_SECONDS = 24 * 3600;

const NIGHT = [
  ["refreshed", "refreshed"],
  ["unchanged", "with nothing to change"],
  ["resized", "resized"],
  ["rolled_back", "rolled back"],
  ["failed", "failed"],
  ["rejected", "not approved"],
  ["running", "running"],
  ["queued", "queued"],
];

/** "297 of 300 pools are on their newest image. 2 need you." */
export function headline(pools) {
  return `${onNewest(pools)} ${needed(pools)}`;
}

function onNewest(pools) {
  const known = pools.filter((row) => typeof row.image?.newest === "boolean");
  const newest = known.filter((row) => row.image.newest).length;
  const unknown = pools.length - known.length;
  if (!known.length)
    return pools.length === 1
      ? "The pool's image is not known."
      : `The images of all ${count(pools.length)} pools are not known.`;
  if (pools.length === 1) return newest ? "The pool is on its newest image." : "The pool is not on its newest image.";
  const how =
    newest === pools.length
      ? `All ${count(newest)} pools are`
      : `${count(newest)} of ${some(pools.length, "pool")} ${newest === 1 ? "is" : "are"}`;
  const rest = unknown ? `; of ${count(unknown)} it is not known` : "";
  return `${how} on ${newest === 1 ? "its" : "their"} newest image${rest}.`;
}

function needed(pools) {
  const number = pools.filter((row) => row.attention === "act").length;
  if (!number) return pools.length === 1 ? "It does not need you." : "None needs you.";
  if (pools.length === 1) return "It needs you.";
  return `${count(number)} ${number === 1 ? "needs" : "need"} you.`;
}

/** "Last 24 h: 280 refreshed, 17 with nothing to change, 2 failed." */
export function nightLine(pools, now) {
  const fresh = pools.filter(({ run }) => run && (!run.ended_at || secondsBetween(run.ended_at, now) < DAY_SECONDS));
  const parts = NIGHT.map(([key, words]) => [fresh.filter(({ run }) => run.outcome === key).length, words])
    .filter(([number]) => number)
    .map(([number, words]) => `${count(number)} ${words}`);
  return `Newest runs of the last 24 h: ${parts.join(", ") || "none"}.`;
}
