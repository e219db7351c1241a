/** The line of a pool's image as a picture: golden VM, snapshots, managed image, image version, pool. */

import { h, svg } from "./dom.js";
import { outerLink, since } from "./parts.js";
import { lineKind } from "./words.js";

/** Outlines on a ground of 24 by 24. */
const SHAPES = {
  golden_vm: "M3 5h18v11H3zM9 20h6M12 16v4",
  snapshots: "M4 8h13v12H4zM7 8V4h13v12h-3",
  managed_image: "M4 4h16v16H4zM4 15l5-5 5 5 3-3 3 3",
  version: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM12 12l8-4.5M12 12v9M12 12L4 7.5",
  pool: "M3 4h8v7H3zM13 4h8v7h-8zM3 13h8v7H3zM13 13h8v7h-8z",
};

export function lineView(line, now) {
  if (!line.length) return h("p", { class: "muted" }, "Not known yet: no run has made an image.");
  return h(
    "ol",
    { class: "line" },
    line.map((station, index) => stationCard(station, index, now)),
  );
}

function stationCard({ kind, name, detail, at, portal }, index, now) {
  return h(
    "li",
    { key: `${kind} ${index}` },
    index ? arrow() : null,
    h(
      "div",
      { class: `card ${kind}` },
      icon(kind),
      h("span", { class: "kind" }, lineKind(kind)),
      h("span", { class: "name" }, outerLink(portal, name)),
      detail ? h("span", { class: "muted" }, detail) : null,
      at ? h("span", { class: "muted" }, since(at, now)) : null,
    ),
  );
}

function icon(kind) {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 24 24", width: 22, height: 22, "aria-hidden": "true" },
    svg("path", { d: SHAPES[kind] ?? SHAPES.version }),
  );
}

function arrow() {
  return svg(
    "svg",
    { class: "arrow", viewBox: "0 0 24 12", width: 24, height: 12, "aria-hidden": "true" },
    svg("path", { d: "M0 6h21M16 1.5L21.5 6 16 10.5" }),
  );
}
