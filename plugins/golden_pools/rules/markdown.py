"""Text of others inside Markdown that we write, and tables that are read as plain text too: in a task's log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"[\\`*\[\]]|(?<!\w)_++|(?<!_)_++(?![^\W_])")
"""What begins something in Markdown. Underscores within a word do not, and names are full of them."""

_AS_ENTITY = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""What a backslash does not save in every dialect: mails are rendered by another one than Airflow's pages."""

_ESCAPED_OR_BAR = re.compile(r"\\.|\|")


def escaped(text: str) -> str:
    """Return a text that reads the same when it is rendered as Markdown, in a line or in a table's cell."""
    return _SPECIAL.sub(lambda found: "".join(f"\\{sign}" for sign in found[0]), text).translate(_AS_ENTITY)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, aligned: bool = False) -> str:
    """Return a table of cells that are Markdown already; bars in them, escaped or not, divide nothing.

    :param aligned: pad the cells, so that the columns stand below one another in plain text
    """
    cells = [[_ESCAPED_OR_BAR.sub(_with_escaped_bar, cell) for cell in row] for row in (head, *rows)]
    # The last column holds the long texts: nothing stands behind them that would need the padding.
    widths = [max(len(row[column]) for row in cells) if aligned else 0 for column in range(len(head) - 1)] + [0]
    lines = [cells[0], ["-" * max(3, width) for width in widths], *cells[1:]]
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)).rstrip() + " |" for line in lines)


def _with_escaped_bar(found: re.Match[str]) -> str:
    return "\\|" if found[0] == "|" else found[0]
