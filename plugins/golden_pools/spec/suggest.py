"""The nearest right name for a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the name that ``word`` was probably meant to be; case, dashes and camel case make no difference."""
    by_shape = {_shape(name): name for name in sorted(names)}
    near = difflib.get_close_matches(_shape(word), by_shape, n=1)
    return by_shape[near[0]] if near else None


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?``, or nothing where no name is near."""
    near = nearest(word, names)
    return f"; did you mean {near!r}?" if near else ""


def _shape(name: str) -> str:
    return name.replace("-", "").replace("_", "").replace(" ", "").lower()
