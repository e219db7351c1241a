"""What goes wrong when large pools grow, how fast they could grow all the same, and who tries."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from golden_pools.errors import GoldenPoolsError
from golden_pools.operators.nodes import ReadyNodesOperator
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.spec.model import PoolSpec

from include.azure_simulator.batch.nodes import BootTimes
from include.azure_simulator.batch.settings import BatchSettings
from tests.operators.conftest import NEW, Cloud, Run, small_pool
from tests.virtual_time import VirtualTime

CAPACITY = {
    "code": "AllocationFailed",
    "details": [
        {
            "code": "Provider Error Json",
            "message": '{"error":{"code":"OverconstrainedAllocationRequest","message":"no capacity"}}',
        }
    ],
}
PATIENCE = timedelta(minutes=2)
"""The spec's ``stall_minutes`` here: a bit more than the simulator takes to the first node of a resize."""

LONGEST = timedelta(hours=4)
"""Execution timeout that a careful author gives a task of Airflow's provider, which itself waits without end."""

FULL_DISK = {"code": "DiskFull", "message": "There is not enough disk space"}
INTERNAL = {
    "code": "AllocationFailed",
    "details": [{"code": "Reason", "message": "The server encountered an internal error."}],
}


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What a script does to the resizes of a pool. Counts are parts of the pool's size.

    :param cap: part of the nodes that one resize brings at most
    :param error: how a capped resize ends; None: it waits for its timeout
    :param fails_at: the first resize ends with an internal error when this part is there
    :param rate: nodes a minute; None: as the simulator's settings say
    :param bad: part of the first resize's nodes that come up unusable
    :param cured: a reboot cures them; otherwise they have to be replaced
    :param stale: reads show the pool, and the errors of an earlier resize, as before a request for so long
    """

    cap: float | None = None
    error: dict[str, Any] | None = None
    fails_at: float | None = None
    rate: float | None = None
    bad: float | None = None
    cured: bool = False
    stale: timedelta | None = None

    def script(self, cloud: Cloud, nodes: int) -> None:
        """Let it happen to an empty pool that is to get so many nodes."""
        if self.stale:
            quota = {"code": "AccountCoreQuotaReached", "message": "The specified account has reached core quota"}
            cloud.allocation(error=quota)
            cloud.resize(dedicated=1)
            cloud.advance(minutes=30)
            cloud.configure(batch={"steady_after_resize_request": self.stale.total_seconds()})
        every: dict[str, Any] = {"nodes_per_minute": self.rate} if self.rate else {}
        if self.cap:
            every |= {"max_new_nodes": _part(self.cap, nodes), **({"error": self.error} if self.error else {})}
        if every:
            cloud.allocation(resizes=None, **every)
        first: dict[str, Any] = {}
        if self.bad:
            cure = {"cured_by_reboots": 1} if self.cured else {}
            first["node_outcomes"] = [
                {"state": "unusable", "nodes": _part(self.bad, nodes), "error": FULL_DISK, **cure}
            ]
        if self.fails_at is not None:
            first |= {"max_new_nodes": _part(self.fails_at, nodes), "error": INTERNAL}
        if first:
            cloud.allocation(**{**every, **first})


def _part(share: float, nodes: int) -> int:
    return math.ceil(share * nodes)


def limit(trouble: Trouble, nodes: int, settings: BatchSettings) -> timedelta:
    """Return how long the simulator takes at least from no node to so many that are ready.

    That is somebody who knows the script beforehand, asks for just what comes and learns of everything at once: each
    resize costs the latency to its first node, then nodes come at the rate, and each boots for its own time. A bad node
    is rebooted in the moment in which it goes bad. Two things nobody can know: whether a resize hangs or is slow, so
    the first that hangs takes the spec's patience and a stop; and which nodes no reboot cures, before all have booted,
    so the one removal that the spec allows comes then.
    """
    rate = trouble.rate or settings.allocation_rate_nodes_per_minute
    times = BootTimes(settings.node_creating, settings.node_starting, settings.node_spread)
    boot, reboot = times.creating + times.starting, settings.node_reboot + times.starting
    bad, cap = _part(trouble.bad or 0, nodes), _part(trouble.cap or 1, nodes)
    came: list[timedelta] = []  # by index of the node: when it came
    rests = timedelta(0)

    def grow(count: int) -> None:
        nonlocal rests
        first = rests + settings.allocation_latency
        came.extend(first + timedelta(minutes=number / rate) for number in range(count))
        rests = came[-1] if count else rests

    if trouble.fails_at is not None:
        grow(_part(trouble.fails_at, nodes))
        rests = max(rests, settings.allocation_failure_latency)
    hangs = trouble.cap is not None and trouble.error is None
    while len(came) < nodes:
        grow(min(cap, nodes - len(came)))
        if hangs:
            rests, hangs = rests + PATIENCE + settings.stop_resize, False
    up = [at + boot * times.factor(index) for index, at in enumerate(came)]
    if trouble.cured:
        up[:bad] = [at + reboot * times.factor(index) for index, at in enumerate(up[:bad])]
    elif bad:
        rests = max(up) + settings.node_removal
        grow(bad)
        up += [at + boot * times.factor(index) for index, at in enumerate(came[nodes:], nodes)]
    return max(up)


SUCCESS = "success"


@dataclass(kw_only=True)
class Outcome:
    """How a client fared.

    :param ended: when it was done, by Azure's clock
    :param taken: from its first request on
    :param said: SUCCESS, or what it failed with
    :param ready: nodes that are ready in the end
    """

    ended: datetime
    taken: timedelta
    said: str
    ready: int
    resizes: int
    requests: int

    def in_words(self) -> str:
        """Return how it ended, in a line of a table."""
        return f"{'says success' if self.said == SUCCESS else 'fails'}, {self.ready} ready"


def ours(cloud: Cloud, virtual: VirtualTime, nodes: int) -> Outcome:
    """Bring the pool to so many ready nodes as the DAG of a pool does: resize, then wait for the nodes."""
    resize = {"stall_minutes": PATIENCE // timedelta(minutes=1)}
    spec = PoolSpec.model_validate({**small_pool(cloud).model_dump(mode="json"), "resize": resize})
    run = Run(spec, conf={"image_version": NEW, "dedicated": nodes, "spot": 0}, fire=virtual.fire)

    def go() -> str:
        try:
            run.do(ResizePoolOperator(task_id="resize", tend_nodes=True))
            run.do(ReadyNodesOperator(task_id="nodes", pool_task_id="resize"))
        except GoldenPoolsError as error:
            return f"{type(error).__name__}: {error.answer}"
        return SUCCESS

    return _measured(cloud, virtual, go)


def plain(cloud: Cloud, virtual: VirtualTime, nodes: int) -> Outcome:
    """Resize once and wait as ``AzureBatchOperator`` of Airflow's own provider does, with the provider's own code."""
    from airflow.providers.microsoft.azure.hooks import batch
    from azure.batch.models import BatchNodeState
    from golden_pools.hooks.azure import AzureHook

    until = virtual.now() + LONGEST

    def sleep(seconds: float) -> None:
        virtual.sleep(seconds)
        if virtual.now() > until:
            raise TimeoutError("waits without end")

    def go() -> str:
        cloud.plane("POST", "/pools/small/resize", {"targetDedicatedNodes": nodes})
        states = {BatchNodeState.START_TASK_FAILED, BatchNodeState.UNUSABLE, BatchNodeState.IDLE}
        with AzureHook("azure_default", cloud.subscription) as azure, pytest.MonkeyPatch.context() as patch:
            patch.setattr(batch, "time", SimpleNamespace(sleep=sleep))
            hook = batch.AzureBatchHook()
            hook.connection = azure.data_plane_client(cloud.url)
            try:
                hook.wait_for_all_node_state("small", states)
            except (RuntimeError, TimeoutError) as error:
                return str(error)
        return SUCCESS

    return _measured(cloud, virtual, go)


def _measured(cloud: Cloud, virtual: VirtualTime, go: Callable[[], str]) -> Outcome:
    cloud.control("DELETE", "counters")
    begun = virtual.now()
    said = go()
    ended = virtual.now()
    routes = cloud.world.traffic.counters()["routes"]
    made: Counter[str] = Counter()
    for entry in routes:
        if not entry["route"].startswith("/_simulator"):
            made[f"{entry['method']} {entry['route'].rpartition('/')[2]}"] += entry["count"]
    counts = cloud.plane("GET", "/nodecounts")["value"][0]["dedicated"]
    return Outcome(
        ended=ended,
        taken=ended - begun,
        said=said,
        ready=counts["idle"] + counts["running"],
        resizes=made["PATCH {pool}"] + made["POST resize"],
        requests=made.total(),
    )
