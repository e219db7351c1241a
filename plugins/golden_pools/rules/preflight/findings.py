"""What preflight found: one value per finding, and their table for the log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding weighs."""

    ERROR = "ERROR"  # the run stops before anything is written
    WARNING = "WARNING"
    INFO = "INFO"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding.

    :param check: stable id of the check
    :param seen: what was seen, with names and values
    :param advice: what the reader should do
    :param az: the Azure CLI command that shows the seen value
    """

    level: Level
    check: str
    seen: str
    advice: str
    az: str


def sort(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with the errors first; within a level they keep their order."""
    order = list(Level)
    return sorted(findings, key=lambda finding: order.index(finding.level))


def blockers(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that stop the run."""
    return [finding for finding in findings if finding.level is Level.ERROR]


def render(findings: Sequence[Finding]) -> str:
    """Return the findings as a table for the log, errors first; commands stay whole, ready to be copied."""
    width = max((len(finding.check) for finding in findings), default=0)
    margin = " " * (len("WARNING") + width + 4)
    lines = [f"{'LEVEL':7}  {'CHECK':{width}}  SEEN, what to do, and the command that shows it"]
    for finding in sort(findings):
        lines += [
            f"{finding.level:7}  {finding.check:{width}}  {finding.seen}",
            f"{margin}-> {finding.advice}",
            f"{margin}$ {finding.az}",
        ]
    return "\n".join(lines)
