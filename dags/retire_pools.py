"""Former pools of blue/green refreshes: one DAG, started by each switch, waits out the soak and deletes them."""

from __future__ import annotations

from airflow.sdk import DAG, Param, chain
from golden_pools.clearing import OF_FORMER_POOLS, explain
from golden_pools.operators.alert import AlertRunOperator
from golden_pools.operators.base import PLAN_TASK_ID
from golden_pools.operators.plan import PlanRetirementOperator
from golden_pools.operators.retire_pool import RetireFormerPoolsOperator
from golden_pools.operators.retirement import RETIRE_DAG_ID
from golden_pools.retries import DEFAULT_ARGS

DOC = """\
### Pools that a refresh has switched away from

A former pool stays for `refresh.soak_minutes`, so that switching back takes one trigger: the pool's own DAG with the
older image version. Then it is emptied and deleted. One that still has jobs bound to it stays, and the log says so:
move or end them, then trigger this DAG for the pool. Every task may be retried or cleared at any time.
"""

with DAG(
    dag_id=RETIRE_DAG_ID,
    dag_display_name="retire former pools",
    description="Delete the pools that a blue/green refresh has switched away from, after their soak",
    doc_md=DOC,
    schedule=None,
    is_paused_upon_creation=False,  # a pool's own DAG counts on it
    params={"pool": Param(type="string", minLength=1, title="Pool", description="Name of its spec.")},
    default_args={**DEFAULT_ARGS, "owner": "golden-pools"},
    tags=["golden-pools"],
) as dag:
    plan = PlanRetirementOperator(
        task_id=PLAN_TASK_ID, pool_name="{{ params.pool }}", doc_md="The spec says how long the soak is."
    )
    retire = RetireFormerPoolsOperator(
        task_id="retire", doc_md="Waits out the soak, looks again, drains and deletes; holds no worker meanwhile."
    )
    alert = AlertRunOperator(
        task_id="alert", doc_md="Tells the channels of the spec's `alerts` of a failure; changes nothing about the run."
    ).as_teardown(on_failure_fail_dagrun=False)
    chain(plan, retire, alert)
    explain(dag, OF_FORMER_POOLS)
