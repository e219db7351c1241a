/** Small parts that several views show. */

import { h, svg } from "./dom.js";
import { address } from "./shell.js";
import { count, moment, past, relative, span } from "./time.js";
import { level, nodeCounts, outcome, outcomeTone, sentence } from "./words.js";

const SMALLEST_SHARE = 0.025;

const MARKS = { good: "✓", bad: "✕", warn: "!", busy: "●", plain: "–" };

/** A state as a mark, a word and a colour. */
export function chip(tone, text) {
  return h(
    "span",
    { class: `chip ${tone}` },
    h("span", { class: "mark", "aria-hidden": "true" }, MARKS[tone]),
    ` ${text}`,
  );
}

/** How a run ended, or that it goes on. */
export function outcomeChip(run) {
  const goesOn = run.outcome === "running" || run.outcome === "queued";
  return chip(goesOn ? "busy" : outcomeTone(run.outcome), outcome(run.outcome));
}

/** "7 h ago", with the exact time when pointed at. */
export function since(iso, now) {
  return time(iso, past(iso, now));
}

/** "in 7 h", likewise. */
export function until(iso, now) {
  return time(iso, relative(iso, now));
}

/** A time in other words, with the exact one when pointed at. */
export function time(iso, words) {
  return h("time", { datetime: iso, title: moment(iso) }, words);
}

/** How long a run took, or has been going on. */
export function took(run, now) {
  if (!run.started_at) return null;
  const seconds = run.seconds ?? (new Date(run.ended_at ?? now) - new Date(run.started_at)) / 1000;
  return span(seconds);
}

/** A link to another page of Airflow. */
export function airflowLink(path, attributes, ...children) {
  return h("a", { href: address(path), "data-out": true, ...attributes }, ...children);
}

/** A link to another site, in a tab of its own; only https leads out. */
export function outerLink(url, ...children) {
  if (!url?.startsWith("https://")) return h("span", {}, ...children);
  return h("a", { href: url, "data-out": true, target: "_blank", rel: "noopener noreferrer" }, ...children);
}

/** The address of a pool's page, or of one of its runs. */
export function poolAddress(pool, runId) {
  const run = runId ? `/runs/${encodeURIComponent(runId)}` : "";
  return `#/pools/${encodeURIComponent(pool)}${run}`;
}

/** The nodes of a pool as a bar with its text. */
export function nodeBar(nodes) {
  const kinds = ["ready", "starting", "bad", "missing"].filter((kind) => nodes[kind] > 0);
  const all = kinds.reduce((sum, kind) => sum + nodes[kind], 0);
  let left = 0;
  const shares = visibleShares(kinds.map((kind) => nodes[kind] / all));
  const parts = kinds.map((kind, index) => {
    const part = svg("rect", {
      class: kind,
      ...fill(kind),
      x: percent(left),
      y: 0,
      width: percent(shares[index]),
      height: "100%",
    });
    left += shares[index];
    return part;
  });
  return h(
    "div",
    { class: "nodes" },
    svg("svg", { class: "bar", width: "100%", height: 8, "aria-hidden": "true", focusable: "false" }, ...parts),
    h("span", {}, nodeCounts(nodes)),
  );
}

/** A pattern beside the colour, for those who cannot tell the colours apart. */
export function fill(kind) {
  return kind === "ready" ? {} : { fill: `url(#pattern-${kind})` };
}

/** Shares of a bar in which one node of a thousand can still be seen. */
function visibleShares(shares) {
  const raised = shares.map((share) => Math.max(share, SMALLEST_SHARE));
  const sum = raised.reduce((total, share) => total + share, 0);
  return raised.map((share) => share / sum);
}

function percent(share) {
  return `${(share * 100).toFixed(2)}%`;
}

/** Findings as a list. */
export function findingList(findings) {
  return h(
    "ul",
    { class: "findings" },
    [...findings]
      .sort(bySeverity)
      .map((finding) =>
        h(
          "li",
          {},
          chip({ error: "bad", warning: "warn" }[finding.level] ?? "plain", level(finding.level)),
          " ",
          prose(finding.seen),
          " ",
          h("span", { class: "muted" }, prose(finding.advice)),
        ),
      ),
  );
}

function bySeverity(one, other) {
  const order = ["error", "warning"];
  const rank = ({ level: key }) => (order.includes(key) ? order.indexOf(key) : order.length);
  return rank(one) - rank(other);
}

/** A sentence in which what stands between backticks is to be taken literally. */
export function prose(text) {
  return sentence(text)
    .split("`")
    .map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

/** How old what Azure said is, where that matters. */
export function azureAge(azure, now, interval) {
  if (!azure.at)
    return h("span", { class: "muted second" }, azure.error ? "Azure did not answer" : "Azure not asked yet");
  const seconds = (new Date(now) - new Date(azure.at)) / 1000;
  if (!azure.error && seconds < 4 * interval) return null;
  return h(
    "span",
    { class: "muted second" },
    "as of ",
    since(azure.at, now),
    azure.error ? "; Azure did not answer" : "",
  );
}

/** A table with a caption; the first cell of a row is its heading. */
export function table(caption, head, rows, attributes = {}) {
  const numbers = head.map((_, index) => isNumeric(rows.map((row) => row[index])));
  const aligned = (index) => (numbers[index] ? { class: "number" } : {});
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption, key: caption },
    h(
      "table",
      attributes,
      h("caption", { class: "unseen" }, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          head.map((name, index) => h("th", { scope: "col", ...aligned(index) }, name)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            row.map((cell, index) => cellOf(cell, index, aligned(index))),
          ),
        ),
      ),
    ),
  );
}

function isNumeric(cells) {
  const known = cells.filter((cell) => cell !== null && cell !== undefined);
  return known.length > 0 && known.every((cell) => typeof cell === "number");
}

function cellOf(cell, index, attributes) {
  const shown = typeof cell === "number" ? count(cell) : (cell ?? "–");
  return index ? h("td", attributes, shown) : h("th", { scope: "row", ...attributes }, shown);
}
