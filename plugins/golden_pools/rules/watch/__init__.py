"""The drift watch: what Azure shows in, findings out. Each check is a function that reads :class:`Seen` and yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from golden_pools.rules.watch import images, leftovers, pools, retired
from golden_pools.rules.watch.findings import STATE_KEY, Finding, Kind, Level, News, new_and_gone, render, sort_of
from golden_pools.rules.watch.seen import ALL_VERSIONS, Look, Seen, Watched, versions_to_look_at, watched

__all__ = [
    "ALL_VERSIONS",
    "CHECKS",
    "STATE_KEY",
    "Finding",
    "Kind",
    "Level",
    "Look",
    "News",
    "Seen",
    "Watched",
    "findings",
    "new_and_gone",
    "render",
    "versions_to_look_at",
    "watched",
]

CHECKS: tuple[Callable[[Seen], Iterator[Finding]], ...] = (
    *pools.CHECKS,
    *images.CHECKS,
    *retired.CHECKS,
    *leftovers.CHECKS,
)


def findings(seen: Seen) -> list[Finding]:
    """Return all findings, errors first."""
    return sort_of(finding for check in CHECKS for finding in check(seen))
