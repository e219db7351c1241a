"""What came of a run, told from the states of its tasks: one answer for alerts, page and metrics."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

APPROVE, REFRESH, RESTORE, RESIZE = "approve", "pool.refresh", "rollback.restore", "resize"
"""Tasks that tell the outcomes apart; a DAG that only resizes has but the last of them."""

RESTORED_NODES = "rollback.resize"
"""Task that gives a pool its nodes again that is on the image before."""

LEFT_ALONE = "left as it was"
"""What the refresh task says it did where the pool was as the plan wants it."""


class Outcome(StrEnum):
    """How a run ended."""

    REFRESHED = "refreshed"
    UNCHANGED = "unchanged"
    RESIZED = "resized"
    DONE = "done"
    PLAN_ONLY = "plan_only"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"

    @property
    def is_failure(self) -> bool:
        """Whether somebody has to do something before the next run can do better."""
        return self in (Outcome.ROLLED_BACK, Outcome.FAILED)

    @property
    def words(self) -> str:
        """The outcome as a person says it."""
        return _WORDS[self]


_WORDS = {
    Outcome.REFRESHED: "refreshed",
    Outcome.UNCHANGED: "nothing to change",
    Outcome.RESIZED: "resized",
    Outcome.DONE: "done",
    Outcome.PLAN_ONLY: "planned only",
    Outcome.REJECTED: "not approved",
    Outcome.ROLLED_BACK: "rolled back",
    Outcome.FAILED: "failed",
}


def outcome_of(
    states: Mapping[str, str], *, failed: bool, plan_only: bool = False, action: str | None = None
) -> Outcome:
    """Return what came of a run that has ended, or of what has ended of it.

    :param states: Airflow's state of each task, by its id
    :param failed: whether Airflow calls the run a failure; a teardown that failed is none
    :param plan_only: as the run plan says
    :param action: what the refresh task says it did to the pool; None: it did not end well, or there is none
    """
    if states.get(RESTORE) == "success":
        return Outcome.ROLLED_BACK
    if failed:
        return Outcome.FAILED
    if plan_only:
        return Outcome.PLAN_ONLY
    if REFRESH not in states:
        return Outcome.RESIZED if RESIZE in states else Outcome.DONE
    if states.get(APPROVE) == "success" and states[REFRESH] == "skipped":
        return Outcome.REJECTED
    return Outcome.UNCHANGED if action in (None, LEFT_ALONE) else Outcome.REFRESHED


def but_after_rollback(failed: Collection[str]) -> str:
    """Return what to add where it says that a pool was rolled back: nothing where it has its nodes again.

    :param failed: ids of the tasks that failed
    """
    return ", but without all its nodes" if RESTORED_NODES in failed else ""
