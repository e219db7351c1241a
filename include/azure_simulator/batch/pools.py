"""A pool: its nodes and its resizes, computed from the clock whenever somebody asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from include.azure_simulator.batch.allocation import (
    RESIZE_STOPPED,
    GrowthPlan,
)
from include.azure_simulator.batch.autoscale import AutoScaleRun
from include.azure_simulator.batch.commands import Command, CommandRun, Commands
from include.azure_simulator.batch.nodes import BootPlan, BootTimes, Disturbance, Node, NodeState, boot
from include.azure_simulator.batch.planes import start_task_to_data_plane
from include.azure_simulator.batch.pool_spec import (
    DEFAULT_RESIZE_TIMEOUT,
    NodeDeallocationOption,
    PoolSpec,
)
from include.azure_simulator.batch.scripts import (
    Incident,
    IncidentState,
    NodeOutcome,
    Preemption,
    ResizeScript,
    ScriptedError,
)
from include.azure_simulator.batch.settings import BatchSettings, LoweredBy
from include.azure_simulator.resources import JsonObject, new_etag


class AllocationState(StrEnum):
    """Whether a pool is being resized, in ARM's words; the data plane writes them in lower case."""

    STEADY = "Steady"
    RESIZING = "Resizing"
    STOPPING = "Stopping"


@dataclass(frozen=True, slots=True)
class Targets:
    """How many nodes of each kind a pool shall have."""

    dedicated: int
    low_priority: int


@dataclass(frozen=True, slots=True)
class NewNodes:
    """The nodes that a resize adds: when they come, what they boot from, what becomes of them."""

    dedicated: GrowthPlan
    low_priority: GrowthPlan
    image: JsonObject
    script: ResizeScript | None = None
    outcomes: tuple[NodeOutcome, ...] = ()


@dataclass(slots=True)
class Resize:
    """A resize, from its request on. ``pending``: arrivals that have not happened, dedicated ones under ``True``."""

    targets: Targets
    timeout: timedelta
    option: NodeDeallocationOption
    started: datetime
    planned_errors: tuple[ScriptedError, ...]
    growth_ends: datetime
    image: JsonObject
    script: ResizeScript | None
    outcomes: deque[NodeOutcome | None]
    pending: dict[bool, deque[datetime]]
    stop_requested: datetime | None = None
    ended: datetime | None = None
    errors: tuple[ScriptedError, ...] = ()

    @property
    def deadline(self) -> datetime:
        """When the resize times out."""
        return self.started + self.timeout


@dataclass(frozen=True, slots=True)
class StaleView:
    """What reads still show for a while after a resize request."""

    until: datetime
    state: AllocationState
    since: datetime
    resize: Resize | None


