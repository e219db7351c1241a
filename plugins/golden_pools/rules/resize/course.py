"""The course of a pool to its targets: over one resize or many, and over retries of the task that sends them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Self

from pydantic import TypeAdapter

from golden_pools.rules.facts import Pool
from golden_pools.rules.resize.request import ResizeRequest
from golden_pools.spec.model import Resize, Tactic, Targets
from golden_pools.words import counted


@dataclass(frozen=True, kw_only=True)
class Course:
    """What has been asked for and tried so far.

    :param goal: node counts that the pool is to have: the stage's, until Spot nodes are asked for as dedicated ones
    :param step: most nodes that the next resize adds; None: all
    :param request: the resize that was asked for and whose end nobody has judged
    :param resizes: resizes that have ended
    :param misses: resizes in a row that missed their targets; one that brought nodes is the first of a new row
    :param used: tactics that are used up
    :param vm_sizes: other sizes that were tried; the pool has the last, or is to get it
    :param quota_since: since when the run waits for quota that other pools hold
    """

    goal: Targets
    step: int | None = None
    request: ResizeRequest | None = None
    resizes: int = 0
    misses: int = 0
    used: tuple[Tactic, ...] = ()
    vm_sizes: tuple[str, ...] = ()
    quota_since: datetime | None = None

    @property
    def vm_size(self) -> str | None:
        """Size that the pool is to have instead of its own."""
        return self.vm_sizes[-1] if self.vm_sizes else None

    @property
    def in_words(self) -> str:
        """What was done so far, for people; empty: nothing."""
        number = self.request.number if self.request else self.resizes
        asked = counted(number, "resize") if number else ""
        sizes = f"other VM sizes: {', '.join(self.vm_sizes)}" if self.vm_sizes else ""
        used = f"used up: {', '.join(tactic.replace('_', ' ') for tactic in self.used)}" if self.used else ""
        return ", ".join(filter(None, (asked, sizes, used)))

    def asking(self, pool: Pool, targets: Targets) -> Self:
        """Return the course with a request for the pool as it is, to be kept before the PATCH is sent."""
        return replace(self, request=ResizeRequest.of(pool, targets, number=self.resizes + 1))

    def ended(self, *, misses: int = 0) -> Self:
        """Return the course after its resize has ended."""
        return replace(self, request=None, resizes=self.resizes + 1, misses=misses)

    def using_up(self, tactic: Tactic) -> Self:
        """Return the course with a tactic less; the next one begins with a row of misses of its own."""
        return replace(self, used=(*self.used, tactic), misses=0)

    def to_dict(self) -> dict[str, Any]:
        """Return the course as JSON."""
        dumped: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return dumped

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Course:
        """Return the course that :meth:`to_dict` wrote."""
        return _adapter().validate_python(value)


@cache
def _adapter() -> TypeAdapter[Course]:
    return TypeAdapter(Course)


def next_targets(pool: Pool, course: Course, room: tuple[int | None, int | None] = (None, None)) -> Targets:
    """Return the node counts to ask for next: the goal, or as much of it as one step and the quota let through.

    A kind of nodes that has too many is brought to its goal at once; dedicated nodes come before Spot nodes.

    :param room: most dedicated and Spot nodes that the account's quotas allow the pool now; None: not known
    """
    left = math.inf if course.step is None else course.step
    counts = []
    for has, wanted, most in (
        (pool.current_dedicated, course.goal.dedicated, room[0]),
        (pool.current_spot, course.goal.spot, room[1]),
    ):
        allowed = wanted if most is None else min(wanted, max(most, has))
        count = allowed if wanted <= has else int(min(allowed, has + left))
        left -= max(0, count - has)
        counts.append(count)
    return Targets(dedicated=counts[0], spot=counts[1])


def resize_timeout(settings: Resize, nodes: int) -> timedelta:
    """Return Azure's ``resizeTimeout`` for one resize to so many nodes.

    Unless the spec says otherwise: 15 minutes per 1,000 nodes ("Use the Azure Compute Gallery to create a custom image
    pool"), at least 15, and at least 30 above 300 nodes of a custom image ("Use a managed image to create a custom
    image pool").
    """
    if settings.timeout_minutes is not None:
        return timedelta(minutes=settings.timeout_minutes)
    return timedelta(minutes=max(15 * math.ceil(nodes / 1000), 30 if nodes > 300 else 15))
