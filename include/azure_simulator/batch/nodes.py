"""Compute nodes: what state each is in follows from when it was allocated and from what happened to it since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from include.azure_simulator.batch.commands import CommandRun
from include.azure_simulator.batch.scripts import NodeFate, NodeOutcome, ScriptedError
from include.azure_simulator.resources import JsonObject

_GOLDEN_RATIO_FRACTION = 0.6180339887498949
"""Multiples of it fall evenly into [0, 1): boot times that differ by node and are the same in every run."""


class NodeState(StrEnum):
    """States of a node, as the data plane writes them (API 2025-06-01)."""

    IDLE = "idle"
    REBOOTING = "rebooting"
    REIMAGING = "reimaging"
    RUNNING = "running"
    UNUSABLE = "unusable"
    CREATING = "creating"
    STARTING = "starting"
    WAITING_FOR_START_TASK = "waitingforstarttask"
    START_TASK_FAILED = "starttaskfailed"
    UNKNOWN = "unknown"
    LEAVING_POOL = "leavingpool"
    OFFLINE = "offline"
    PREEMPTED = "preempted"
    UPGRADING_OS = "upgradingos"
    DEALLOCATED = "deallocated"
    DEALLOCATING = "deallocating"


COUNT_NAMES: dict[NodeState, str] = {
    NodeState.CREATING: "creating",
    NodeState.IDLE: "idle",
    NodeState.OFFLINE: "offline",
    NodeState.PREEMPTED: "preempted",
    NodeState.REBOOTING: "rebooting",
    NodeState.REIMAGING: "reimaging",
    NodeState.RUNNING: "running",
    NodeState.STARTING: "starting",
    NodeState.START_TASK_FAILED: "startTaskFailed",
    NodeState.LEAVING_POOL: "leavingPool",
    NodeState.UNKNOWN: "unknown",
    NodeState.UNUSABLE: "unusable",
    NodeState.WAITING_FOR_START_TASK: "waitingForStartTask",
    NodeState.DEALLOCATED: "deallocated",
    NodeState.DEALLOCATING: "deallocating",
    NodeState.UPGRADING_OS: "upgradingOS",
}
"""State -> name in the node counts."""


class RunningTask(Protocol):
    """What a node knows of a task that runs on it."""

    @property
    def slots(self) -> int: ...

    def requeue(self, at: datetime) -> None: ...

    def end_early(self, at: datetime) -> None: ...


@dataclass(frozen=True, slots=True)
class BootTimes:
    """How long each step from allocation to idle takes on the fastest node; ``spread`` slows the others down."""

    creating: timedelta
    starting: timedelta
    spread: float

    def factor(self, index: int) -> float:
        """By how much the node with this index is slower."""
        return 1 + self.spread * ((index * _GOLDEN_RATIO_FRACTION) % 1)


@dataclass(frozen=True, slots=True)
class Phase:
    """The state of a node from ``at`` on."""

    at: datetime
    state: NodeState


@dataclass(frozen=True, slots=True)
class StartTaskRun:
    """The run of the start task on one node."""

    started: datetime
    ended: datetime
    exit_code: int
    retries: int
    stdout: str | None
    stderr: str | None


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A node is in ``state`` from ``started`` until ``ends`` (``None``: for good, or until reboots cure it)."""

    state: NodeState
    started: datetime
    ends: datetime | None
    error: ScriptedError | None = None
    cured_by_reboots: int | None = None

    def active(self, now: datetime) -> bool:
        """Whether it lasts at ``now``."""
        return self.started <= now and (self.ends is None or now < self.ends)


