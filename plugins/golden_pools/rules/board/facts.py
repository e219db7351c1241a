"""What the page knows: Airflow's rows and Azure's answers as plain values; the page's server makes them.

Times are aware and UTC. Values of tasks are their XComs, already decoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]

RUNNING = ("queued", "running")
"""States of a run that goes on."""


@dataclass(frozen=True, kw_only=True)
class DagSeen:
    """A DAG as Airflow knows it.

    :param stale: its file no longer makes it
    """

    id: str
    paused: bool
    stale: bool
    next_run_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class TaskSeen:
    """A task of a run; where a read asked for states alone, the rest is absent.

    :param state: as Airflow calls it; None: not begun
    :param tries: number of the try
    """

    id: str
    state: str | None
    name: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    tries: int = 0
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunSeen:
    """A run with what was read of its tasks.

    :param number: Airflow's own: a later run has a higher one
    :param plan_only: as whoever triggered it said
    :param pool: pool that its form names, in a DAG that serves all pools
    :param values: result of a task by its id
    :param failures: what a task that failed has noted, by its id
    :param samples: nodes over time by task: ``[[time, allocated, ready, starting, bad], ...]``
    :param plan_table: what a plan-only run would do, and what that takes
    """

    number: int
    dag_id: str
    run_id: str
    state: str
    run_type: str
    by: str | None = None
    queued: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    plan_only: bool = False
    pool: str | None = None
    tasks: Mapping[str, TaskSeen] = field(default_factory=dict)
    values: Mapping[str, Json] = field(default_factory=dict)
    failures: Mapping[str, Json] = field(default_factory=dict)
    samples: Mapping[str, list[list[Any]]] = field(default_factory=dict)
    plan_table: Json | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended."""
        return self.state in RUNNING

    @property
    def states(self) -> dict[str, str]:
        """Airflow's state of each task, by its id."""
        return {id_: task.state or "" for id_, task in self.tasks.items()}


@dataclass(frozen=True, kw_only=True)
class PoolLook:
    """The Batch pool that a spec stands for, as the last look at its account saw it.

    :param id: ARM id
    :param asked: nodes that it was last asked for
    :param resizing: whether Batch is about to change its size
    :param preempted: Spot nodes that Azure has taken away and Batch will bring back
    """

    id: str
    image_id: str | None
    asked: int
    resizing: bool
    ready: int = 0
    starting: int = 0
    bad: int = 0
    preempted: int = 0

    @property
    def on_their_way(self) -> int:
        """Nodes that start, and those that Batch is about to bring."""
        coming = self.asked - self.ready - self.starting - self.bad if self.resizing else 0
        return self.starting + max(0, coming)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look at Azure left for everybody.

    :param at: when it was made; None: there was none yet
    :param error: why a newer one failed
    :param portal: ``cloud`` and ``tenant`` whose portal shows what was seen; None: a simulator, or not known
    :param poll_seconds: how often the connection is looked through at most
    :param data: what was seen
    """

    at: datetime | None = None
    error: str | None = None
    portal: Mapping[str, str | None] | None = None
    poll_seconds: float | None = None
    data: Json = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FindingSeen:
    """A finding of preflight or of the drift watch.

    :param level: ``error``, ``warning`` or ``info``
    """

    level: str
    check: str
    seen: str
    advice: str
