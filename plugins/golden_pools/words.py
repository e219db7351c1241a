"""Numbers, names and long texts, as messages have them."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST_QUOTE = 60
"""Characters of somebody's own text that a message repeats."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 node``, ``2 nodes``.

    :param plural: where it takes more than an s
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def listed(names: Iterable[str], most: int) -> str:
    """Return the first ``most`` names, and how many more there are."""
    all_names = list(names)
    left = len(all_names) - most
    return ", ".join(all_names[:most]) + (f" and {left} more" if left > 0 else "")


def shortened(text: str, most: int = LONGEST_QUOTE) -> str:
    """Return ``text``, cut where it has more than ``most`` characters; by default what a message may quote."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
