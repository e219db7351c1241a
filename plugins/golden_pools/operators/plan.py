"""Stage ``plan``: the spec and this run's params become the run plan."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from golden_pools.operators.base import StateStore, now

if TYPE_CHECKING:
    from airflow.sdk import Context


class PlanRunOperator(BaseOperator):
    """Read the pool's spec, apply the run's params, and write the run plan to XCom.

    :param pool_name: name of the pool, which is the name of its spec file
    :raises SpecError: the file has become wrong since the DAG was made
    :raises RunConfError: the run's conf has keys or values that the form does not offer
    """

    ui_color = "#eef2f7"

    def __init__(self, *, pool_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_name = pool_name

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the run plan as JSON."""
        from golden_pools.rules.plan import make_plan
        from golden_pools.spec.limits import limit_warnings
        from golden_pools.spec.loader import load_one

        run = context["dag_run"]
        plan = make_plan(
            load_one(self.pool_name),
            pool=self.pool_name,
            dag_id=run.dag_id,
            run_id=run.run_id,
            triggered_by=getattr(run, "triggering_user_name", None) or str(run.run_type),
            stamp=self._stamp(context),
            conf=run.conf or {},
            params=context["params"],
        )
        self.log.info(
            "Pool %s: target %d dedicated and %d Spot nodes, %s",
            plan.pool,
            plan.targets.dedicated,
            plan.targets.spot,
            f"new image {plan.image_id}" if plan.builds_image else f"existing version {plan.existing_version_id}",
        )
        for warning in limit_warnings(plan.spec):
            self.log.warning("%s", warning)
        if plan.plan_only:
            self.log.info("Plan only: nothing will be written")
        return plan.model_dump(mode="json")

    def _stamp(self, context: Context) -> datetime:
        """Return the moment of the run's first try, which a retry and a clear find again.

        Not the run's logical date: a run triggered for a past day, or two triggered in one second, must not get the
        names and version numbers of others.
        """
        store = StateStore(context, "run")
        kept = store.read() or store.keep(stamp=now().isoformat())
        return datetime.fromisoformat(kept["stamp"])