@dataclass(slots=True)
class Node:
    """A node. ``image`` is the image that it really booted from, which may be older than that of the pool's next nodes.

    ``draining``: its pool shrinks and waits for its tasks. It is ``leavingpool`` from ``leaves_at`` to ``gone_at``.
    """

    id: str
    index: int
    is_dedicated: bool
    image: JsonObject
    allocated: datetime
    booted: datetime
    phases: list[Phase]
    start_task: JsonObject | None = None
    start_task_run: StartTaskRun | None = None
    outcome: NodeOutcome | None = None
    reboots: int = 0
    disturbances: list[Disturbance] = field(default_factory=list)
    scheduling_disabled: bool = False
    draining: bool = False
    leaves_at: datetime | None = None
    gone_at: datetime | None = None
    tasks: list[RunningTask] = field(default_factory=list)
    changed_at: datetime | None = None
    tasks_run: int = 0
    tasks_succeeded: int = 0

    def state(self, now: datetime) -> NodeState:
        """The state at ``now``, which is never before the last change of the node."""
        if self.leaves_at is not None and now >= self.leaves_at:
            return NodeState.LEAVING_POOL
        for disturbance in self.disturbances:
            if disturbance.active(now):
                return disturbance.state
        state = self._phase(now).state
        if state is not NodeState.IDLE:
            return state
        if self.tasks:
            return NodeState.RUNNING
        return NodeState.OFFLINE if self.scheduling_disabled else NodeState.IDLE

    def state_since(self, now: datetime) -> datetime:
        """When the node came into its present state."""
        if self.leaves_at is not None and now >= self.leaves_at:
            return self.leaves_at
        for disturbance in self.disturbances:
            if disturbance.active(now):
                return disturbance.started
        phase = self._phase(now)
        return max(phase.at, self.changed_at) if self.changed_at is not None else phase.at

    def errors(self, now: datetime) -> list[ScriptedError]:
        """What the node reports."""
        found = [item.error for item in self.disturbances if item.error is not None and item.active(now)]
        if self.outcome is not None and self.outcome.error is not None and self._phase(now).state is not NodeState.IDLE:
            found += [self.outcome.error] if now >= self.phases[-1].at else []
        return found

    def takes_tasks_from(self, now: datetime) -> datetime | None:
        """Since when the node can take tasks, or ``None`` when at ``now`` it cannot."""
        if self.draining or self.scheduling_disabled:
            return None
        if self.state(now) not in (NodeState.IDLE, NodeState.RUNNING):
            return None
        return self._phase(now).at

    def leave(self, at: datetime, removal: timedelta) -> None:
        """Take the node out of the pool; tasks have been dealt with before."""
        self.draining = False
        self.leaves_at = at
        self.gone_at = at + removal

    def requeue_tasks(self, at: datetime) -> None:
        """Give back all running tasks."""
        for task in tuple(self.tasks):
            task.requeue(at)

    def lose_tasks(self, now: datetime) -> None:
        """Give back the tasks of a node to which something has happened by now."""
        for disturbance in self.disturbances:
            if disturbance.active(now):
                self.requeue_tasks(disturbance.started)

    def disturb(self, disturbance: Disturbance, times: BootTimes) -> None:
        """Something happens to the node. What recovers starts again from the beginning of its boot."""
        self.disturbances.append(disturbance)
        if disturbance.ends is not None:
            ready = disturbance.ends + times.starting * times.factor(self.index)
            self.booted = disturbance.ends
            self.phases += [Phase(disturbance.ends, NodeState.STARTING), Phase(ready, NodeState.IDLE)]

    def count_reboot(self, now: datetime) -> None:
        """Note a reboot at ``now``: enough of them cure a node that came up bad or got unusable."""
        for disturbance in tuple(self.disturbances):
            if disturbance.state is NodeState.UNUSABLE and disturbance.ends is None and disturbance.active(now):
                self.disturbances.remove(disturbance)
                self.reboots = 0
                self.outcome = NodeOutcome(
                    state=NodeFate.UNUSABLE,
                    nodes=1,
                    error=disturbance.error,
                    cured_by_reboots=disturbance.cured_by_reboots,
                )
        self.reboots += 1
        enough = self.outcome.cured_by_reboots if self.outcome is not None else None
        if enough is not None and self.reboots >= enough:
            self.outcome = None

    def _phase(self, now: datetime) -> Phase:
        for phase in reversed(self.phases):
            if phase.at <= now:
                return phase
        return self.phases[0]


@dataclass(frozen=True, slots=True)
class BootPlan:
    """How nodes boot: the times, the start task, what it comes to on the next node, and whether nodes wait for it."""

    times: BootTimes
    start_task: JsonObject | None
    run_start_task: Callable[[], CommandRun | None]
    wait_for_success: bool


def boot(node: Node, at: datetime, plan: BootPlan, *, from_state: NodeState, first: timedelta) -> None:
    """Let a node boot at ``at``: replaces its phases and its start task run.

    :param from_state: ``creating`` for a new node, ``rebooting`` for a reboot.
    :param first: how long that first state lasts on the fastest node.
    """
    factor = plan.times.factor(node.index)
    started = at + first * factor
    agent_up = started + plan.times.starting * factor
    phases = [Phase(at, from_state), Phase(started, NodeState.STARTING)]
    node.booted = started
    node.start_task = plan.start_task
    node.start_task_run = None
    if node.outcome is not None and node.outcome.state is NodeFate.UNUSABLE:
        node.phases = [*phases, Phase(agent_up, NodeState.UNUSABLE)]
        return
    failed = node.outcome is not None and node.outcome.state is NodeFate.START_TASK_FAILED
    run = plan.run_start_task()
    if run is None and not failed:
        node.phases = [*phases, Phase(agent_up, NodeState.IDLE)]
        return
    run = run or CommandRun(timedelta(0), 0, 0)
    exit_code = node.outcome.exit_code if failed and node.outcome is not None else run.exit_code
    ended = agent_up + run.duration * factor
    node.start_task_run = StartTaskRun(agent_up, ended, exit_code, run.retries, run.stdout, run.stderr)
    if not plan.wait_for_success and not failed:
        node.phases = [*phases, Phase(agent_up, NodeState.IDLE)]
        return
    last = NodeState.START_TASK_FAILED if exit_code else NodeState.IDLE
    node.phases = [*phases, Phase(agent_up, NodeState.WAITING_FOR_START_TASK), Phase(ended, last)]


def count_states(nodes: Iterable[Node], now: datetime) -> Counter[NodeState]:
    """How many nodes are in each state."""
    return Counter(node.state(now) for node in nodes)
