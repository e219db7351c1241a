"""Stage ``plan``: the spec and this run's params become the run plan."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.operators.base import StateStore, now
from golden_pools.rules.plan import PARAMS, RESIZE_PARAMS, RunPlan, make_plan
from golden_pools.rules.replication import nodes_elsewhere
from golden_pools.rules.scale import time_in_force
from golden_pools.spec.limits import limit_warnings
from golden_pools.spec.loader import load_one, load_pools, load_with_followed

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.spec.model import PoolSpec


class PlanRunOperator(BaseOperator):
    """Read the pool's spec, apply the run's params, and write the run plan to XCom.

    :param pool_name: name of the pool, which is the name of its spec file
    :raises SpecError: the file has become wrong since the DAG was made
    :raises RunConfError: the run's conf has keys or values that the form does not offer
    """

    ui_color = "#eef2f7"
    keys: ClassVar[tuple[str, ...]] = PARAMS
    """Keys of the DAG's form."""

    def __init__(self, *, pool_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_name = pool_name

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the run plan as JSON."""
        run, specs, stamp = context["dag_run"], self.specs(), self.stamp(context)
        spec = specs[self.pool_name]
        run_type = run.run_type.value  # str() of a worker's own enum is "DagRunType.MANUAL"
        plan = make_plan(
            spec,
            pool=self.pool_name,
            dag_id=run.dag_id,
            run_id=run.run_id,
            triggered_by=getattr(run, "triggering_user_name", None) or run_type,
            stamp=stamp,
            conf=run.conf or {},
            params=self.params_of(context, spec, stamp),
            keys=self.keys,
            followed={name: other for name, other in specs.items() if name != self.pool_name},
            nodes_elsewhere=self.nodes_elsewhere(spec),
            scheduled=run_type != "manual",
        )
        self.log.info(
            "Pool %s: target %d dedicated and %d Spot nodes, %s",
            plan.pool,
            plan.targets.dedicated,
            plan.targets.spot,
            self.purpose(plan),
        )
        for warning in limit_warnings(plan.spec):
            self.log.warning("%s", warning)
        if plan.plan_only:
            self.log.info("Plan only: nothing will be written")
        return plan.model_dump(mode="json")

    def specs(self) -> Mapping[str, PoolSpec]:
        """Return the pool's spec, and those of the pools that it follows or waits for."""
        return load_with_followed(self.pool_name)

    def params_of(self, context: Context, spec: PoolSpec, stamp: datetime) -> Mapping[str, Any]:
        """Return the values of the run's form."""
        return dict(context["params"])

    def nodes_elsewhere(self, spec: PoolSpec) -> Mapping[str, int]:
        """Return the nodes of the other pools on the image, which count for its replicas."""
        return nodes_elsewhere(self.pool_name, {**load_pools().specs, self.pool_name: spec})

    def purpose(self, plan: RunPlan) -> str:
        """Return what the run is for, as the end of a line of the log."""
        if plan.existing_version_id:
            return f"existing version {plan.existing_version_id}"
        return f"image from {plan.spec.image.source.kind}"

    def stamp(self, context: Context) -> datetime:
        """Return the moment of the run's first try, which a retry and a clear find again.

        Not the run's logical date: a run triggered for a past day, or two triggered in one second, must not get the
        names and version numbers of others.
        """
        store = StateStore(context, "run")
        kept = store.read() or store.keep(stamp=began(context).isoformat())
        return datetime.fromisoformat(kept["stamp"])


class PlanResizeOperator(PlanRunOperator):
    """Plan a run that only brings a pool to node counts that a person names.

    Counts that the form leaves open are those that the spec says when the task runs, also after a clear.
    """

    template_fields = ("pool_name",)
    keys: ClassVar[tuple[str, ...]] = RESIZE_PARAMS

    def purpose(self, plan: RunPlan) -> str:
        """Return the reason that the form was given."""
        return f"because: {plan.why}"

    def specs(self) -> Mapping[str, PoolSpec]:
        """Return the pool's spec alone: the run looks at no image."""
        return {self.pool_name: load_one(self.pool_name)}

    def nodes_elsewhere(self, spec: PoolSpec) -> Mapping[str, int]:
        """Return none: the run makes no image."""
        return {}

    def stamp(self, context: Context) -> datetime:
        """Return the present moment: such a run names nothing by its stamp."""
        return began(context)


class PlanScaleOperator(PlanResizeOperator):
    """Plan a run that brings a pool to the targets of the scale time in force, whichever started the run."""

    keys = ()

    def params_of(self, context: Context, spec: PoolSpec, stamp: datetime) -> Mapping[str, Any]:
        """Return the reason: there is no form."""
        time = time_in_force(spec.scale, stamp)
        if time is None:
            raise AirflowSkipException("the spec has no scale times any more")
        return {"why": f"scale time {time.cron} ({time.timezone})"}


class PlanRetirementOperator(PlanResizeOperator):
    """Plan a run that retires the former pools of one alias."""

    keys: ClassVar[tuple[str, ...]] = ("pool",)

    def purpose(self, plan: RunPlan) -> str:
        """Return what the run is for."""
        return f"its former pools go after {plan.spec.refresh.soak_minutes} minutes"


def began(context: Context) -> datetime:
    """Return the present moment, and never one before the run was due: workers' clocks may be slow.

    A run of 07:00 that begins at 06:59:59 by its worker's clock would apply the targets of the night.
    """
    due: datetime = context["dag_run"].run_after
    return max(now(), due)
