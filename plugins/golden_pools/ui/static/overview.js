/** The overview: one row per pool, what needs a person first. */

import { h } from "./dom.js";
import { headline, nightLine } from "./headline.js";
import { azureAge, chip, findingList, nodeBar, outcomeChip, poolAddress, prose, since, time, until } from "./parts.js";
import { count, past } from "./time.js";
import { ATTENTION, ATTENTION_FILTERS, findingCounts, nodeCounts, outcome, some, strategy } from "./words.js";

const TONES = { act: "bad", look: "warn", busy: "busy", fine: "good", unknown: "plain" };

const URGENCY = Object.keys(ATTENTION_FILTERS);

/** By column: its heading, and what its rows are sorted by; null comes last. */
const COLUMNS = {
  pool: ["Pool", (row) => row.pool],
  state: ["State", (row) => URGENCY.indexOf(row.attention)],
  image: ["Image", (row) => row.image?.made_at ?? row.image?.version],
  strategy: ["Refresh", (row) => strategy(row.strategy)],
  nodes: ["Nodes", (row) => (row.nodes ? (row.nodes.target ? row.nodes.ready / row.nodes.target : 1) : null)],
  run: ["Last run", (row) => row.run?.ended_at ?? row.run?.started_at],
  next: ["Next run", (row) => row.next_run_at],
};

/**
 * @param {Object} overview as the server gave it
 * @param {Object} view what the person has chosen: `filter`, `attention`, `sort` and `down`
 * @param {number} now milliseconds
 */
export function overviewView(overview, view, now) {
  if (!overview.pools.length && !overview.faults.length) return nothing();
  const rows = chosen(overview.pools, view);
  return [
    h("header", {}, h("h1", { tabindex: -1 }, "Golden pools")),
    overview.pools.length ? h("p", { class: "headline" }, headline(overview.pools)) : null,
    overview.pools.length ? h("p", { class: "muted" }, nightLine(overview.pools, now)) : null,
    faults(overview.faults),
    azureErrors(overview.pools, now),
    toolbar(overview.pools, rows.length, view),
    poolTable(rows, view, now, overview.interval_seconds),
  ];
}

function nothing() {
  return [
    h("header", {}, h("h1", { tabindex: -1 }, "Golden pools")),
    h("p", { class: "headline" }, "There is no pool that you may see."),
    h(
      "p",
      {},
      "A pool shows here when it has a file in the folder of pool specs and you may read its DAG, whose name is ",
      "golden_pool_ and the pool’s name. Ask an administrator of Airflow if you miss one.",
    ),
  ];
}

function faults(files) {
  if (!files.length) return null;
  return h(
    "details",
    { class: "box bad", key: "faults" },
    h("summary", {}, chip("bad", `${some(files.length, "pool spec")} cannot be read`), " Their pools are not shown."),
    h(
      "ul",
      {},
      files.map(({ file, faults: found }) =>
        h(
          "li",
          {},
          h("b", {}, file),
          h(
            "ul",
            {},
            found.map((fault) => h("li", {}, fault)),
          ),
        ),
      ),
    ),
  );
}

/** Why Azure did not answer, each reason once however many pools it concerns. */
function azureErrors(pools, now) {
  const reasons = new Map();
  for (const row of pools.filter(({ azure }) => azure.error)) {
    reasons.set(row.azure.error, [...(reasons.get(row.azure.error) ?? []), row]);
  }
  return [...reasons].map(([error, rows]) =>
    h(
      "p",
      { class: "box warn", key: `azure ${error}` },
      chip("warn", "Azure did not answer"),
      ` for ${some(rows.length, "pool")}: `,
      prose(error),
      ` Their nodes and images are as of ${oldest(rows, now)}.`,
    ),
  );
}

function oldest(rows, now) {
  const known = rows
    .map((row) => row.azure.at)
    .filter(Boolean)
    .sort();
  return known.length ? past(known[0], now) : "no time yet";
}

function toolbar(pools, shown, view) {
  const numbers = URGENCY.map((key) => [key, pools.filter((row) => row.attention === key).length]);
  return h(
    "div",
    { class: "toolbar", role: "search" },
    h("label", { for: "filter" }, "Filter"),
    h("input", { id: "filter", type: "search", autocomplete: "off", placeholder: "name, account, state" }),
    numbers
      .filter(([key, number]) => number || view.attention === key)
      .map(([key, number]) =>
        h(
          "button",
          {
            type: "button",
            class: "quiet",
            key,
            "data-attention": key,
            "aria-pressed": String(view.attention === key),
          },
          `${count(number)} ${ATTENTION_FILTERS[key]}`,
        ),
      ),
    h(
      "span",
      { class: "muted", role: "status" },
      shown === pools.length ? "" : `${count(shown)} of ${some(pools.length, "pool")} shown`,
    ),
  );
}

