"""Reading resize errors with the table of :mod:`~golden_pools.rules.resize.codes`.

``AllocationFailed`` says little itself: its meaning is in its details.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from golden_pools.rules.facts import ResizeError
from golden_pools.rules.resize.codes import CODES, OWN_CODES, PROVIDER_CODES, REASONS, Code
from golden_pools.rules.resize.verdict import Cause
from golden_pools.spec.model import Treatment

GRAVITY = tuple(Treatment)
"""Treatments, the mildest first."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """A resize error, read.

    :param row: what the table says of it, with the spec's own treatment where the spec has one
    :param code: Azure's code, with the embedded one behind a slash: ``AllocationFailed/BadRequest``
    :param text: code, message and details as one line
    """

    row: Code
    code: str
    text: str

    @property
    def treatment(self) -> Treatment:
        """What to do."""
        return self.row.treatment


def diagnose(error: ResizeError, overrides: Mapping[str, Treatment] | None = None) -> Diagnosis:
    """Read one resize error.

    :param overrides: treatments of the spec by code, in any case: of the whole code, of the error, or of the reason or
        Compute error in its details
    """
    row = CODES.get(error.code.casefold())
    known = row or CODES["unknown"]
    code = error.code or known.name
    if row is CODES["allocationfailed"] and (inner := _inner(error)):
        known = inner
        if inner.name.casefold() in PROVIDER_CODES:
            code = f"{code}/{inner.name}"
    return Diagnosis(
        row=_as_wished(known, overrides or {}, code, known.name, error.code), code=code, text=_one_line(error)
    )


def own_diagnosis(cause: Cause, overrides: Mapping[str, Treatment]) -> Diagnosis:
    """Return what the run itself saw as a diagnosis."""
    row = OWN_CODES[cause.casefold()]
    return Diagnosis(row=_as_wished(row, overrides, cause), code=cause, text=row.meaning)


def diagnose_all(errors: Iterable[ResizeError], overrides: Mapping[str, Treatment]) -> tuple[Diagnosis, ...]:
    """Read the errors of a resize; returns the gravest first."""
    return tuple(
        sorted((diagnose(error, overrides) for error in errors), key=lambda one: gravity(one.row), reverse=True)
    )


def gravity(row: Code) -> int:
    """Return how grave a row is: of several the gravest decides."""
    return GRAVITY.index(row.treatment)


def _as_wished(row: Code, overrides: Mapping[str, Treatment], *names: str) -> Code:
    wishes = {name.casefold(): treatment for name, treatment in overrides.items()}
    wish = next((wishes[name.casefold()] for name in names if name.casefold() in wishes), None)
    return replace(row, treatment=wish) if wish else row


def _inner(error: ResizeError) -> Code | None:
    """Return the row that the details of an ``AllocationFailed`` lead to; of several the one that weighs most."""
    rows = [row for row in REASONS.values() if row.name in _reasons(error)]
    rows += [PROVIDER_CODES[code] for code in _provider_codes(error) if code in PROVIDER_CODES]
    return max(rows, key=gravity, default=None)


def _reasons(error: ResizeError) -> str:
    texts = [error.message, *(value for name, value in error.details if name.casefold() == "reason")]
    return " ".join(texts).casefold()


def _provider_codes(error: ResizeError) -> Iterator[str]:
    """Yield the codes, lower case, of the embedded Compute error, which may be cut off in the middle."""
    for name, value in error.details:
        if name.casefold() != "provider error json":
            continue
        try:
            yield from _codes_within(json.loads(value))
        except ValueError:
            yield from (code.casefold() for code in re.findall(r'\\*"code\\*"\s*:\s*\\*"([\w.]+)', value))


def _codes_within(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.casefold() == "code" and isinstance(inner, str):
                yield inner.casefold()
            else:
                yield from _codes_within(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _codes_within(inner)


def _one_line(error: ResizeError) -> str:
    details = ", ".join(f"{name}: {value}" for name, value in error.details)
    text = f"{error.code}: {error.message}" + (f" ({details})" if details else "")
    return " ".join(text.split())
