/** A pool's page: what it is, the run of interest, its line, its last runs. */

import { actionButtons } from "./actions.js";
import { h } from "./dom.js";
import { historyView } from "./history.js";
import { lineView } from "./line.js";
import {
  airflowLink,
  azureAge,
  chip,
  findingList,
  nodeBar,
  outcomeChip,
  outerLink,
  poolAddress,
  prose,
  since,
  took,
  until,
} from "./parts.js";
import { runView } from "./run.js";
import { past } from "./time.js";
import { ATTENTION, findingCounts, outcome, runType, sentence, strategy, targets } from "./words.js";

/** A run on its way shows by itself. */
const BOXES = { act: "bad", look: "warn" };

/**
 * @param {Object} page as the server gave it
 * @param {?Object} chosen the run that the address names; null for the newest
 * @param {number} now milliseconds
 * @param {number} interval seconds between two looks
 */
export function poolView(page, chosen, now, interval) {
  const { row } = page;
  return [
    breadcrumb(row.pool),
    h("header", {}, h("h1", { tabindex: -1 }, row.pool), actionButtons(page)),
    needs(row, page.run),
    facts(page, now, interval),
    runSection(page, chosen, now),
    row.findings.length
      ? section(`Open findings: ${findingCounts(row.findings)}`, "findings", findingList(row.findings))
      : null,
    section("From golden VM to pool", "line", lineView(page.line, now)),
    section(
      `Last ${page.history.length > 1 ? `${page.history.length} runs` : "run"}`,
      "history",
      historyView(page.history, row.pool),
    ),
  ];
}

/** What stands where there is no such pool, or none that the person may see. */
export function noPoolView(pool) {
  return [
    breadcrumb(pool),
    h("h1", { tabindex: -1 }, "No such pool"),
    h("p", {}, `There is no pool ${pool}, or you may not read its DAG.`),
  ];
}

function breadcrumb(pool) {
  return h(
    "nav",
    { "aria-label": "Where you are" },
    h("a", { href: "#/" }, "Golden pools"),
    " / ",
    h("span", { "aria-current": "page" }, pool),
  );
}

function needs(row, run) {
  if (!row.why || !BOXES[row.attention] || saysSo(run, row.why)) return null;
  const tone = BOXES[row.attention];
  return h("p", { class: `box ${tone}`, key: "needs" }, chip(tone, ATTENTION[row.attention]), " ", prose(row.why));
}

/** Whether the verdict of the newest run says it already. */
function saysSo(run, why) {
  return Boolean(run?.verdict) && sentence(run.verdict.text) === sentence(why);
}

function facts(page, now, interval) {
  const { row } = page;
  const nodes = row.nodes ? nodeBar(row.nodes) : h("span", { class: "muted" }, "not known");
  return h(
    "dl",
    { class: "facts" },
    fact("Nodes", nodes, azureAge(row.azure, now, interval)),
    row.azure.error ? fact("Azure did not answer", prose(row.azure.error)) : null,
    fact("Image", image(row.image, now)),
    fact("Wanted", targets(row.target)),
    fact("Refresh", strategy(row.strategy)),
    fact("Next run", row.paused ? "switched off" : row.next_run_at ? until(row.next_run_at, now) : "no time set"),
    fact("Batch account", row.account),
    fact("Owner", row.owner),
    fact("DAG", row.in_airflow ? airflowLink(`/dags/${row.dag_id}`, {}, row.dag_id) : "not in Airflow yet"),
    page.links.length
      ? fact(
          "Azure portal",
          page.links.map(({ text, url }, index) => [index ? ", " : "", outerLink(url, text)]),
        )
      : null,
  );
}

function fact(name, ...value) {
  return h("div", { key: name }, h("dt", {}, name), h("dd", {}, ...value));
}

function image(found, now) {
  if (!found) return h("span", { class: "muted" }, "not known");
  const old = found.made_at ? `, made ${past(found.made_at, now)}` : "";
  const newer = { true: ", the newest", false: "; a newer one is there" }[found.newest] ?? "";
  return `${found.version}${old}${newer}`;
}

function runSection(page, chosen, now) {
  const run = chosen ?? page.run;
  if (!run) return section("Newest run", "run", h("p", { class: "muted" }, "There was no run yet."));
  const newest = !page.run || run.run_id === page.run.run_id;
  const back = newest
    ? null
    : h(
        "p",
        { class: "box plain" },
        "This is an earlier run. ",
        h("a", { href: poolAddress(page.row.pool) }, "Show the newest"),
      );
  return section(newest ? "Newest run" : "Earlier run", "run", back, about(run, now), runView(run, now));
}

function about(run, now) {
  const time = run.ended_at
    ? ["ended ", since(run.ended_at, now)]
    : run.started_at
      ? ["began ", since(run.started_at, now)]
      : ["not begun"];
  const duration = run.ended_at ? took(run, now) : null;
  return h(
    "p",
    { class: "about" },
    outcomeChip(run),
    ` ${moreThanOutcome(run)}`,
    h(
      "span",
      { class: "muted" },
      runType(run.run_type),
      run.by ? ` by ${run.by}` : "",
      ", ",
      ...time,
      duration ? `, took ${duration}` : "",
      ". ",
    ),
    airflowLink(run.airflow_path, {}, "Graph and logs"),
  );
}

/** What the text of the outcome says beside the outcome's own word: "running: pool.nodes" says where. */
function moreThanOutcome({ outcome: key, outcome_text: text }) {
  const rest = [key, outcome(key)].reduce(
    (left, word) => (left.startsWith(word) ? left.slice(word.length) : left),
    text,
  );
  const more = rest.replace(/^: /, "");
  return more ? `${more}, ` : "";
}

function section(title, id, ...children) {
  return h(
    "section",
    { key: id, "aria-labelledby": `${id}-title` },
    h("h2", { id: `${id}-title` }, title),
    ...children,
  );
}
