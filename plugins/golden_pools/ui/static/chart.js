/** The nodes of a pool over the time of a run: areas stacked on each other, and the same as a table. */

import { grid, ticks } from "./axis.js";
import { h, svg } from "./dom.js";
import { fill, table } from "./parts.js";
import { clock, count, secondsBetween, span } from "./time.js";
import { some } from "./words.js";

const WIDTH = 720;
const HEIGHT = 200;
const LEFT = 52;
const RIGHT = 12;
const TOP = 14;
const BOTTOM = 34;

/** How far the counts of the last look reach beyond it, as a share of the time: without it they could not be seen. */
const TAIL = 0.04;

const KINDS = ["ready", "starting", "bad"];

/** Round numbers of nodes and of seconds that an axis may be divided by. */
const NODE_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000];
const STEPS = [10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400];

/**
 * @param {{target: number, points: Array<[string, number, number, number]>}} series time, ready, starting, bad
 */
export function nodesChart(series) {
  const { target, points } = series;
  if (points.length < 2) return null; // one look is no course of things; the verdict has its counts
  const seconds = Math.max(1, secondsBetween(points[0][0], points.at(-1)[0])) * (1 + TAIL);
  const most = Math.max(target, 1, ...points.map(([, ...counts]) => counts.reduce((sum, number) => sum + number, 0)));
  const x = (iso) => LEFT + (secondsBetween(points[0][0], iso) / seconds) * (WIDTH - LEFT - RIGHT);
  const y = (nodes) => HEIGHT - BOTTOM - (nodes / most) * (HEIGHT - TOP - BOTTOM);
  return h(
    "figure",
    { class: "chart", key: "nodes-chart" },
    h("figcaption", {}, h("h3", {}, "Nodes over time"), h("p", { class: "muted" }, inWords(series))),
    legend(),
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Nodes over time: ${inWords(series)}` },
      nodeAxis(most, y),
      timeAxis(points[0][0], seconds, x),
      KINDS.map((kind, index) => svg("path", { class: `area ${kind}`, ...fill(kind), d: area(points, index, x, y) })),
      svg("line", { class: "target", x1: LEFT, x2: WIDTH - RIGHT, y1: y(target), y2: y(target) }),
    ),
    h("details", { key: "nodes-table" }, h("summary", {}, "As a table"), pointsTable(points)),
  );
}

function inWords({ target, points }) {
  const [at, ready, starting, bad] = points.at(-1);
  const all = points.find((point) => point[1] >= target);
  const long = span(secondsBetween(points[0][0], at));
  if (all) return `all ${some(target, "node")} ready after ${span(secondsBetween(points[0][0], all[0]))}.`;
  return `${count(ready)} of ${some(target, "node")} ready after ${long}, ${count(starting)} starting, ${count(bad)} bad.`;
}

function legend() {
  return h(
    "ul",
    { class: "legend", "aria-hidden": "true" },
    KINDS.map((kind) => h("li", {}, swatch(kind), ` ${kind}`)),
    h(
      "li",
      {},
      svg("svg", { width: 18, height: 12 }, svg("line", { class: "target", x1: 0, x2: 18, y1: 6, y2: 6 })),
      " wanted",
    ),
  );
}

export function swatch(kind) {
  return svg("svg", { width: 12, height: 12 }, svg("rect", { class: kind, ...fill(kind), width: 12, height: 12 }));
}

/** The stretch between what lies below a kind and its own top: counts hold until the next look. */
function area(points, index, x, y) {
  const sum = (point, kinds) => point.slice(1, 1 + kinds).reduce((total, number) => total + number, 0);
  const edge = (kinds) =>
    points.flatMap((point, at) => {
      const here = [x(point[0]), y(sum(point, kinds))];
      const last = at === points.length - 1 ? [[WIDTH - RIGHT, here[1]]] : [];
      return at ? [[here[0], y(sum(points[at - 1], kinds))], here, ...last] : [here];
    });
  const round = [...edge(index + 1), ...edge(index).reverse()];
  return `M${round.map(([left, top]) => `${left.toFixed(1)},${top.toFixed(1)}`).join("L")}Z`;
}

function nodeAxis(most, y) {
  return [
    grid(ticks(most, NODE_STEPS, 4), y, LEFT, WIDTH - RIGHT, count),
    svg(
      "text",
      {
        x: 12,
        y: (HEIGHT - BOTTOM + TOP) / 2,
        "text-anchor": "middle",
        transform: `rotate(-90 12 ${(HEIGHT - BOTTOM + TOP) / 2})`,
      },
      "nodes",
    ),
  ];
}

function timeAxis(start, seconds, x) {
  const time = (tick) => new Date(new Date(start).getTime() + tick * 1000).toISOString();
  return [
    ticks(seconds, STEPS, 6).map((tick) => [
      svg("line", {
        class: "grid",
        x1: x(time(tick)),
        x2: x(time(tick)),
        y1: HEIGHT - BOTTOM,
        y2: HEIGHT - BOTTOM + 4,
      }),
      svg(
        "text",
        { x: x(time(tick)), y: HEIGHT - BOTTOM + 16, "text-anchor": tick ? "middle" : "start" },
        tick ? `+${span(tick)}` : clock(start),
      ),
    ]),
    svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, `time since ${clock(start)}`),
  ];
}

function pointsTable(points) {
  const rows = points.map(([at, ...counts]) => [span(secondsBetween(points[0][0], at)), ...counts]);
  return table(`Nodes, by the time since ${clock(points[0][0])}`, ["After", "Ready", "Starting", "Bad"], rows);
}
