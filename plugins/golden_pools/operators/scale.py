"""Stage ``resize`` of runs that only resize a pool, beside the runs that refresh it.

A refresh empties the pool and fills it again; whoever resizes it meanwhile is in its way, and in the end the refresh
brings the pool to the targets that were in force when it began. So a person is told to wait. A scale time waits by
itself: the refresh may have begun before it, or may fail, and then nobody else would apply the scale time's targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.errors import OwnershipError
from golden_pools.operators.base import GRACE, now
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.rules.plan import RunPlan, refresh_dag_id
from golden_pools.rules.scale import next_change, targets_at

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.sdk import Context


class ResizeByHandOperator(ResizePoolOperator):
    """Resize the pool as a person asked, unless a run refreshes it.

    :raises OwnershipError: a refresh is going on, or somebody else resized the pool meanwhile
    :raises ResizeGaveUpError: with verdict, cause and advice
    """

    def turn(self, context: Context) -> dict[str, Any] | None:
        """Take the next step; at every one a refresh may have begun."""
        plan = self.plan(context)
        if is_being_refreshed(context, plan.pool):
            raise OwnershipError(
                "A run refreshes the pool, and brings it to the spec's targets itself",
                resource=plan.pool_id,
                advice=f"wait until the run of DAG {refresh_dag_id(plan.pool)} has ended, or stop it; "
                "then clear this task",
            )
        return super().turn(context)


class ScalePoolOperator(ResizePoolOperator):
    """Resize the pool to the targets of the scale time in force, giving way to a run that refreshes it.

    The wait for the refresh ends with the next scale time, whose own run takes over.

    :raises ResizeGaveUpError: with verdict, cause and advice
    :raises OwnershipError: somebody else resized the pool meanwhile
    """

    def turn(self, context: Context) -> dict[str, Any] | None:
        """Take the next step, wait for a refresh, or leave the pool to a later scale time."""
        plan = self.plan(context)
        moment = present(plan)
        if targets_at(plan.spec, moment) != plan.targets:
            raise AirflowSkipException("a later scale time is in force, which a run of its own applies")
        if is_being_refreshed(context, plan.pool):
            self._give_way(plan, moment)
        return super().turn(context)

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Resume after a wait; how a resize ended that a refresh came into says nothing."""
        plan = self.plan(context)
        if is_being_refreshed(context, plan.pool):
            self.note_samples(context, event or {})
            with self.work(plan) as hook:
                self.site(context, plan, hook).forget()
            return self.turn(context)
        return super().go_on(context, event)

    def after_refresh(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Resume after a wait for a refresh.

        :raises AirflowSkipException: it still goes on
        """
        if event and not event["ended"]:
            raise AirflowSkipException(
                f"a run of DAG {refresh_dag_id(self.plan(context).pool)} still refreshes the pool at the next scale "
                "time, which a run of its own applies"
            )
        return self.turn(context)

    def _give_way(self, plan: RunPlan, moment: datetime) -> None:
        from golden_pools.triggers.runs import RunsEndTrigger

        dag_id = refresh_dag_id(plan.pool)
        until = next_change(plan.spec.scale, moment)
        assert until is not None, "the plan's targets are those of a scale time"
        self.log.info(
            "A run of DAG %s refreshes the pool: giving way until it has ended, or until %s",
            dag_id,
            f"{until:%Y-%m-%d %H:%M %Z}",
        )
        self.defer(
            trigger=RunsEndTrigger(dag_id=dag_id, deadline=until.isoformat()),
            method_name="after_refresh",
            timeout=until - now() + GRACE,
        )


def is_being_refreshed(context: Context, pool: str) -> bool:
    """Return whether a run of the pool's refresh DAG is going on: asked of Airflow's API, as tasks may."""
    from golden_pools.triggers.runs import RUNNING

    return bool(context["ti"].get_dr_count(dag_id=refresh_dag_id(pool), states=RUNNING))


def present(plan: RunPlan) -> datetime:
    """Return the present moment, and never one before the plan was made: workers' clocks differ."""
    return max(now(), plan.stamp)
