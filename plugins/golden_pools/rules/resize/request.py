"""One resize that was asked for, and how a later observation tells that it is this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Self

from pydantic import TypeAdapter

from golden_pools.rules.facts import Pool
from golden_pools.spec.model import Targets


@dataclass(frozen=True, kw_only=True)
class ResizeRequest:
    """One resize: all that :func:`~golden_pools.rules.resize.judge` knows beside the pool.

    Azure's clock and ours are never compared. A resize is ours if its start is the one that our PATCH answered, or
    differs from the one that stood there before our PATCH.

    :param number: 1 for the first resize of a course
    :param targets: node counts that it asks for: those of the stage, or a step on the way to them
    :param had: nodes of the pool before
    :param started_before: start of the pool's last resize before our PATCH
    :param started: start that the answer to our PATCH showed; None if it still showed the old one
    :param stopped: the run has stopped it, because no nodes came
    :param lost: the pool did not show it for so long that it counts as lost
    """

    number: int
    targets: Targets
    had: Targets
    started_before: datetime | None
    started: datetime | None = None
    stopped: bool = False
    lost: bool = False

    @classmethod
    def of(cls, pool: Pool, targets: Targets, *, number: int) -> Self:
        """Return the request for a PATCH of the pool as it is, to be kept before it is sent."""
        had = Targets(dedicated=pool.current_dedicated, spot=pool.current_spot)
        return cls(number=number, targets=targets, had=had, started_before=pool.resize_started)

    def answered(self, answer: Pool) -> Self:
        """Return the request with the start that the answer to its PATCH shows; one that is still old says nothing."""
        fresh = answer.resize_started != self.started_before
        return replace(self, started=answer.resize_started if fresh else None)

    def is_ours(self, pool: Pool) -> bool:
        """Return whether the pool's last resize is this one, or a later one."""
        if self.started is not None and pool.resize_started == self.started:
            return True
        return pool.resize_started is not None and pool.resize_started != self.started_before

    def has_moved(self, pool: Pool) -> bool:
        """Return whether the pool is nearer to the request's targets than it was before."""
        return _distance(pool.current_dedicated, pool.current_spot, self.targets) < _distance(
            self.had.dedicated, self.had.spot, self.targets
        )

    def brought(self, pool: Pool) -> int:
        """Return how many more nodes the pool has than before."""
        return pool.current_total - self.had.total

    def to_dict(self) -> dict[str, Any]:
        """Return the request as JSON, for a trigger's arguments."""
        dumped: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return dumped

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ResizeRequest:
        """Return the request that :meth:`to_dict` wrote."""
        return _adapter().validate_python(value)


@cache
def _adapter() -> TypeAdapter[ResizeRequest]:
    return TypeAdapter(ResizeRequest)


def _distance(dedicated: int, spot: int, targets: Targets) -> int:
    return abs(targets.dedicated - dedicated) + abs(targets.spot - spot)
