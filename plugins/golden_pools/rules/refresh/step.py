"""What a refresh looks at, and the step that follows from it: the same words for every strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from golden_pools.rules.facts import Pool
from golden_pools.rules.refresh.drift import Change


class StepKind(StrEnum):
    """What to do next."""

    LEAVE = "leave"  # nothing more to do
    CREATE = "create"
    PATCH = "patch"
    DRAIN = "drain"
    DELETE = "delete"
    SETTLE = "wait until it rests"
    GONE = "wait until it is gone"
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The account as a refresh sees it.

    :param pools: all pools of the account
    :param active_jobs: ids of the jobs whose tasks run or will run on a pool, by the pool's id in lower case
    :param home: id of the pool that the run began with, also after it has deleted it
    """

    pools: tuple[Pool, ...]
    active_jobs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    home: str | None = None

    def named(self, pool: str) -> Pool | None:
        """Return the pool of this id; Batch compares ids without case."""
        return next((one for one in self.pools if one.name.casefold() == pool.casefold()), None)

    def jobs_on(self, pool: Pool) -> tuple[str, ...]:
        """Return the active jobs of a pool."""
        return self.active_jobs.get(pool.name.lower(), ())


@dataclass(frozen=True, kw_only=True)
class Step:
    """The next step, why, and what has to change.

    :param pool: id of the pool that it is about
    """

    kind: StepKind
    pool: str
    reason: str
    changes: tuple[Change, ...] = ()
