"""Replacing nodes: what the stage does that removes bad ones and brings the pool back to its targets."""

from __future__ import annotations

from datetime import timedelta

from golden_pools.errors import OwnershipError
from golden_pools.failures import note_failure
from golden_pools.operators.base import now
from golden_pools.operators.pool_stage import SLACK, failure_of
from golden_pools.operators.tending import TendingOperator, Ward
from golden_pools.rules.facts import AllocationState, Pool
from golden_pools.rules.resize import VerdictKind
from golden_pools.rules.resize.clinic import BAD
from golden_pools.spec.model import Deallocation
from golden_pools.words import counted

REMOVAL_TIMEOUT = timedelta(minutes=15)
"""Time for one removal: tasks of the nodes go back into the queue, since a bad node may never end them."""

REMOVALS_IN_VAIN = 3
"""Removals that a round may ask for beyond those that it needs, before nodes that are still there are left alone."""


class ReplacingOperator(TendingOperator):
    """A stage that replaces nodes in rounds: each is kept open in the chart until the pool is back at its targets."""

    def replace_nodes(self, ward: Ward, pool: Pool) -> None:
        """Bring the open round one step on, and defer; returns when the round is over.

        :raises OwnershipError: somebody switched autoscale on
        """
        if ward.chart.removing:
            if pool.autoscale:
                raise note_failure(ward.context, _autoscale_on(pool), blames_image=False)
            if pool.allocation_state is not AllocationState.STEADY:
                self.settle(ward.plan, pool)
            self._remove(ward, pool)
        verdict, _ = self.bring_to_targets(ward.site)
        if verdict.kind is VerdictKind.GIVE_UP:
            what = "Removed nodes could not be replaced"
            ward.fail(failure_of(verdict, ward.plan, what, resource=ward.resource))
        self.log.info("%s: nodes are replaced: %s", ward.pool.name, verdict.reason)
        ward.keep(ward.chart.round_done(now()))

    def _remove(self, ward: Ward, pool: Pool) -> None:
        """Remove those of the round's nodes that are there and still bad; returns when there are none."""
        from golden_pools.hooks.batch_work import MOST_NODES_PER_REMOVAL

        chart, states = ward.chart, {node.id: node.state for node in ward.hook.nodes(*ward.where)}
        still = [node for node in chart.removing if states.get(node) in BAD][:MOST_NODES_PER_REMOVAL]
        if still and chart.removals < REMOVALS_IN_VAIN + len(chart.removing) // MOST_NODES_PER_REMOVAL:
            ward.keep(chart.asking_for_removal())
            self.log.info("%s: removing %s", pool.name, counted(len(still), "node"))
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
            self.log.warning(
                "%s: Azure did not remove %s, left in the pool (%s)", pool.name, counted(len(still), "node"), errors
            )
        ward.keep(chart.removal_done(sum(node not in states for node in chart.removing)))


def _autoscale_on(pool: Pool) -> OwnershipError:
    return OwnershipError(
        "Somebody switched autoscale on while bad nodes were to be replaced",
        resource=pool.id,
        advice="decide who steers the pool: switch autoscale off and clear this task, or retire the spec",
    )
