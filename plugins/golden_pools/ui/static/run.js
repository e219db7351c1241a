/** One run: its verdict, its stages, how far it is, its nodes over time, and what a plan-only run found. */

import { nodesChart } from "./chart.js";
import { h } from "./dom.js";
import { airflowLink, chip, prose } from "./parts.js";
import { planView } from "./plan.js";
import { span } from "./time.js";
import { groupName, partOf, stageName, stageState } from "./words.js";

const STAGE_TONES = {
  success: "good",
  failed: "bad",
  upstream_failed: "off",
  running: "busy",
  waiting: "busy",
  retrying: "warn",
  awaiting_input: "warn",
};

const STAGE_MARKS = { good: "✓", bad: "✕", busy: "●", warn: "!", off: "–", idle: "○" };

const VERDICTS = { good: "Good", warn: "Look", bad: "Failed" };

export function runView(run, now) {
  return [
    run.verdict ? verdict(run) : null,
    run.progress.length ? progressList(run.progress) : null,
    strip(run, now),
    notes(run),
    run.series?.points.length ? nodesChart(run.series) : null,
    run.plan ? planView(run.plan) : null,
  ];
}

function verdict({ stages, verdict: { level, text, answer, advice } }) {
  const asked = stages.find(({ state }) => state === "awaiting_input");
  return h(
    "div",
    { class: `box ${level}`, key: "verdict" },
    h("p", {}, chip(level, VERDICTS[level] ?? "Verdict"), " ", prose(text)),
    answer && !text.includes(answer) ? h("p", { class: "answer" }, "In detail: ", h("q", {}, answer)) : null,
    advice ? h("p", {}, h("b", {}, "What to do: "), prose(advice)) : null,
    asked ? h("p", {}, airflowLink(`${asked.airflow_path}/required_actions`, {}, "Answer in Airflow")) : null,
  );
}

function progressList(progress) {
  return h(
    "ul",
    { class: "progress", "aria-label": "How far the run is" },
    progress.map(({ what, label, percent, text }) =>
      h(
        "li",
        { key: `${what} ${label}` },
        h("span", { class: "label" }, label),
        h("progress", { max: 100, value: percent, "aria-label": `${label}: ${text}` }),
        h("span", {}, text),
      ),
    ),
  );
}

/** The stages by group. */
function strip({ stages, ended_at: endedAt }, now) {
  return h(
    "ol",
    { class: "strip", "aria-label": "Stages" },
    groups(stages).map((group) => groupRow(group, endedAt, now)),
  );
}

/** In the order of the DAG, but what goes on beside the rest comes last. */
function groups(stages) {
  const found = new Map();
  for (const stage of stages) {
    const key = stage.group || partOf(stage.name);
    found.set(key, [...(found.get(key) ?? []), stage]);
  }
  const ordered = [...found].sort(([one], [other]) => (one === "also") - (other === "also"));
  return ordered.map(([key, members]) => ({ key, name: groupName(key), members }));
}

function groupRow({ key, name, members }, endedAt, now) {
  const idle = members.every(({ state }) => ["skipped", "none"].includes(state));
  const skipped = members.every(({ state }) => state === "skipped");
  return h(
    "li",
    { class: "group", key },
    h(
      "span",
      { class: "group-name" },
      name,
      " ",
      h("span", { class: "muted second" }, idle || key === "also" ? "" : groupSpan(members, now)),
    ),
    idle
      ? h("span", { class: "muted" }, skipped ? "not needed" : endedAt ? "not reached" : "not begun")
      : h(
          "ol",
          {},
          members.map((stage) => stageCell(stage, now)),
        ),
  );
}

/** From the first begin to the last end: stages may go on side by side. */
function groupSpan(members, now) {
  const begun = members.filter(
    ({ state, started_at: from }) => from && state !== "skipped" && state !== "upstream_failed",
  );
  if (!begun.length) return "";
  const from = Math.min(...begun.map(({ started_at }) => new Date(started_at)));
  const to = Math.max(...begun.map(({ ended_at }) => new Date(ended_at ?? now)));
  return span((to - from) / 1000);
}

function stageCell(stage, now) {
  const tone = STAGE_TONES[stage.state] ?? "idle";
  const name = stageName(stage.name);
  return h(
    "li",
    { class: `stage ${tone}`, key: stage.task_id },
    h("span", { class: "mark", "aria-hidden": "true" }, STAGE_MARKS[tone]),
    h(
      "span",
      {},
      airflowLink(stage.airflow_path, {}, name),
      h(
        "span",
        { class: "second muted" },
        [stageState(stage.state), duration(stage, now), tries(stage)].filter(Boolean).join(" · "),
      ),
    ),
  );
}

function duration(stage, now) {
  if (["skipped", "none", "upstream_failed"].includes(stage.state) || !stage.started_at) return "";
  return span(stage.seconds ?? (now - new Date(stage.started_at)) / 1000);
}

function tries(stage) {
  return stage.tries > 1 ? `${stage.tries} tries` : "";
}

/** What Airflow has noted on stages, but what the verdict says already. */
function notes({ stages, verdict: said }) {
  const known = (note) => said && (said.text.includes(note) || (said.answer && note.includes(said.answer)));
  const noted = stages.filter(({ note }) => note && !known(note));
  if (!noted.length) return null;
  return h(
    "ul",
    { class: "notes", "aria-label": "Notes on stages" },
    noted.map(({ task_id, note }) =>
      h("li", { key: task_id }, h("b", {}, stageName(task_id.replace(".", " "))), `: ${note}`),
    ),
  );
}
