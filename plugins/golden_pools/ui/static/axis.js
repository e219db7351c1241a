/** Axes of charts: round numbers, and the lines across at them. */

import { svg } from "./dom.js";

/** Multiples of the smallest step that divides `most` into no more than `parts`, from 0; the last step is the largest. */
export function ticks(most, steps, parts) {
  const step = steps.find((size) => most / size <= parts) ?? steps.at(-1);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step);
}

/** A line across the chart at each tick, with its words at the left. */
export function grid(values, y, left, right, words) {
  return values.map((value) => [
    svg("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
    svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, words(value)),
  ]);
}
