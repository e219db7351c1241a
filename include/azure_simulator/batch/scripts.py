"""Scripted allocations: what a test or a lesson makes of the next resizes of a pool.

``POST /_simulator/allocations`` takes one object. Without ``incident`` it is a :class:`ResizeScript` that waits for the
next resizes which add nodes; with ``incident`` it is an :class:`IncidentScript` that happens at once, to nodes that the
pool has. Durations are ISO 8601 or seconds of simulated time.

No capacity in the region, 3 of 10 nodes come (``AllocationTimedout`` when ``resizeTimeout`` is over)::

    {"pool": "nightly", "max_dedicated_nodes": 3}

A resize error after two nodes::

    {"pool": "nightly", "max_dedicated_nodes": 2, "error": {"code": "AllocationFailed",
     "message": "Desired number of dedicated nodes could not be allocated",
     "details": [{"code": "Reason", "message": "The server encountered an internal error."}]}}

A tenth of the nodes never gets usable, in the next two resizes::

    {"pool": "nightly", "resizes": 2, "node_outcomes": [{"state": "unusable", "share": 0.1}]}

Spot nodes are taken away and come back::

    {"pool": "nightly", "incident": {"state": "preempted", "nodes": 3, "recovers_after": "PT10M"}}
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(gt=0, le=1)]
Delay = Annotated[timedelta, Field(ge=timedelta(0))]


class _Script(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    ``exit_code`` is that of a failed start task.
    """

    state: NodeFate
    share: Share | None = None
    nodes: Annotated[int, Field(ge=1)] | None = None
    error: ScriptedError | None = None
    exit_code: int = 1

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


class ResizeScript(_Script):
    """The outcome of the next ``resizes`` resizes of ``pool`` that add nodes.

    ``max_dedicated_nodes`` and ``max_low_priority_nodes`` cap the size that the pool reaches. With an ``error`` the
    resize ends with it as soon as the capped number is there (no cap: no node comes); without one it waits for its
    timeout. ``delay`` comes on top of the allocation latency. ``creating``, ``starting`` and ``start_task`` replace the
    durations of the settings for the new nodes.
    """

    account: str | None = None
    pool: str
    resizes: Annotated[int, Field(ge=1)] = 1
    max_dedicated_nodes: Annotated[int, Field(ge=0)] | None = None
    max_low_priority_nodes: Annotated[int, Field(ge=0)] | None = None
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

    ``preempted`` takes Spot nodes only, the other states take dedicated nodes first.
    """

    state: IncidentState
    nodes: Annotated[int, Field(ge=1)]
    recovers_after: Delay | None = None
    error: ScriptedError | None = None


class IncidentScript(_Script):
    """Something that happens now to nodes that the pool has."""

    account: str | None = None
    pool: str
    incident: Incident
