/** The last runs: how long each stage took, as bars and as a table. */

import { grid, ticks } from "./axis.js";
import { h, svg } from "./dom.js";
import { outcomeChip, poolAddress, table } from "./parts.js";
import { count, day, moment, span } from "./time.js";
import { groupName, outcome, partOf, runType } from "./words.js";

const WIDTH = 720;
const HEIGHT = 150;
const LEFT = 52;
const TOP = 16;
const BOTTOM = 22;
const SLOTS = 30;

/** What the bars and the table tell apart, from below. */
const PARTS = ["checks", "image", "canary", "approve", "pool", "rollback", "also"];

/** Round durations in seconds that the axis may be divided by. */
const STEPS = [60, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400];

export function historyView(runs, pool) {
  if (!runs.length) return h("p", { class: "muted" }, "There was no run yet.");
  const told = runs.map((run) => ({ ...run, stages: parts(run.stages) }));
  const stages = PARTS.filter((part) => told.some((run) => run.stages[part]));
  const comparison = told.length > 1 ? [bars(told, stages), legend(stages)] : null;
  return [comparison, runTable(told, stages, pool)];
}

/** Seconds by part. */
function parts(stages) {
  const found = {};
  for (const [key, length] of Object.entries(stages)) {
    const part = PARTS.includes(partOf(key)) ? partOf(key) : "also";
    found[part] = (found[part] ?? 0) + (length ?? 0);
  }
  return found;
}

function bars(runs, stages) {
  const longest = Math.max(60, ...runs.map((run) => stages.reduce((sum, key) => sum + (run.stages[key] ?? 0), 0)));
  const y = (seconds) => HEIGHT - BOTTOM - (seconds / longest) * (HEIGHT - TOP - BOTTOM);
  const slot = (WIDTH - LEFT) / Math.max(SLOTS, runs.length);
  const bar = slot * 0.7;
  const oldestFirst = [...runs].reverse();
  return svg(
    "svg",
    { class: "history", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": inWords(runs) },
    grid(ticks(longest, STEPS, 4), y, LEFT, WIDTH, (length) => (length ? span(length) : "0")),
    oldestFirst.map((run, index) => runBar(run, stages, LEFT + index * slot + (slot - bar) / 2, bar, y)),
    svg("text", { x: LEFT, y: HEIGHT - 6 }, began(oldestFirst[0])),
    runs.length > 6
      ? svg("text", { x: LEFT + slot * runs.length, y: HEIGHT - 6, "text-anchor": "end" }, began(runs[0]))
      : null,
  );
}

function runBar(run, stages, x, width, y) {
  let below = 0;
  const drawn = stages.map((key) => {
    const seconds = run.stages[key] ?? 0;
    const part = seconds
      ? svg("rect", {
          class: `part part-${key}`,
          x,
          width,
          y: y(below + seconds),
          height: Math.max(1, y(below) - y(below + seconds)),
        })
      : null;
    below += seconds;
    return part;
  });
  const failed =
    run.state === "failed"
      ? svg("text", { class: "failure", x: x + width / 2, y: y(below) - 3, "text-anchor": "middle" }, "✕")
      : null;
  const title = svg(
    "title",
    {},
    `${began(run)}: ${outcome(run.outcome)}${run.seconds ? `, ${span(run.seconds)}` : ""}`,
  );
  return svg("g", {}, title, drawn, failed);
}

function inWords(runs) {
  const failed = runs.filter((run) => run.state === "failed").length;
  const lengths = runs.map((run) => run.seconds).filter(Boolean);
  const most = lengths.length ? `, the longest took ${span(Math.max(...lengths))}` : "";
  return `Duration of the last ${count(runs.length)} runs by stage: ${count(failed)} failed${most}. The table below has the numbers.`;
}

function legend(stages) {
  return h(
    "ul",
    { class: "legend", "aria-hidden": "true" },
    stages.map((key) =>
      h(
        "li",
        {},
        svg("svg", { width: 12, height: 12 }, svg("rect", { class: `part part-${key}`, width: 12, height: 12 })),
        ` ${groupName(key)}`,
      ),
    ),
  );
}

function runTable(runs, stages, pool) {
  const head = ["Began", "Outcome", "Took", ...stages.map(groupName), "Nodes there after", "Image version", "Started"];
  const rows = runs.map((run) => [
    h("a", { href: poolAddress(pool, run.run_id), title: at(run) ? moment(at(run)) : null }, began(run)),
    outcomeChip(run),
    seconds(run.seconds),
    ...stages.map((key) => seconds(run.stages[key])),
    seconds(run.nodes_at_target_after_seconds),
    run.version,
    [runType(run.run_type), run.by ? ` by ${run.by}` : ""],
  ]);
  return table("The last runs, the newest first", head, rows, { class: "runs" });
}

function at(run) {
  return run.started_at ?? run.ended_at;
}

function began(run) {
  return at(run) ? day(at(run)) : "not begun";
}

function seconds(number) {
  return number ? span(number) : "–";
}
