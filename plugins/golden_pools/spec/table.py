"""The table of the spec's fields, for people, between two markers of a Markdown file."""

from __future__ import annotations

import re
from pathlib import Path

from golden_pools.spec.schema import fields

BEGIN = "<!-- pool-spec: begin -->"
END = "<!-- pool-spec: end -->"
_BETWEEN = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)


def field_table() -> str:
    """Return the table of all fields as Markdown."""
    rows = [
        f"| `{field.name}` | {_cell(field.allowed)} | {_cell(field.default)} | {_cell(field.description)} |"
        for field in fields()
    ]
    return "\n".join(["| field | allowed | default | what it does |", "|---|---|---|---|", *rows])


def with_table(text: str) -> str:
    """Return a Markdown text with the present table between its markers.

    :raises ValueError: the text has no markers
    """
    table = f"{BEGIN}\n{field_table()}\n{END}"
    new, count = _BETWEEN.subn(lambda _: table, text)
    if not count:
        raise ValueError(f"no place for the table: neither {BEGIN} nor {END}")
    return new


def write_table(path: Path) -> None:
    """Bring the table of a Markdown file up to date.

    :raises ValueError: the file has no markers
    :raises OSError: the file cannot be read or written
    """
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
