"""Which jobs move to another pool, and how: disable, wait, bind to the other pool, enable.

A job's pool "may be changed only when the Job is disabled" (Batch REST, Update Job). A job that its owner had disabled
moves too, and stays disabled: so the jobs that were active before are remembered ahead of the first write.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from golden_pools.rules.facts import Job, JobState


class MoveKind(StrEnum):
    """The next step of one job on its way to the other pool."""

    DISABLE = "disable"
    WAIT = "wait"
    MOVE = "move"
    ENABLE = "enable"


@dataclass(frozen=True, kw_only=True)
class Move:
    """The next step of one job."""

    kind: MoveKind
    job: Job


def is_active(job: Job) -> bool:
    """Return whether tasks of the job run, or will run as soon as there are nodes."""
    return not job.state.is_over and job.state is not JobState.DISABLED


def moves(from_there: Iterable[Job], to_here: Iterable[Job], *, disabled_by_us: Collection[str]) -> list[Move]:
    """Return the next step of every job that is not through.

    :param from_there: the jobs that are bound to the pool that they leave
    :param to_here: the jobs that are bound to the pool that they go to
    :param disabled_by_us: ids of the jobs that were active before we came, and that we have not enabled again
    """
    return [
        *(Move(kind=_NEXT[job.state], job=job) for job in from_there if job.state in _NEXT),
        *(
            Move(kind=_NEXT_WHEN_MOVED[job.state], job=job)
            for job in to_here
            if job.id in disabled_by_us and job.state in _NEXT_WHEN_MOVED
        ),
    ]


_NEXT = {
    JobState.ACTIVE: MoveKind.DISABLE,
    JobState.ENABLING: MoveKind.WAIT,
    JobState.DISABLING: MoveKind.WAIT,
    JobState.DISABLED: MoveKind.MOVE,
}
"""A job that ends, or has ended, needs no pool any more."""

_NEXT_WHEN_MOVED = {JobState.DISABLED: MoveKind.ENABLE, JobState.DISABLING: MoveKind.ENABLE}
