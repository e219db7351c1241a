"""Scripts: what a test or a lesson makes of the next resizes of a pool, of its nodes, of the commands on them.

``POST /_simulator/allocations`` takes one object. Without ``incident`` it is a :class:`ResizeScript` that waits for the
next resizes which add nodes; with ``incident`` it is an :class:`IncidentScript` that happens at once, to nodes that the
pool has. ``POST /_simulator/commands`` takes a :class:`CommandScript` that waits for the next commands. ``pool`` is an
id, or a pattern with ``*`` for ids that nobody knows beforehand. Durations are ISO 8601 or seconds of simulated time.

No capacity in the region, 3 of 10 nodes come (``AllocationTimedout`` when ``resizeTimeout`` is over)::

    {"pool": "nightly", "max_dedicated_nodes": 3}

A resize error after two nodes::

    {"pool": "nightly", "max_dedicated_nodes": 2, "error": {"code": "AllocationFailed",
     "message": "Desired number of dedicated nodes could not be allocated",
     "details": [{"code": "Reason", "message": "The server encountered an internal error."}]}}

Large images come in portions: at most 50 nodes in every resize::

    {"pool": "nightly-*", "resizes": null, "max_new_nodes": 50}

A tenth of the nodes never gets usable, in the next two resizes::

    {"pool": "nightly", "resizes": 2, "node_outcomes": [{"state": "unusable", "share": 0.1}]}

All nodes of the next resize come up with a failed start task; two reboots cure each::

    {"pool": "nightly", "node_outcomes": [{"state": "starttaskfailed", "share": 1, "cured_by_reboots": 2}]}

Spot nodes are taken away and come back::

    {"pool": "nightly", "incident": {"state": "preempted", "nodes": 3, "recovers_after": "PT10M"}}

The next probe fails, on whatever pool of the family it runs::

    {"pool": "nightly-*", "task": "probe", "count": 1, "exit_code": 1, "stderr": "no GPU found"}
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from include.azure_simulator.resources import JsonObject


def _compiles(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Share = Annotated[float, Field(gt=0, le=1)]
Delay = Annotated[timedelta, Field(ge=timedelta(0))]
Times = Annotated[int, Field(ge=1)] | None
"""How often something happens; ``None`` is without end."""
Pools = Annotated[str, Field(pattern=r"^[A-Za-z0-9_*-]{1,64}$")]
"""The id of a pool, or a pattern of ids: ``*`` stands for any part of one."""
Regex = Annotated[str, AfterValidator(_compiles)]
"""A regular expression that is searched, ignoring case."""


class _Script(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PoolScript(_Script):
    """A script for pools of one account (``None``: the first one)."""

    account: str | None = None
    pool: Pools

    def concerns(self, pool: str) -> bool:
        """Whether a pool is meant; ids compare without case."""
        return fnmatchcase(pool.lower(), self.pool.lower())

    def to_json(self) -> JsonObject:
        """The script as it was understood."""
        dumped: JsonObject = self.model_dump(mode="json", exclude_none=True)
        return dumped


class ErrorDetail(_Script):
    """A pair that explains an error."""

    code: str
    message: str


class ScriptedError(_Script):
    """An error of a resize or of a node, with the code and the words that the service would use."""

    code: str
    message: str = "Desired number of nodes could not be allocated"
    details: tuple[ErrorDetail, ...] = ()


class NodeFate(StrEnum):
    """How a node that was allocated can turn out."""

    UNUSABLE = "unusable"
    START_TASK_FAILED = "starttaskfailed"


class NodeOutcome(_Script):
    """What becomes of some of the new nodes; exactly one of ``share`` (0 to 1) and ``nodes`` says of how many.

    ``error`` is put into the node's ``errors`` (an unusable node without one cannot reach the service);
    ``exit_code`` is that of a failed start task. After ``cured_by_reboots`` reboots the node is healthy (``None``: it
    never gets so).
    """

    state: NodeFate
    share: Share | None = None
    nodes: Annotated[int, Field(ge=1)] | None = None
    error: ScriptedError | None = None
    exit_code: int = 1
    cured_by_reboots: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one_amount(self) -> NodeOutcome:
        if (self.share is None) == (self.nodes is None):
            raise ValueError("say either share or nodes")
        return self

    def count(self, of: int) -> int:
        """How many of ``of`` new nodes turn out this way, at least one."""
        return min(of, self.nodes if self.nodes is not None else max(1, round(of * (self.share or 0))))


class Preemption(_Script):
    """Spot nodes of a resize that are taken away again some time after they were allocated."""

    nodes: Annotated[int, Field(ge=1)]
    after: Delay = timedelta(minutes=5)
    recovers_after: Delay | None = None


class ResizeScript(PoolScript):
    """The outcome of the next ``resizes`` resizes of ``pool`` (``None``: of every one) that add nodes.

    ``max_dedicated_nodes`` and ``max_low_priority_nodes`` cap the size that the pool reaches, ``max_new_nodes`` caps
    how many nodes come in one resize, dedicated ones first. With an ``error`` the resize ends with it as soon as the
    capped number is there (no cap: no node comes); without one it waits for its timeout. ``delay`` comes on top of the
    allocation latency. ``creating``, ``starting`` and ``start_task`` replace the durations of the settings for the new
    nodes.
    """

    resizes: Times = 1
    max_dedicated_nodes: Annotated[int, Field(ge=0)] | None = None
    max_low_priority_nodes: Annotated[int, Field(ge=0)] | None = None
    max_new_nodes: Annotated[int, Field(ge=0)] | None = None
    error: ScriptedError | None = None
    delay: Delay = timedelta(0)
    nodes_per_minute: Annotated[float, Field(gt=0)] | None = None
    node_outcomes: tuple[NodeOutcome, ...] = ()
    preempt: Preemption | None = None
    creating: Delay | None = None
    starting: Delay | None = None
    start_task: Delay | None = None


class IncidentState(StrEnum):
    """What can happen to nodes that run."""

    PREEMPTED = "preempted"
    UNUSABLE = "unusable"
    UNKNOWN = "unknown"


class Incident(_Script):
    """``nodes`` nodes of the pool change to ``state`` at once and, with ``recovers_after``, start again later.

    ``preempted`` takes Spot nodes only, the other states take dedicated nodes first. Nodes that are ``unusable`` for
    good get healthy by ``cured_by_reboots`` reboots (``None``: never).
    """

    state: IncidentState
    nodes: Annotated[int, Field(ge=1)]
    recovers_after: Delay | None = None
    error: ScriptedError | None = None
    cured_by_reboots: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _can_be_cured(self) -> Incident:
        if self.cured_by_reboots is not None and (
            self.state is not IncidentState.UNUSABLE or self.recovers_after is not None
        ):
            raise ValueError("only nodes that are unusable for good are cured by reboots")
        return self


class IncidentScript(PoolScript):
    """Something that happens now to nodes that the pool has; with a pattern, to nodes of each pool that is meant."""

    incident: Incident


class CommandKind(StrEnum):
    """What runs a command on a node."""

    TASK = "task"
    START_TASK = "starttask"


class CommandScript(PoolScript):
    """The outcome of the next ``count`` commands (``None``: of every one) on nodes of ``pool``.

    A command must fit every given condition: ``kind``, ``task`` (the id of a task; a start task has none) and
    ``command_line``. What the script leaves out stays as the command line says: ``exit_code``, ``duration``, and the
    texts of ``stdout.txt`` and ``stderr.txt``. Each retry of a task is a command of its own.

    A script counts from the moment at which a command starts; for a start task that is when its node begins to boot.
    """

    pool: Pools = "*"
    kind: CommandKind | None = None
    task: Regex | None = None
    command_line: Regex | None = None
    count: Times = None
    exit_code: int | None = None
    stdout: str | None = None
    stderr: str | None = None
    duration: Delay | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> CommandScript:
        if self.task is not None and self.kind is CommandKind.START_TASK:
            raise ValueError("a start task has no id: leave task out")
        if all(value is None for value in (self.exit_code, self.stdout, self.stderr, self.duration)):
            raise ValueError("say at least one of exit_code, stdout, stderr and duration")
        return self

    def fits(self, pool: str, command_line: str, task: str | None) -> bool:
        """Whether a command is meant.

        :param task: the id of the task, ``None`` for a start task.
        """
        if self.kind is not None and (self.kind is CommandKind.START_TASK) != (task is None):
            return False
        if self.task is not None and (task is None or not re.search(self.task, task, re.IGNORECASE)):
            return False
        if self.command_line is not None and not re.search(self.command_line, command_line, re.IGNORECASE):
            return False
        return self.concerns(pool)
