"""Replacing nodes: what the stage does that removes bad ones and brings the pool back to its targets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from golden_pools.errors import AzureBusyError, GoldenPoolsError, OwnershipError
from golden_pools.operators.base import StateStore, note_failure, now
from golden_pools.operators.pool_stage import SETTLE_TIME, SLACK, PoolStageOperator, failure_of
from golden_pools.operators.stage_pool import StagePool
from golden_pools.rules.facts import AllocationState, Pool
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.resize import ResizeRequest, Verdict, VerdictKind, at_target, resize_timeout
from golden_pools.rules.resize.chart import Chart
from golden_pools.rules.resize.clinic import BAD
from golden_pools.spec.model import Deallocation

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.batch_work import BatchWorkHook

REMOVAL_TIMEOUT = timedelta(minutes=15)
"""Time for one removal: tasks of the nodes go back into the queue, since a bad node may never end them."""

REMOVALS_IN_VAIN = 3
"""Removals that a round may ask for beyond those that it needs, before nodes that are still there are left alone."""


@dataclass
class Ward:
    """The pool of the stage, and the clinic's chart, which is kept before each write."""

    context: Context
    plan: RunPlan
    hook: BatchWorkHook
    pool: StagePool
    store: StateStore
    chart: Chart

    @property
    def where(self) -> tuple[str, str, str]:
        """Resource group, account and pool, as hooks take them."""
        return self.plan.spec.pool.resource_group, self.plan.spec.pool.account, self.pool.name

    @property
    def resource(self) -> str:
        """ARM id of the pool."""
        return self.plan.id_of_pool(self.pool.name)

    @property
    def result(self) -> dict[str, Any]:
        """The task's XCom, but for the ready nodes."""
        return {
            "pool": self.pool.name,
            "rebooted": self.chart.nodes_rebooted,
            "replaced": self.chart.replaced,
        }

    def keep(self, chart: Chart) -> None:
        """Keep a new chart."""
        self.chart = chart
        self.store.keep(chart=chart.to_dict())

    def fail(self, error: GoldenPoolsError, *, blames_image: bool = False) -> NoReturn:
        """End the stage with an error; a clear of the task starts anew, a retry does not."""
        if not isinstance(error, AzureBusyError):
            self.store.keep(chart=None, resize=None, finished=0)
        raise note_failure(self.context, error, blames_image=blames_image)


