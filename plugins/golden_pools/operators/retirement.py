"""Stage ``retire``: after a switch, the former pool is left to a run of its own, which waits out the soak.

A run that waited itself would keep the next refresh, and a switch back by hand, from starting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.operators.base import PLAN_TASK_ID, pulled
from golden_pools.rules.plan import RunPlan

if TYPE_CHECKING:
    from airflow.sdk import Context

RETIRE_DAG_ID = "retire_former_pools"


class TriggerRetirementOperator(TriggerDagRunOperator):
    """Start the DAG that retires former pools, once for each run that has switched pools.

    :param pool_name: name of the pool spec
    :param switch_task_id: task whose XCom names the pool before
    """

    ui_color = "#eef2f7"

    def __init__(self, *, pool_name: str, switch_task_id: str, **kwargs: Any) -> None:
        super().__init__(
            trigger_dag_id=RETIRE_DAG_ID,
            conf={"pool": pool_name},
            logical_date=None,
            skip_when_already_exists=True,
            openlineage_inject_parent_info=False,
            **kwargs,
        )
        self.pool_name = pool_name
        self.switch_task_id = switch_task_id

    def execute(self, context: Context) -> None:
        """Start it, or skip where no pool was switched away from."""
        switched = pulled(context, self.switch_task_id)
        if not (switched and switched["pool_before"]):
            raise AirflowSkipException("no pool was switched away from")
        plan = RunPlan.model_validate(pulled(context, PLAN_TASK_ID))
        self.trigger_run_id = f"{plan.stem}-{switched['pool_before']}"
        super().execute(context)
