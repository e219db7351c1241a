"""What a resize request leads to: which nodes come when, when the resize ends, and with which errors. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from include.azure_simulator.batch.scripts import ErrorDetail, ResizeScript, ScriptedError

COMMUNICATION_LIMIT = ScriptedError(
    code="CommunicationEnabledPoolReachedMaxVMCount",
    message="The pool with inter-node communication enabled has reached the maximum number of nodes",
)
RESIZE_STOPPED = ScriptedError(
    code="ResizeStopped", message="Desired number of nodes could not be allocated as the resize was stopped"
)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast nodes come: ``latency`` to the first, then ``nodes_per_minute``; ``failure`` is the time to an error."""

    latency: timedelta
    nodes_per_minute: float
    failure: timedelta


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``nodes`` of the wanted nodes can be allocated, and ``error`` says why."""

    nodes: int
    error: ScriptedError


@dataclass(frozen=True, slots=True)
class Growth:
    """How many nodes of one kind a resize wants to add, and what stands in the way.

    ``capacity`` is how many the region has to give; a resize that wants more waits for its timeout.
    """

    word: str
    wanted: int
    limits: tuple[Limit, ...] = ()
    capacity: int | None = None


@dataclass(frozen=True, slots=True)
class GrowthPlan:
    """When each new node comes, when this part of the resize ends, and its errors."""

    arrivals: tuple[datetime, ...]
    ends: datetime
    errors: tuple[ScriptedError, ...]


def allocation_timed_out(word: str) -> ScriptedError:
    """The error of a resize whose timeout was reached; ``word`` is the kind of nodes."""
    return ScriptedError(
        code="AllocationTimedout",
        message=f"Desired number of {word} nodes could not be allocated as the resize timeout was reached",
    )


def quota_reached(code: str, message: str) -> ScriptedError:
    """The error of a resize that met a core quota."""
    return ScriptedError(code=code, message=message)


def provider_error(message: str, code: str = "BadRequest") -> ScriptedError:
    """The error of a resize that Compute refused: its answer is embedded as JSON, cut or not."""
    answer = json.dumps({"error": {"code": code, "message": message}}, separators=(",", ":"))
    return ScriptedError(
        code="AllocationFailed",
        message="Desired number of dedicated nodes could not be allocated",
        details=(
            ErrorDetail(code="Reason", message="The request was refused by the compute provider."),
            ErrorDetail(code="Provider Error Json", message=answer),
            ErrorDetail(code="Provider Error Json Truncated", message="False"),
        ),
    )


def plan_growth(growth: Growth, started: datetime, timeout: timedelta, pace: Pace) -> GrowthPlan:
    """Plan the nodes of one kind.

    Limits (quota, a script's error) end the resize as soon as what they allow is there; missing capacity makes it
    wait for ``timeout``, keeps what came and ends with ``AllocationTimedout``.
    """
    deadline = started + timeout
    if growth.wanted <= 0:
        return GrowthPlan((), started, ())
    tightest = min(
        (limit for limit in growth.limits if limit.nodes < growth.wanted), key=lambda item: item.nodes, default=None
    )
    allowed = growth.wanted if tightest is None else max(0, tightest.nodes)
    granted = allowed if growth.capacity is None else min(allowed, max(0, growth.capacity))
    first = started + pace.latency
    interval = timedelta(minutes=1) / pace.nodes_per_minute
    arrivals = tuple(moment for index in range(granted) if (moment := first + interval * index) <= deadline)
    if len(arrivals) < allowed:
        return GrowthPlan(arrivals, deadline, (allocation_timed_out(growth.word),))
    if tightest is not None:
        ends = max(arrivals[-1] if arrivals else started, started + pace.failure)
        return GrowthPlan(arrivals, min(ends, deadline), (tightest.error,))
    return GrowthPlan(arrivals, arrivals[-1], ())


def script_pace(script: ResizeScript | None, pace: Pace) -> Pace:
    """The pace with what a script says about it."""
    if script is None:
        return pace
    return Pace(
        latency=pace.latency + script.delay,
        nodes_per_minute=script.nodes_per_minute or pace.nodes_per_minute,
        failure=pace.failure + script.delay,
    )


def script_growth(script: ResizeScript | None, growth: Growth, current: int, new: int, *, dedicated: bool) -> Growth:
    """The growth with what a script says about it.

    :param current: how many nodes of this kind there are now.
    :param new: how many nodes of the other kind the resize brings.
    """
    if script is None:
        return growth
    size = script.max_dedicated_nodes if dedicated else script.max_low_priority_nodes
    caps = [max(0, size - current)] if size is not None else []
    caps += [max(0, script.max_new_nodes - new)] if script.max_new_nodes is not None else []
    room = min(caps, default=None)
    if script.error is not None:
        limit = Limit(room if room is not None else 0, script.error)
        return Growth(growth.word, growth.wanted, (*growth.limits, limit), growth.capacity)
    return Growth(growth.word, growth.wanted, growth.limits, room)