class ReplacingOperator(PoolStageOperator):
    """A stage that replaces nodes in rounds: each is kept open in the chart until the pool is back at its targets."""

    def replace_nodes(self, ward: Ward, pool: Pool) -> None:
        """Bring the open round one step on, and defer; returns when the round is over.

        :raises OwnershipError: somebody switched autoscale on
        """
        request = self._under_way(ward, pool)
        if request and not at_target(pool, ward.pool.targets):
            self._await_resize(ward, request)
        if pool.autoscale:
            raise note_failure(ward.context, _autoscale_on(pool), blames_image=False)
        if pool.allocation_state is not AllocationState.STEADY:
            from golden_pools.triggers.pool import SettleTrigger

            self.defer_for_pool(SettleTrigger, ward.plan, pool=pool.name, within=SETTLE_TIME)
        if ward.chart.removing:
            self._remove(ward, pool)
        if not at_target(pool, ward.pool.targets):
            self._await_resize(ward, self._resize(ward, pool))
        self._close_round(ward)

    def resized(self, ward: Ward, verdict: Verdict) -> None:
        """Take in how the resize of the open round ended; what follows is the next step's matter."""
        if verdict.kind is VerdictKind.RESIZE_AGAIN:
            self.log.warning("Resizing again (%s): %s", verdict.code, verdict.reason)
            ward.store.keep(resize=None, finished=ward.store.read().get("finished", 0) + 1)
        elif verdict.kind in (VerdictKind.REACHED, VerdictKind.PARTIAL):
            self.log.info("%s: nodes are replaced: %s", ward.pool.name, verdict.reason)
            self._close_round(ward)
        else:
            what = "Removed nodes could not be replaced"
            ward.fail(failure_of(verdict, ward.plan, what, resource=ward.resource))

    def _remove(self, ward: Ward, pool: Pool) -> None:
        """Remove those of the round's nodes that are there and still bad; returns when there are none."""
        from golden_pools.hooks.batch_work import MOST_NODES_PER_REMOVAL

        chart, states = ward.chart, {node.id: node.state for node in ward.hook.nodes(*ward.where)}
        still = [node for node in chart.removing if states.get(node) in BAD][:MOST_NODES_PER_REMOVAL]
        if still and chart.removals < REMOVALS_IN_VAIN + len(chart.removing) // MOST_NODES_PER_REMOVAL:
            ward.keep(chart.asking_for_removal())
            self.log.info("%s: removing %d node(s)", pool.name, len(still))
            ward.hook.remove_nodes(*ward.where, still, timeout=REMOVAL_TIMEOUT, deallocation=Deallocation.REQUEUE)
            from golden_pools.triggers.removal import RemovalTrigger

            self.defer_for_pool(
                RemovalTrigger,
                ward.plan,
                pool=pool.name,
                within=REMOVAL_TIMEOUT + SLACK,
                started_before=pool.resize_started.isoformat() if pool.resize_started else None,
            )
        if still:
            errors = "; ".join(f"{error.code}: {error.message}" for error in pool.resize_errors) or "without a word"
            self.log.warning("%s: Azure did not remove %d node(s), they stay (%s)", pool.name, len(still), errors)
        ward.keep(chart.removal_done(sum(node not in states for node in chart.removing)))

    def _under_way(self, ward: Ward, pool: Pool) -> ResizeRequest | None:
        """Return the resize that the round asked for, if the pool shows that it arrived."""
        kept = ward.store.read().get("resize")
        request = ResizeRequest.from_dict(kept) if kept else None
        wanted = (ward.pool.targets.dedicated, ward.pool.targets.spot)
        if request and request.is_ours(pool) and (pool.target_dedicated, pool.target_spot) == wanted:
            return request
        return None

    def _resize(self, ward: Ward, pool: Pool) -> ResizeRequest:
        """Ask for the pool's targets; what is kept before the PATCH lets a retry recognise the resize by its start."""
        settings, targets = ward.plan.spec.resize, ward.pool.targets
        attempt = int(ward.store.read().get("finished", 0)) + 1
        before = ResizeRequest.sent(pool, pool, targets=targets, settings=settings, attempt=attempt)
        ward.store.keep(resize=before.to_dict())
        answer = ward.hook.resize_pool(
            *ward.where,
            dedicated=targets.dedicated,
            spot=targets.spot,
            timeout=resize_timeout(settings, targets.total),
            etag=pool.etag,
        )
        request = ResizeRequest.sent(pool, answer, targets=targets, settings=settings, attempt=attempt)
        ward.store.keep(resize=request.to_dict())
        return request

    def _await_resize(self, ward: Ward, request: ResizeRequest) -> None:
        from golden_pools.triggers.pool import ResizeTrigger

        self.defer_for_pool(
            ResizeTrigger,
            ward.plan,
            pool=ward.pool.name,
            within=resize_timeout(ward.plan.spec.resize, ward.pool.targets.total) + SLACK,
            pause=request.back_off,
            request=request.to_dict(),
            ends_task=False,
        )

    def _close_round(self, ward: Ward) -> None:
        ward.store.keep(resize=None, finished=0)
        ward.keep(ward.chart.round_done(now()))


def _autoscale_on(pool: Pool) -> OwnershipError:
    return OwnershipError(
        "Somebody switched autoscale on while bad nodes were to be replaced",
        resource=pool.id,
        advice="decide who steers the pool: switch autoscale off and clear this task, or retire the spec",
    )