/** The rows that the person wants to see, in the wanted order. */
function chosen(pools, view) {
  const words = view.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = pools.filter(
    (row) =>
      (!view.attention || row.attention === view.attention) && words.every((word) => searchable(row).includes(word)),
  );
  if (!view.sort) return rows;
  const by = COLUMNS[view.sort][1];
  const order = (one, other) => {
    const [a, b] = [by(one) ?? null, by(other) ?? null];
    if (a === null || b === null) return (a === null) - (b === null);
    const difference = typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
    return view.down ? -difference : difference;
  };
  return [...rows].sort(order);
}

function searchable(row) {
  const state = `${ATTENTION[row.attention]} ${ATTENTION_FILTERS[row.attention]}`;
  const run = row.run ? outcome(row.run.outcome) : "";
  const nodes = row.nodes ? nodeCounts(row.nodes) : "";
  return [
    row.pool,
    row.account,
    row.subscription,
    row.owner,
    strategy(row.strategy),
    state,
    run,
    nodes,
    row.why,
    row.image?.version,
  ]
    .join(" ")
    .toLowerCase();
}

function poolTable(rows, view, now, interval) {
  return h(
    "table",
    { class: "pools" },
    h("caption", { class: "unseen" }, "Pools, what needs a person first unless you sort by a column"),
    h(
      "colgroup",
      {},
      Object.keys(COLUMNS).map((key) => h("col", { class: key })),
    ),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        Object.entries(COLUMNS).map(([key, [name]]) => heading(key, name, view)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row) => poolRow(row, now, interval)),
    ),
    rows.length
      ? null
      : h("tbody", {}, h("tr", {}, h("td", { colspan: 7 }, "No pool is like that. Empty the filter to see all."))),
  );
}

function heading(key, name, view) {
  const sorted = view.sort === key;
  const order = sorted ? (view.down ? "descending" : "ascending") : "none";
  const sign = { ascending: "↑", descending: "↓", none: "" }[order];
  return h(
    "th",
    { scope: "col", class: key, "aria-sort": order },
    h("button", { type: "button", "data-sort": key }, name, h("span", { "aria-hidden": "true" }, ` ${sign}`)),
  );
}

function poolRow(row, now, interval) {
  return h(
    "tr",
    { key: row.pool, class: row.attention },
    h(
      "th",
      { scope: "row" },
      h("a", { href: poolAddress(row.pool) }, row.pool),
      h("span", { class: "muted second" }, `${row.account} · ${row.owner}`),
    ),
    h("td", {}, state(row)),
    h("td", {}, image(row, now)),
    h("td", { class: "strategy" }, strategy(row.strategy)),
    h(
      "td",
      {},
      row.nodes ? nodeBar(row.nodes) : h("span", { class: "muted" }, "not known"),
      azureAge(row.azure, now, interval),
    ),
    h("td", {}, lastRun(row, now)),
    h("td", {}, nextRun(row, now)),
  );
}

function state(row) {
  return [
    chip(TONES[row.attention], ATTENTION[row.attention]),
    row.why ? h("span", { class: "why" }, " ", prose(row.why)) : null,
    row.findings.length
      ? h(
          "details",
          { key: `findings ${row.pool}` },
          h("summary", {}, findingCounts(row.findings)),
          findingList(row.findings),
        )
      : null,
  ];
}

function image(row, now) {
  if (!row.image) return h("span", { class: "muted" }, "not known");
  return [
    h("span", { class: "version" }, row.image.version),
    row.image.made_at
      ? h(
          "span",
          { class: "second" },
          time(row.image.made_at, past(row.image.made_at, now).replace(" ago", "")),
          " old",
        )
      : null,
    row.image.newest === false ? h("span", { class: "second old" }, "a newer one is there") : null,
  ];
}

function lastRun(row, now) {
  if (!row.in_airflow) return h("span", { class: "muted" }, "not in Airflow yet");
  if (!row.run) return h("span", { class: "muted" }, "none yet");
  const at = row.run.ended_at ?? row.run.started_at;
  return [
    h("a", { class: "run", href: poolAddress(row.pool, row.run.run_id) }, outcomeChip(row.run)),
    at ? h("span", { class: "second" }, row.run.ended_at ? "" : "since ", since(at, now)) : null,
  ];
}

function nextRun(row, now) {
  if (row.paused) return h("span", { class: "muted" }, "switched off");
  if (!row.next_run_at) return h("span", { class: "muted" }, "no time set");
  if (new Date(row.next_run_at) <= now) return "now due";
  return until(row.next_run_at, now);
}
