"""Everything that can be known to go wrong before anything is written; all findings at once.

The rules come from Microsoft's articles on custom image pools, galleries, Trusted Launch and Batch quotas; each check
names its own where it is not plain. ``docs/preflight.md`` lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from golden_pools.rules.plan import RunPlan
from golden_pools.rules.preflight import (
    batch,
    clone,
    disks,
    gallery,
    golden_vm,
    limits,
    nodes,
    quota,
    regions,
    restore_point,
    vhd,
)
from golden_pools.rules.preflight.case import CHECKS, Case, Lookup, Observations, lookups
from golden_pools.rules.preflight.findings import Finding, Level, blockers, render, sort
from golden_pools.rules.preflight.refusals import PERMISSIONS, refused

__all__ = [
    "CHECKS",
    "PERMISSIONS",
    "REPORT",
    "SUBJECTS",
    "Finding",
    "Level",
    "Lookup",
    "Observations",
    "blockers",
    "lookups",
    "preflight",
    "render",
]

SUBJECTS = (golden_vm, clone, disks, restore_point, vhd, gallery, regions, batch, nodes, limits, quota)
"""The modules that hold checks, in the order of the report; importing them registers the checks."""

REPORT = tuple(check for subject in SUBJECTS for check in CHECKS.values() if check.judge.__module__ == subject.__name__)
"""Every check in the order of the report: from the golden VM to the quotas."""


def preflight(plan: RunPlan, seen: Observations, now: datetime) -> list[Finding]:
    """Return everything that speaks against the run, and what the reader should know of it, errors first.

    :param now: aware time of the run, for dates of end of support
    """
    return sort(_findings(plan, seen, now))


def _findings(plan: RunPlan, seen: Observations, now: datetime) -> Iterator[Finding]:
    yield from refused(plan, seen)
    for check in REPORT:
        if check.concerns(plan) and check.can_judge(seen):
            yield from check.judge(Case(check=check.id, plan=plan, seen=seen, now=now))
