"""Tasks: nothing is executed, a task takes the time and ends with the exit code that its command comes to."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from include.azure_simulator.batch.commands import CommandRun
from include.azure_simulator.batch.nodes import Node
from include.azure_simulator.resources import JsonObject, new_etag


class TaskState(StrEnum):
    """States of a task, as the data plane writes them."""

    ACTIVE = "active"
    RUNNING = "running"
    COMPLETED = "completed"


class TaskFailure(StrEnum):
    """Why a task failed that its own exit code did not fail."""

    ENDED = "ended by a user or with its node"
    TIME_LIMIT = "ran for longer than maxWallClockTime"


@dataclass(slots=True)
class Task:
    """A task of a job. ``body`` is what the user sent.

    :param time_limit: ``maxWallClockTime`` of its constraints.
    :param run: what its command comes to, known as soon as it starts.
    """

    id: str
    body: JsonObject
    created: datetime
    slots: int = 1
    max_retries: int = 0
    time_limit: timedelta | None = None
    run: CommandRun | None = None
    state: TaskState = TaskState.ACTIVE
    since: datetime = field(init=False)
    previous: tuple[TaskState, datetime] | None = None
    etag: str = field(default_factory=new_etag)
    node: Node | None = None
    pool_name: str | None = None
    started: datetime | None = None
    ends: datetime | None = None
    failure: TaskFailure | None = None
    requeues: int = 0
    requeued_at: datetime | None = None

    def __post_init__(self) -> None:
        self.since = self.created

    @property
    def command_line(self) -> str:
        """What the task runs."""
        return str(self.body["commandLine"])

    @property
    def exit_code(self) -> int | None:
        """The exit code, once the task has completed by itself."""
        if self.run is None or self.state is not TaskState.COMPLETED or self.failure is not None:
            return None
        return self.run.exit_code

    @property
    def succeeded(self) -> bool:
        """Whether the task has completed with exit code 0."""
        return self.exit_code == 0

    def start(self, node: Node, pool_name: str, at: datetime, run: CommandRun) -> datetime:
        """Run on a node from ``at`` on; returns when the task ends if nothing happens to it."""
        too_long = self.time_limit is not None and run.duration > self.time_limit
        ends = at + (self.time_limit if too_long and self.time_limit is not None else run.duration)
        self.node, self.pool_name, self.run, self.started, self.ends = node, pool_name, run, at, ends
        self.failure = None
        self._enter(TaskState.RUNNING, at)
        node.tasks.append(self)
        node.changed_at = at
        return ends

    def finish(self) -> None:
        """End as the command says, or because the time limit is over, at the time when that is."""
        if self.ends is None or self.started is None or self.run is None:
            raise ValueError(f"task {self.id} does not run")
        if self.ends < self.started + self.run.duration:
            self.failure = TaskFailure.TIME_LIMIT
        self._leave_node(self.ends)
        self._enter(TaskState.COMPLETED, self.ends)

    def requeue(self, at: datetime) -> None:
        """Lose the node; wait for another one."""
        self._leave_node(at)
        self.node = self.pool_name = self.run = self.started = self.ends = None
        self.requeues += 1
        self.requeued_at = at
        self._enter(TaskState.ACTIVE, at)

    def end_early(self, at: datetime) -> None:
        """Be terminated by a user or with the node."""
        if self.state is TaskState.COMPLETED:
            return
        self._leave_node(at)
        self.ends = at
        self.failure = TaskFailure.ENDED
        self._enter(TaskState.COMPLETED, at)

    def reactivate(self, at: datetime) -> None:
        """Run again after a failure."""
        self.node = self.pool_name = self.run = self.started = self.ends = self.failure = None
        self._enter(TaskState.ACTIVE, at)

    def _enter(self, state: TaskState, at: datetime) -> None:
        self.previous = (self.state, self.since)
        self.state, self.since = state, at
        self.etag = new_etag()

    def _leave_node(self, at: datetime) -> None:
        if self.node is None or self.state is not TaskState.RUNNING:
            return
        self.node.tasks.remove(self)
        self.node.changed_at = at
        if at == self.ends:
            self.node.tasks_run += 1
            self.node.tasks_succeeded += self.failure is None and self.run is not None and self.run.exit_code == 0


def finish_tasks(tasks: Iterable[Task], now: datetime) -> None:
    """Complete every running task whose time is over."""
    for task in tasks:
        if task.state is TaskState.RUNNING and task.ends is not None and task.ends <= now:
            task.finish()


def schedule_tasks(
    waiting: list[tuple[Task, datetime]],
    nodes: Iterable[Node],
    slots_per_node: int,
    pool_name: str,
    now: datetime,
    run: Callable[[Task], CommandRun],
) -> None:
    """Give waiting tasks, in order, to the node that is free first, as far as that lies before ``now``.

    A task that starts and ends before ``now`` frees its node for the next one, so that a clock that jumps comes to the
    same result as one that ticks.

    :param waiting: tasks, each with the moment since which it may run.
    :param run: says what the command of a task that starts comes to.
    """
    free: list[tuple[datetime, int, int, Node]] = []
    for node in nodes:
        ready = node.takes_tasks_from(now)
        if ready is None:
            continue
        used = sum(task.slots for task in node.tasks)
        freed = max(ready, node.changed_at) if node.changed_at is not None else ready
        free.extend((freed, node.index, slot, node) for slot in range(slots_per_node - used))
    heapq.heapify(free)
    for task, since in waiting:
        taken = [heapq.heappop(free) for _ in range(min(task.slots, len(free)))]
        if not taken or taken[-1][0] > now:
            return
        if len(taken) < task.slots or any(slot[3] is not taken[0][3] for slot in taken):
            taken = _slots_of_one_node(taken, free, task.slots)
            if not taken:
                continue
        start = max(taken[-1][0], since)
        ends = task.start(taken[-1][3], pool_name, start, run(task))
        if ends <= now:
            task.finish()
        for _, index, slot, node in taken:
            heapq.heappush(free, (ends, index, slot, node))


def _slots_of_one_node(
    taken: list[tuple[datetime, int, int, Node]], free: list[tuple[datetime, int, int, Node]], wanted: int
) -> list[tuple[datetime, int, int, Node]]:
    """Slots of one node for a task that needs several; all other slots go back into ``free``."""
    by_node: dict[int, list[tuple[datetime, int, int, Node]]] = {}
    for slot in sorted([*taken, *free]):
        by_node.setdefault(slot[1], []).append(slot)
    fitting = [slots[:wanted] for slots in by_node.values() if len(slots) >= wanted]
    chosen = min(fitting, key=lambda slots: slots[-1][0], default=[])
    free[:] = [slot for slots in by_node.values() for slot in slots if slot not in chosen]
    heapq.heapify(free)
    return chosen
