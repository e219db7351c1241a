"""One write that a run would make, and what is known of the work on its pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum


class ActionKind(StrEnum):
    """What becomes of the resource."""

    MAKE = "make"
    CHANGE = "change"
    RESIZE = "resize"
    DELETE = "delete"


@dataclass(frozen=True)
class Action:
    """One write that the run would make.

    :param what: what it does, in words
    :param resource: ARM id
    :param before: what is there now, where that is known and says something
    :param after: what would be there then
    """

    stage: str
    kind: ActionKind
    what: str
    resource: str
    before: str = ""
    after: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the action as JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is bound to pools: what a switch moves, and what keeps a pool from being deleted.

    :param active: ids of the jobs whose tasks run or will run on a pool, by the pool's id in lower case
    :param jobs: ids of all jobs of the pool that the spec stands for
    :param schedules: the same of job schedules
    """

    active: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    jobs: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()


def make(stage: str, what: str, resource: str, after: str = "") -> Action:
    """Return an action that makes something."""
    return Action(stage, ActionKind.MAKE, what, resource, "", after)


def change(stage: str, what: str, resource: str, before: str = "", after: str = "") -> Action:
    """Return an action that changes something, but for the number of its nodes."""
    return Action(stage, ActionKind.CHANGE, what, resource, before, after)


def delete(stage: str, what: str, resource: str, before: str = "") -> Action:
    """Return an action that deletes something."""
    return Action(stage, ActionKind.DELETE, what, resource, before, "")
