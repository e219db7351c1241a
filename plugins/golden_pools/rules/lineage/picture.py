"""The picture of a line, as SVG: a column for each kind, a box for each thing, and since when and until when beside it.

Nothing is measured by a browser: the letters are of one width, and every box is as large as its text. It follows the
reader's light or dark scheme.
"""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from statistics import fmean

from golden_pools.rules.lineage.line import Kind, Line, Link, Station

LETTER, ROW = 7.4, 17.0
"""Width of a letter and height of a row at 12 pixels, a little more than any of the fonts takes."""

WIDEST = 34
"""Letters in a row of a box."""

PADDING, GAP, BETWEEN, MARGIN, HEAD = 10.0, 46.0, 16.0, 16.0, 30.0

STYLE = """\
svg { background: #ffffff; font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
text { fill: #1f2933; } .head, .words, .fact { fill: #52606d; } .name { font-weight: bold; }
rect { fill: #f5f7fa; stroke: #9aa5b1; } path { fill: none; stroke: #9aa5b1; }
.good rect { fill: #e3f9e5; stroke: #3f9142; } .bad rect { fill: #ffe3e3; stroke: #cf1124; }
.gone rect { fill: none; stroke-dasharray: 4 3; } .asked rect { stroke-width: 2.5; }
.over { stroke-dasharray: 2 4; }
@media (prefers-color-scheme: dark) {
svg { background: #16191d; } text { fill: #e4e7eb; } .head, .words, .fact { fill: #9aa5b1; }
rect { fill: #242a31; stroke: #616e7c; } path { stroke: #616e7c; }
.good rect { fill: #12351a; stroke: #51ca58; } .bad rect { fill: #450a0a; stroke: #f86a6a; } .gone rect { fill: none; }
}"""


@dataclass
class Box:
    """A station in the picture: its rows, and where it is, in pixels."""

    station: Station
    rows: list[tuple[str, str]]  # class and text
    links: list[Link] = field(default_factory=list)  # those that leave it
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        """As wide as its longest row."""
        return max(len(text) for _, text in self.rows) * LETTER + 2 * PADDING

    @property
    def height(self) -> float:
        """As high as its rows, or as the links that leave it with their words need."""
        return max(len(self.rows), len(self.links)) * ROW + 2 * PADDING

    def leaves_at(self, number: int) -> float:
        """Return the height at which a link leaves it."""
        return self.y + self.height / 2 + (number - (len(self.links) - 1) / 2) * ROW


def picture(line: Line) -> str:
    """Return the line as the text of an SVG file."""
    columns, boxes = _columns(line)
    width = _place(columns)
    height = max((box.y + box.height for box in boxes.values()), default=HEAD) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img">',
        f"<title>{escape(line.question)}</title>",
        f"<style>\n{STYLE}\n</style>",
    ]
    for kind, column in columns.items():
        parts.append(f'<text class="head" x="{column[0].x:.1f}" y="{MARGIN + 6:.1f}">{kind}</text>')
    for box in boxes.values():
        parts += [_link(box, number, boxes[link.after]) for number, link in enumerate(box.links)]
    parts += [_box(box) for box in boxes.values()]
    return "\n".join([*parts, "</svg>", ""])


def _columns(line: Line) -> tuple[dict[Kind, list[Box]], dict[str, Box]]:
    boxes = {station.key: Box(station, _rows(station)) for station in line.stations}
    columns: dict[Kind, list[Box]] = {
        kind: [box for box in boxes.values() if box.station.kind is kind]
        for kind in Kind
        if any(station.kind is kind for station in line.stations)
    }
    _untangle(columns, line.links)
    places = {box.station.key: place for column in columns.values() for place, box in enumerate(column)}
    for link in sorted(line.links, key=lambda link: places[link.after]):
        boxes[link.before].links.append(link)
    return columns, boxes


def _rows(station: Station) -> list[tuple[str, str]]:
    rows = [("name", part) for part in _wrapped(station.name)]
    rows += [("state", part) for part in _wrapped(station.state)]
    # An address is for the table: nobody reads it off a picture.
    return rows + [("fact", part) for fact in station.facts if "://" not in fact for part in _wrapped(fact)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDEST)


def _untangle(columns: Mapping[Kind, list[Box]], links: Sequence[Link]) -> None:
    """Put what belongs together side by side: each column by where its neighbours stand, there and back again."""
    order = list(columns.values())
    for turn, back in ((order[1:], True), (order[-2::-1], False)):
        for column in turn:
            places = {box.station.key: float(place) for other in order for place, box in enumerate(other)}
            near: dict[str, list[float]] = defaultdict(list)
            for link in links:
                here, there = (link.after, link.before) if back else (link.before, link.after)
                near[here].append(places[there])
            column.sort(key=partial(_wants, places, near))


def _wants(places: Mapping[str, float], near: Mapping[str, Sequence[float]], box: Box) -> float:
    """Return where a box would like to stand: amid its neighbours, or where it is if it has none."""
    key = box.station.key
    return fmean(near[key]) if near.get(key) else places[key]


def _place(columns: Mapping[Kind, list[Box]]) -> float:
    """Give every box its place; returns the width of the picture."""
    tallest = max((_tall(column) for column in columns.values()), default=0.0)
    x = MARGIN
    for kind, column in columns.items():
        y = MARGIN + HEAD + (tallest - _tall(column)) / 2
        for box in column:
            box.x, box.y = x, y
            y += box.height + BETWEEN
        words = max((len(row) for box in column for link in box.links for row in [link.words]), default=0)
        x += max(len(kind) * LETTER, *(box.width for box in column)) + GAP + words * LETTER
    return x - GAP + MARGIN if columns else 2 * MARGIN


def _tall(column: Sequence[Box]) -> float:
    return sum(box.height for box in column) + BETWEEN * (len(column) - 1)


def _link(box: Box, number: int, after: Box) -> str:
    """Return the curve of a link, with its words along its straight beginning."""
    words = box.links[number].words
    x, y = box.x + box.width, box.leaves_at(number)
    straight = x + (len(words) * LETTER + 12 if words else 0)
    end_x, end_y = after.x, after.y + after.height / 2
    middle = (straight + end_x) / 2
    curve = f"M{x:.1f} {y:.1f} H{straight:.1f} C{middle:.1f} {y:.1f} {middle:.1f} {end_y:.1f} {end_x:.1f} {end_y:.1f}"
    text = f'<text class="words" x="{x + 6:.1f}" y="{y - 4:.1f}">{escape(words)}</text>' if words else ""
    return f'<path class="{"over" if box.links[number].over else "now"}" d="{curve}"/>{text}'


def _box(box: Box) -> str:
    state = box.station.state
    looks = ["good"] if state in ("current", "good") else ["bad"] if state.startswith("bad") else []
    looks += ["gone"] if "not in Azure" in state or state.startswith("retired") else []
    looks += ["asked"] if box.station.asked else []
    top = box.y + (box.height - len(box.rows) * ROW) / 2
    rows = [
        f'<text class="{kind}" x="{box.x + PADDING:.1f}" y="{top + (number + 0.75) * ROW:.1f}">{escape(text)}</text>'
        for number, (kind, text) in enumerate(box.rows)
    ]
    frame = f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="6"/>'
    return f'<g class="{" ".join(looks) or "plain"}"><title>{escape(box.station.id)}</title>{frame}{"".join(rows)}</g>'
