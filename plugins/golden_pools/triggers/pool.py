"""Wait for Batch pools: one poll per Batch account serves every waiting task."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TaskSuccessEvent, TriggerEvent

from golden_pools.errors import AzureBusyError, GoldenPoolsError, ResizeGaveUpError
from golden_pools.metrics import send
from golden_pools.rules.facts import AllocationState, Pool, PoolNodes
from golden_pools.rules.family import ALIAS, is_deleting, pool_of
from golden_pools.rules.metrics import of_account, of_resize
from golden_pools.rules.resize import (
    SAMPLES,
    Cause,
    Curve,
    Lasting,
    ResizeRequest,
    Sample,
    Verdict,
    VerdictKind,
    duration,
    headcount,
    judge,
    judge_nodes,
)
from golden_pools.rules.resize.clinic import Watch, bad_counts
from golden_pools.spec.model import Shares, Targets
from golden_pools.triggers import first_look
from golden_pools.words import counted

DEFAULT_INTERVAL_SECONDS = 15.0
"""Interval as long as the connection, which sets it, cannot be read."""

LONGEST_BACK_OFF_SECONDS = 300.0
"""Longest interval between two polls of an account that does not answer."""

GRACE_SECONDS = 600.0
"""How long a node may be ``unknown`` where nobody says otherwise: Batch finds most again ("resize.clinic")."""

REFUSALS = 3
"""Polls in a row without the pool, or refused since the last good one, that end a wait: one may be a hiccup."""


@dataclass(frozen=True)
class AccountView:
    """What one poll of a Batch account saw; all waiting tasks read the same one.

    ``failure`` is set instead of pools and nodes when the poll failed. Names are lower case: Batch compares them so.
    """

    pools: Mapping[str, Pool]
    nodes: Mapping[str, PoolNodes]
    failure: GoldenPoolsError | None = None


class AccountTrigger(BaseEventTrigger):
    """Base of all waits for a pool: subscribes to the poll of its Batch account.

    :param connection: Airflow connection of type ``azure``
    :param subscription: subscription of the Batch account
    :param resource_group: resource group of the Batch account
    :param account: Batch account
    :param pool: pool that this task waits for
    :param deadline: absolute end of the wait, ISO 8601, UTC: survives a restart of the triggerer
    :param started: begin of the wait, ISO 8601, UTC
    :param samples: what the stage saw of the pool before this wait, as :class:`~golden_pools.rules.resize.Curve` writes
        it; the event carries it on, as XCom or beside what else it says; None: nobody asks for it
    """

    def __init__(
        self,
        *,
        connection: str,
        subscription: str,
        resource_group: str,
        account: str,
        pool: str,
        started: str,
        deadline: str,
        samples: list[list[Any]] | None = None,
    ) -> None:
        super().__init__()
        self.connection = connection
        self.subscription = subscription
        self.resource_group = resource_group
        self.account = account
        self.pool = pool
        self.started = started
        self.deadline = deadline
        self.samples = samples
        self.seen = AccountView({}, {})  # the poll that :meth:`look` judges, for waits that other pools matter to
        self._said = ""
        self._absent = 0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        arguments = {name: getattr(self, name) for name in ARGUMENTS}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments | self.own_arguments()

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments that a subclass adds."""
        return {}

    def shared_stream_key(self) -> Hashable:
        """Return what makes two waits share one poll."""
        names = (self.connection, self.subscription, self.resource_group, self.account)
        return "batch-account", *(name.lower() for name in names)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncGenerator[AccountView, None]:
        """Poll the account for ever; throttling and outages lengthen the interval and never end the stream."""
        from golden_pools.hooks.batch import AsyncBatchHook

        await asyncio.sleep(first_look.SECONDS)
        async with AsyncBatchHook(kwargs["connection"], kwargs["subscription"]) as hook:
            interval, failures = DEFAULT_INTERVAL_SECONDS, 0
            while True:
                try:
                    interval = (await hook.connection()).poll_seconds
                    pools = await hook.pools(kwargs["resource_group"], kwargs["account"])
                    nodes = await hook.node_counts(kwargs["resource_group"], kwargs["account"])
                except GoldenPoolsError as failure:
                    failures += 1
                    asked = failure.retry_after_seconds or 0.0 if isinstance(failure, AzureBusyError) else 0.0
                    wait = min(LONGEST_BACK_OFF_SECONDS, max(interval * 2.0 ** min(failures, 10), asked))
                    yield AccountView({}, {}, failure)
                else:
                    failures, wait = 0, interval
                    view = AccountView(
                        {pool.name.lower(): pool for pool in pools},
                        {name.lower(): seen for name, seen in nodes.items()},
                    )
                    send(of_account(pools, view.nodes))
                    yield view
                await asyncio.sleep(wait)

    async def run(self) -> AsyncGenerator[TriggerEvent, None]:
        """Wait on a poll of its own, where nothing shares it (``DAG.test``)."""
        stream = self.open_shared_stream(self.serialize()[1])
        async with aclosing(stream), aclosing(self.filter_shared_stream(stream)) as events:
            async for event in events:
                yield event

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[AccountView]
    ) -> AsyncGenerator[TriggerEvent, None]:
        """Yield the one event that ends this task's wait."""
        clock = asyncio.get_running_loop().time
        subscribed = clock()
        refused, curve = 0, Curve(self.samples or ())
        async for view in shared_stream:
            if clock() - subscribed < first_look.SECONDS:
                continue
            if view.failure is None:
                refused = 0
                self.seen = view
                pool = self.find(view)
                nodes = view.nodes.get((pool.name if pool else self.pool).lower())
                if pool is not None:
                    curve.see(Sample.of(pool, nodes, datetime.now(tz=UTC)))
                event = self.look(pool, nodes)
            else:
                refused += not isinstance(view.failure, AzureBusyError)
                event = self._endure(view.failure, refused)
            if event is not None:
                yield event if self.samples is None else with_samples(event, curve)
                return

    def find(self, view: AccountView) -> Pool | None:
        """Return the pool that this task waits for."""
        return view.pools.get(self.pool.lower())

    @abstractmethod
    def look(self, pool: Pool | None, nodes: PoolNodes | None) -> TriggerEvent | None:
        """Judge one observation: the event that ends the wait, or ``None`` to go on."""

    def _endure(self, failure: GoldenPoolsError, refused: int) -> TriggerEvent | None:
        self.log.warning("Batch account %s could not be asked: %s", self.account, failure)
        return failed(failure) if refused >= REFUSALS or self.is_late() else None

    def elapsed(self) -> timedelta:
        """Return how long the task has waited."""
        return datetime.now(tz=UTC) - datetime.fromisoformat(self.started)

    def allowed(self) -> timedelta:
        """Return how long the task may wait."""
        return datetime.fromisoformat(self.deadline) - datetime.fromisoformat(self.started)

    def is_late(self) -> bool:
        """Return whether the deadline is over."""
        return self.elapsed() > self.allowed()

    def is_gone(self, pool: Pool | None) -> bool:
        """Return whether the pool has been absent, or being deleted, in some looks in a row."""
        self._absent = 0 if pool and not is_deleting(pool) else self._absent + 1
        return self._absent >= REFUSALS

    def say(self, line: str) -> None:
        """Log a line with the time, if it differs from the one before."""
        if line != self._said:
            self._said = line
            self.log.info("%s: %s, %s of %s", self.pool, line, duration(self.elapsed()), duration(self.allowed()))


