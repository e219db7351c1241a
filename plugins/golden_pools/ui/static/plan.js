/** What a plan-only run found: what it would write, need, take and cost, a table each. */

import { h } from "./dom.js";
import { prose, table } from "./parts.js";
import { count, LOCALE, span } from "./time.js";
import { stageName } from "./words.js";

const SAYS = { fits: "fits", full_now: "not now: others hold it", never: "never fits", unknown: "not known" };

/** By part: its title, what stands there if it is empty, and by column its heading and its cell. */
const PARTS = {
  rows: {
    title: "What it would change",
    none: "Nothing: everything is as it should be, as far as it could be seen.",
    columns: [
      ["Stage", (row) => stageName(row.stage)],
      ["Kind", (row) => row.kind],
      ["Resource", (row) => h("span", { title: row.resource }, lastName(row.resource))],
      ["Before", (row) => row.before],
      ["After", (row) => row.after],
      ["What", (row) => row.what],
    ],
  },
  quota: {
    title: "The quota it needs",
    none: "None: no node and no pool is made.",
    columns: [
      ["Step", (row) => row.step],
      ["Quota", (row) => row.quota],
      ["Taken now", (row) => row.now],
      ["Needed", (row) => row.needed],
      ["At the most", (row) => row.peak],
      ["Limit", (row) => row.limit],
      ["Verdict", (row) => [SAYS[row.says] ?? row.says, row.note].filter(Boolean).join("; ")],
    ],
  },
  durations: {
    title: "How long such runs took",
    none: "There was no such run of this pool yet.",
    columns: [
      ["Stage", (row) => stageName(row.stage)],
      ["Runs", (row) => row.runs],
      ["Median", (row) => span(row.median_seconds)],
      ["Longest", (row) => span(row.longest_seconds)],
    ],
  },
  cost: {
    title: "What it costs more",
    none: "Nothing beside what the pool costs anyway.",
    columns: [
      ["What", (row) => row.what],
      ["Node hours", (row) => (row.hours === null ? null : `${fine(row.hours)} h`)],
      ["Stored", (row) => (row.gib === null ? null : `${count(row.gib)} GiB`)],
      ["Cost", (row) => cost(row)],
      ["Where the numbers come from", (row) => row.basis],
    ],
  },
};

/** @param {Object} plan rows by part; a plan of another version has its Markdown alone */
export function planView(plan) {
  const parts = Object.entries(PARTS).filter(([key]) => Array.isArray(plan[key]));
  return h(
    "div",
    { key: "plan" },
    h("h3", {}, "Plan"),
    parts.map(([key, part]) => [h("h4", {}, part.title), partView(part, plan[key])]),
    parts.length ? null : h("pre", {}, plan.markdown),
  );
}

function partView({ title, none, columns }, rows) {
  if (!rows.length) return h("p", {}, prose(none));
  const heads = columns.map(([name]) => name);
  return table(
    title,
    heads,
    rows.map((row) => columns.map(([, cell]) => shown(cell(row)))),
  );
}

function shown(value) {
  return value === "" || value === undefined ? null : value;
}

/** The kind and the name at the end of an ARM id. */
function lastName(id) {
  return id.split("/").slice(-2).join(" ");
}

function cost({ amount, currency, per, partial }) {
  if (amount === null) return null;
  return `${partial ? "at least " : ""}${fine(amount)} ${currency} a ${per}`;
}

function fine(number) {
  return Intl.NumberFormat(LOCALE, { maximumFractionDigits: 2, minimumFractionDigits: 2 }).format(number);
}