@dataclass(slots=True)
class Pool:
    """A pool of an account. ``name`` keeps the case that it was made with.

    ``low_priority`` is the wire's word for Spot nodes. Times are simulated. :meth:`settle` brings the pool to a
    moment and has to be called before anything is read. ``commands`` says what start tasks come to.
    """

    name: str
    spec: PoolSpec
    created: datetime
    commands: Commands
    identity: JsonObject | None = None
    tags: dict[str, str] | None = None
    nodes: list[Node] = field(default_factory=list)
    etag: str = field(default_factory=new_etag)
    modified: datetime = field(init=False)
    allocation_state: AllocationState = AllocationState.STEADY
    allocation_since: datetime = field(init=False)
    resize: Resize | None = None
    stale: StaleView | None = None
    auto_scale_run: AutoScaleRun | None = None
    auto_scale_enabled_at: datetime | None = None
    deleting_since: datetime | None = None
    gone_at: datetime | None = None
    _next_index: int = 0

    def __post_init__(self) -> None:
        self.modified = self.allocation_since = self.created

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def deleting(self) -> bool:
        """Whether the pool has been marked for deletion."""
        return self.deleting_since is not None

    @property
    def steady(self) -> bool:
        """Whether no resize is going on."""
        return self.allocation_state is AllocationState.STEADY

    @property
    def empty(self) -> bool:
        """Whether every property may be changed: no nodes and no resize."""
        return not self.nodes and self.steady

    def current(self, *, dedicated: bool) -> int:
        """How many nodes of one kind there are, usable or not; preempted ones count."""
        return sum(1 for node in self.nodes if node.is_dedicated == dedicated)

    def reserved(self, *, dedicated: bool) -> int:
        """How many nodes of one kind there are or are on their way: what counts against quotas."""
        coming = len(self.resize.pending[dedicated]) if self.resize is not None and self.resize.ended is None else 0
        return self.current(dedicated=dedicated) + coming

    def find_node(self, node_id: str) -> Node | None:
        """The node with this id."""
        return next((node for node in self.nodes if node.id == node_id), None)

    def visible_resize(self, now: datetime) -> tuple[AllocationState, datetime, Resize | None]:
        """Allocation state, since when, and the last resize, as a read shows them at ``now``."""
        if self.stale is not None and now < self.stale.until:
            return self.stale.state, self.stale.since, self.stale.resize
        return self.allocation_state, self.allocation_since, self.resize

    # -- changing ------------------------------------------------------------------------------------------------------

    def touch(self, now: datetime) -> None:
        """Note a change by a user: a new ETag."""
        self.etag = new_etag()
        self.modified = now

    def start_resize(
        self,
        now: datetime,
        targets: Targets,
        timeout: timedelta,
        option: NodeDeallocationOption | None,
        new: NewNodes,
        settings: BatchSettings,
    ) -> None:
        """Begin to bring the pool to ``targets``; with nothing to do the pool stays Steady and old errors are gone."""
        before = StaleView(
            now + settings.steady_after_resize_request, self.allocation_state, self.allocation_since, self.resize
        )
        chosen = option or NodeDeallocationOption.REQUEUE
        self.resize = Resize(
            targets=targets,
            timeout=timeout,
            option=chosen,
            started=self._next_start(now),
            planned_errors=(*new.dedicated.errors, *new.low_priority.errors),
            growth_ends=max(new.dedicated.ends, new.low_priority.ends),
            image=new.image,
            script=new.script,
            outcomes=_outcomes(new),
            pending={True: deque(new.dedicated.arrivals), False: deque(new.low_priority.arrivals)},
        )
        leaving = [
            *self._surplus(dedicated=True, target=targets.dedicated, now=now),
            *self._surplus(dedicated=False, target=targets.low_priority, now=now),
        ]
        self._begin(now, before)
        self.release(leaving, now, chosen, settings)
        self.settle(now, settings)

    def _next_start(self, now: datetime) -> datetime:
        """When the next resize starts: no two of a pool at once, also on a clock that stands still."""
        return now if self.resize is None else max(now, self.resize.started + timedelta(microseconds=1))

    def remove_nodes(
        self,
        nodes: list[Node],
        now: datetime,
        timeout: timedelta,
        option: NodeDeallocationOption | None,
        settings: BatchSettings,
    ) -> None:
        """Take these nodes out: a resize whose targets are so much lower than the size or the targets (a switch)."""
        before = Targets(self.current(dedicated=True), self.current(dedicated=False))
        if settings.remove_nodes_lowers is LoweredBy.TARGETS and self.resize is not None:
            before = self.resize.targets
        kept = Targets(
            max(0, before.dedicated - sum(node.is_dedicated for node in nodes)),
            max(0, before.low_priority - sum(not node.is_dedicated for node in nodes)),
        )
        stale = StaleView(
            now + settings.steady_after_resize_request, self.allocation_state, self.allocation_since, self.resize
        )
        chosen = option or NodeDeallocationOption.REQUEUE
        start, pending = self._next_start(now), {True: deque[datetime](), False: deque[datetime]()}
        self.resize = Resize(kept, timeout, chosen, start, (), now, {}, None, deque(), pending)
        self._begin(now, stale)
        self.release(nodes, now, chosen, settings)

    def release(
        self, nodes: Iterable[Node], now: datetime, option: NodeDeallocationOption, settings: BatchSettings
    ) -> None:
        """Let nodes go: at once, or when their tasks are done."""
        for node in nodes:
            if option is NodeDeallocationOption.TASK_COMPLETION and node.tasks:
                node.draining = True
                continue
            for task in tuple(node.tasks):
                if option is NodeDeallocationOption.TERMINATE:
                    task.end_early(now)
                else:
                    task.requeue(now)
            node.leave(now, settings.node_removal)

    def stop_resize(self, now: datetime, settings: BatchSettings) -> None:
        """Stop the resize that is going on: what has come stays, what has begun to leave leaves."""
        if self.resize is None or self.allocation_state is not AllocationState.RESIZING:
            return
        self.resize.stop_requested = now
        self.resize.planned_errors = (RESIZE_STOPPED,)
        self.resize.growth_ends = now + settings.stop_resize
        for arrivals in self.resize.pending.values():
            arrivals.clear()
        for node in self.nodes:
            node.draining = False
        self._set_state(AllocationState.STOPPING, now)

    def delete(self, now: datetime, settings: BatchSettings) -> None:
        """Mark the pool for deletion: a resize stops, tasks are requeued, the pool is resized to no nodes."""
        self.deleting_since = now
        self.gone_at = now + settings.pool_delete
        self.stale = None
        if self.nodes:
            requeue = NodeDeallocationOption.REQUEUE
            none = {True: deque[datetime](), False: deque[datetime]()}
            timeout = DEFAULT_RESIZE_TIMEOUT
            self.resize = Resize(Targets(0, 0), timeout, requeue, now, (), now, {}, None, deque(), none)
            self._set_state(AllocationState.RESIZING, now)
        elif self.resize is not None and self.resize.ended is None:
            for arrivals in self.resize.pending.values():
                arrivals.clear()
            self.resize.ended, self.resize.errors = now, (RESIZE_STOPPED,)
            self._set_state(AllocationState.STEADY, now)
        for node in self.nodes:
            node.requeue_tasks(now)
            node.leave(now, settings.pool_delete)
        self.touch(now)

    def boot_plan(self, settings: BatchSettings, script: ResizeScript | None = None) -> BootPlan:
        """How a node of this pool boots, with the start task of now."""
        task = self.spec.start_task
        default = settings.node_start_task if script is None or script.start_task is None else script.start_task

        def run_start_task() -> CommandRun | None:
            if task is None:
                return None
            command = Command(self.name, task.command_line, max_retries=task.max_task_retry_count)
            return self.commands.run(command, default=default)

        starting = settings.node_starting if script is None or script.starting is None else script.starting
        creating = settings.node_creating if script is None or script.creating is None else script.creating
        return BootPlan(
            times=BootTimes(creating, starting, settings.node_spread),
            start_task=start_task_to_data_plane(task.to_json()) if task else None,
            run_start_task=run_start_task,
            wait_for_success=task.wait_for_success if task else True,
        )

    def apply_incident(self, incident: Incident, now: datetime, settings: BatchSettings) -> int:
        """Let something happen to nodes; returns to how many."""
        preempted = incident.state is IncidentState.PREEMPTED
        candidates = [node for node in self.nodes if node.leaves_at is None and not (preempted and node.is_dedicated)]
        candidates.sort(key=lambda node: (not node.is_dedicated, node.index))
        hit = candidates[: incident.nodes]
        ends = None if incident.recovers_after is None else now + incident.recovers_after
        times = self.boot_plan(settings).times
        for node in hit:
            state = NodeState(incident.state.value)
            node.disturb(Disturbance(state, now, ends, incident.error, incident.cured_by_reboots), times)
            node.lose_tasks(now)
        return len(hit)

    # -- time ----------------------------------------------------------------------------------------------------------

    def settle(self, now: datetime, settings: BatchSettings) -> None:
        """Bring the pool to ``now``: nodes come and go, the resize ends."""
        resize = self.resize
        if resize is not None and resize.ended is None and not self.deleting:
            self._admit(resize, now, settings)
            self._finish_drains(resize, now, settings)
            self._end(resize, now, settings)
        for node in self.nodes:
            if node.disturbances:
                node.lose_tasks(now)
        if any(node.gone_at is not None and node.gone_at <= now for node in self.nodes):
            self.nodes = [node for node in self.nodes if node.gone_at is None or node.gone_at > now]

    def add_node(self, *, dedicated: bool, at: datetime, image: JsonObject, outcome: NodeOutcome | None) -> Node:
        """Add a node that was allocated at ``at``; the caller boots it."""
        index = self._next_index
        self._next_index += 1
        prefix = "tvmps" if not dedicated else "tvm"
        node = Node(
            id=f"{prefix}_{index:08x}_{at:%Y%m%dt%H%M%Sz}",
            index=index,
            is_dedicated=dedicated,
            image=image,
            allocated=at,
            booted=at,
            phases=[],
            outcome=outcome,
        )
        self.nodes.append(node)
        return node

    def _begin(self, now: datetime, before: StaleView) -> None:
        self.stale = before if before.until > now else None
        self._set_state(AllocationState.RESIZING, now)
        self.touch(now)

    def _set_state(self, state: AllocationState, at: datetime) -> None:
        if state is not self.allocation_state:
            self.allocation_state = state
            self.allocation_since = at

    def _surplus(self, *, dedicated: bool, target: int, now: datetime) -> list[Node]:
        """The nodes that leave: idle before busy, young before old."""
        nodes = [node for node in self.nodes if node.is_dedicated == dedicated]
        excess = len(nodes) - target
        if excess <= 0:
            return []
        nodes.sort(key=lambda node: (bool(node.tasks), -node.index))
        return nodes[:excess]

    def _admit(self, resize: Resize, now: datetime, settings: BatchSettings) -> None:
        plan = self.boot_plan(settings, resize.script)
        preempt = resize.script.preempt if resize.script is not None else None
        for dedicated, arrivals in resize.pending.items():
            while arrivals and arrivals[0] <= now:
                at = arrivals.popleft()
                outcome = resize.outcomes.popleft() if resize.outcomes else None
                node = self.add_node(dedicated=dedicated, at=at, image=resize.image, outcome=outcome)
                boot(node, at, plan, from_state=NodeState.CREATING, first=plan.times.creating)
                if preempt is not None and not dedicated:
                    self._preempt_later(node, preempt, plan.times)

    def _preempt_later(self, node: Node, preempt: Preemption, times: BootTimes) -> None:
        scripted = sum(1 for other in self.nodes if other.disturbances)
        if scripted < preempt.nodes:
            at = node.allocated + preempt.after
            ends = None if preempt.recovers_after is None else at + preempt.recovers_after
            node.disturb(Disturbance(NodeState.PREEMPTED, at, ends), times)

    def _finish_drains(self, resize: Resize, now: datetime, settings: BatchSettings) -> None:
        for node in self.nodes:
            if node.draining and not node.tasks:
                done = max(resize.started, node.changed_at or resize.started)
                if done <= resize.deadline:
                    node.leave(done, settings.node_removal)

    def _end(self, resize: Resize, now: datetime, settings: BatchSettings) -> None:
        draining = [node for node in self.nodes if node.draining]
        ends = resize.growth_ends
        errors = resize.planned_errors
        if draining:
            ends = resize.deadline
            errors = (*errors, _drain_timed_out(settings))
        leaving = [node.gone_at for node in self.nodes if node.gone_at is not None]
        ends = max([ends, *leaving])
        if now < ends:
            return
        for node in draining:
            node.draining = False
        resize.ended = ends
        resize.errors = errors
        self._set_state(AllocationState.STEADY, ends)


def _outcomes(new: NewNodes) -> deque[NodeOutcome | None]:
    """What becomes of the new nodes, in the order in which they come; the bad ones first, so that a share is exact."""
    total = len(new.dedicated.arrivals) + len(new.low_priority.arrivals)
    bad: list[NodeOutcome | None] = []
    for outcome in new.outcomes:
        bad += [outcome] * outcome.count(total)
    return deque(bad[:total])


def _drain_timed_out(settings: BatchSettings) -> ScriptedError:
    return ScriptedError(
        code=settings.drain_timeout_code,
        message="Desired number of nodes could not be removed as the resize timeout was reached",
    )