ARGUMENTS = ("connection", "subscription", "resource_group", "account", "pool", "started", "deadline", "samples")


def with_samples(event: TriggerEvent, curve: Curve) -> TriggerEvent:
    """Return the event with what the wait saw of its pool: as an XCom where it ends the task, else in the payload."""
    samples = {SAMPLES: curve.to_list()}
    if isinstance(event, TaskSuccessEvent):
        return TaskSuccessEvent(xcoms={**(event.xcoms or {}), **samples})
    return TriggerEvent({**event.payload, **samples})


def failed(error: GoldenPoolsError) -> TriggerEvent:
    """Return the event that raises ``error`` on a worker."""
    return TriggerEvent({"failure": error.to_dict()})


def pool_gone(resource: str) -> ResizeGaveUpError:
    """Return the error of a wait for the nodes of a pool that nobody can wait for."""
    return ResizeGaveUpError(
        "The pool is being deleted, or does not exist",
        resource=resource,
        advice="find out who deleted it, then trigger the run again: it makes the pool anew",
    )


class SettleTrigger(AccountTrigger):
    """Wait until the pool rests or is gone, whoever moved it.

    :param not_before: wait at least until then, ISO 8601, UTC; absent: not
    """

    def __init__(self, *, not_before: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.not_before = not_before

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments of this trigger beside the base's."""
        return {"not_before": self.not_before}

    def look(self, pool: Pool | None, nodes: PoolNodes | None) -> TriggerEvent | None:
        """Return an event as soon as the pool may be changed, or its id used, again."""
        if self.not_before and datetime.now(tz=UTC) < datetime.fromisoformat(self.not_before):
            return None
        if pool is None or (pool.allocation_state is AllocationState.STEADY and not is_deleting(pool)):
            return TriggerEvent({"settled": self.pool})
        self.say(f"{'deleting' if is_deleting(pool) else pool.allocation_state}, {counted(pool.current_total, 'node')}")
        if self.is_late():
            return failed(
                ResizeGaveUpError(
                    "The pool did not come to rest",
                    resource=pool.id,
                    answer=f"{pool.provisioning_state}, {pool.allocation_state} for {duration(self.elapsed())}",
                    advice="find out who moves the pool; if it hangs, stop its resize, then clear this task",
                )
            )
        return None


class ResizeTrigger(AccountTrigger):
    """Wait for the end of a resize of ours; the event holds the verdict.

    :param request: :class:`~golden_pools.rules.resize.ResizeRequest` as JSON
    :param stall_seconds: end the wait where no node has come for so long; None: the resize has its time
    :param watch: bad nodes that a worker wants to look at meanwhile, see
        :class:`~golden_pools.rules.resize.clinic.Watch`; the event is ``{"look": why}`` then; None: none
    :param result: XCom with which the task ends here when the targets are reached, but for the resize's end; None:
        resume it on a worker
    """

    def __init__(
        self,
        *,
        request: dict[str, Any],
        stall_seconds: float | None = None,
        watch: dict[str, Any] | None = None,
        result: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.request = request
        self.stall_seconds = stall_seconds
        self.watch = watch
        self.result = result
        self._resize = ResizeRequest.from_dict(request)
        self._unseen = 0
        self._most = -1
        self._came: datetime | None = None
        self._watch = Watch.from_dict(watch) if watch else None

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments of this trigger beside the base's."""
        return {
            "request": self.request,
            "stall_seconds": self.stall_seconds,
            "watch": self.watch,
            "result": self.result,
        }

    def look(self, pool: Pool | None, nodes: PoolNodes | None) -> TriggerEvent | None:
        """Return an event with the verdict, as soon as it is not to wait."""
        verdict = judge(pool, self._resize, unseen=self._unseen)
        self._unseen = self._unseen + 1 if verdict.code == Cause.NOT_SEEN_YET else 0
        self.say(
            verdict.reason
            if verdict.kind is VerdictKind.WAIT
            else f"{verdict.kind.replace('_', ' ')}: {verdict.reason}"
        )
        if verdict.kind is VerdictKind.WAIT:
            if self.is_late():
                return self._late(pool, verdict)
            if verdict.code != Cause.ON_ITS_WAY or pool is None:
                return None
            if self._watch and nodes and (why := self._watch.why(bad_counts(nodes), datetime.now(tz=UTC))):
                return TriggerEvent({"look": why})
            if not self._is_stalled(pool):
                return None
            verdict = replace(verdict, code=Cause.STALLED, reason=f"{verdict.reason}, no node came for {self._span()}")
        elif verdict.kind is VerdictKind.REACHED and self.result is not None and pool is not None:
            there = {"dedicated": pool.current_dedicated, "spot": pool.current_spot}
            send([of_resize(pool.metadata.get(ALIAS, pool.name), verdict.kind, verdict.code)])
            xcom = {**self.result, "verdict": verdict.kind.value, "reason": verdict.reason, **there}
            return TaskSuccessEvent(xcoms={"return_value": xcom})
        return TriggerEvent({"verdict": verdict.to_dict()})

    def _is_stalled(self, pool: Pool) -> bool:
        """Return whether no node has come for too long, counted from when this trigger began to look."""
        moment = datetime.now(tz=UTC)
        if self._came is None or pool.current_total > self._most:
            self._most, self._came = pool.current_total, moment
        resizing = pool.allocation_state is AllocationState.RESIZING
        return (
            bool(self.stall_seconds) and resizing and moment - self._came >= timedelta(seconds=self.stall_seconds or 0)
        )

    def _span(self) -> str:
        return duration(timedelta(seconds=self.stall_seconds or 0))

    def _late(self, pool: Pool | None, verdict: Verdict) -> TriggerEvent:
        return failed(
            ResizeGaveUpError(
                "The resize did not end in its time",
                resource=pool.id if pool else self.pool,
                answer=verdict.reason,
                advice="look at the pool's allocation state in the Azure portal; clear this task to go on from there",
            )
        )


class NodesTrigger(AccountTrigger):
    """Wait until enough nodes take work, of the pool that the alias stands for at each look.

    :param pool: alias, or id of a pool
    :param dedicated: dedicated nodes wanted
    :param spot: Spot nodes wanted
    :param share: share of the dedicated nodes that is enough at the deadline
    :param spot_share: the same of the Spot nodes
    :param grace_seconds: how long nodes may be ``unknown`` until they count as failed, since this trigger first saw
        them so: after a restart of the triggerer the time begins anew
    """

    def __init__(
        self,
        *,
        dedicated: int,
        spot: int,
        share: float,
        spot_share: float,
        grace_seconds: float = GRACE_SECONDS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dedicated = dedicated
        self.spot = spot
        self.share = share
        self.spot_share = spot_share
        self.grace_seconds = grace_seconds
        self._unknown = (Lasting(), Lasting())

    def own_arguments(self) -> dict[str, Any]:
        """Return the arguments of this trigger beside the base's."""
        return {
            "dedicated": self.dedicated,
            "spot": self.spot,
            "share": self.share,
            "spot_share": self.spot_share,
            "grace_seconds": self.grace_seconds,
        }

    def find(self, view: AccountView) -> Pool | None:
        """Return the pool that the alias stands for now, or the pool of this id."""
        return pool_of(view.pools.values(), self.pool)

    def look(self, pool: Pool | None, nodes: PoolNodes | None) -> TriggerEvent | None:
        """Return an event when the nodes are ready, or cannot become it."""
        targets = Targets(dedicated=self.dedicated, spot=self.spot)
        if self.is_gone(pool):
            return failed(pool_gone(pool.id if pool else self.pool))
        if pool is not None:
            self.say(headcount(pool, nodes, targets))
        verdict = judge_nodes(
            nodes,
            targets,
            shares=Shares(dedicated=self.share, spot=self.spot_share),
            waited=self.elapsed(),
            allowed=self.allowed(),
            at_rest=pool is not None and pool.allocation_state is AllocationState.STEADY,
            failed=self._failed(nodes or PoolNodes(pool=self.pool)),
        )
        if verdict.kind is VerdictKind.WAIT:
            return None
        if verdict.kind is VerdictKind.GIVE_UP:
            return failed(
                ResizeGaveUpError(
                    "The pool's nodes did not become ready",
                    resource=pool.id if pool else self.pool,
                    answer=verdict.reason,
                    advice=verdict.advice,
                )
            )
        if verdict.kind is VerdictKind.PARTIAL:
            self.log.warning("%s: enough nodes are ready, not all: %s. %s", self.pool, verdict.reason, verdict.advice)
        counts = nodes or PoolNodes(pool=self.pool)
        ready = {"dedicated": counts.dedicated.ready, "spot": counts.spot.ready}
        return TaskSuccessEvent(xcoms={"return_value": {"pool": pool.name if pool else self.pool, **ready}})

    def _failed(self, nodes: PoolNodes) -> tuple[int, int]:
        """Return the dedicated and Spot nodes that count as failed by now."""
        now, grace = datetime.now(tz=UTC), timedelta(seconds=self.grace_seconds)
        failed = []
        for counts, unknown in zip((nodes.dedicated, nodes.spot), self._unknown, strict=True):
            unknown.see(counts.by_state.get("unknown", 0), now)
            failed.append(counts.failed + unknown.longer_than(grace, now))
        return failed[0], failed[1]
