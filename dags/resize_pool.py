"""Node counts without a new image: one DAG with a form for every pool, and one per pool with scale times.

``resize_pool`` is triggered by hand. ``scale_pool_<pool>`` runs at the times of the spec's ``scale`` and brings the
pool to the counts of the time in force. Neither is in the way of a run that refreshes the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from airflow.sdk import DAG, Asset, MultipleCronTriggerTimetable, Param, chain, get_parsing_context
from golden_pools.assets import pool_asset
from golden_pools.clearing import OF_A_RESIZE, explain
from golden_pools.forms import node_counts
from golden_pools.operators.alert import AlertRunOperator
from golden_pools.operators.base import PLAN_TASK_ID, planned, returned
from golden_pools.operators.plan import PlanResizeOperator, PlanScaleOperator
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.operators.scale import ResizeByHandOperator, ScalePoolOperator
from golden_pools.retries import DEFAULT_ARGS
from golden_pools.rules.plan import RESIZE_DAG_ID, SCALE_DAG_PREFIX
from golden_pools.sensors.pools import PoolNodesSensor
from golden_pools.sensors.scale import ScaledNodesSensor
from golden_pools.spec.loader import load_one, load_pools, pool_files
from golden_pools.spec.model import PoolSpec


def resize_form(pools: Sequence[str]) -> dict[str, Param]:
    """Return the form of ``resize_pool``; who fills it says why, for those who wonder in the morning."""
    return {
        "pool": Param(type="string", enum=list(pools), title="Pool", description="Name of its spec."),
        **node_counts(),
        "why": Param(type="string", minLength=1, title="Why", description="Stands in the run's log and plan."),
    }


def scale_times(spec: PoolSpec) -> MultipleCronTriggerTimetable | None:
    """Return the schedule; a new DAG that is switched on waits for the next time, as a pool's own DAG does.

    One that was paused applies at once what is in force. None where the times were removed from the spec: a run that
    began before has to find its DAG all the same.
    """
    if not spec.scale:
        return None
    return MultipleCronTriggerTimetable(
        *(time.cron for time in spec.scale), timezone=spec.scale[0].timezone, run_immediately=timedelta(0)
    )


def resize_dag(pools: Sequence[str]) -> DAG:
    """Return the DAG that resizes any one pool; runs for different pools go on side by side."""
    with DAG(
        dag_id=RESIZE_DAG_ID,
        dag_display_name="resize a pool",
        description="Bring one pool to other node counts, by hand",
        doc_md=RESIZE_DOC,
        schedule=None,
        params=resize_form(pools),
        default_args={**DEFAULT_ARGS, "owner": "golden-pools"},
        tags=["golden-pools"],
    ) as dag:
        plan = PlanResizeOperator(
            task_id=PLAN_TASK_ID, pool_name="{{ params.pool }}", doc_md="Spec and form become the run plan."
        )
        stages(plan, ResizeByHandOperator, PoolNodesSensor)
    explain(dag, OF_A_RESIZE)
    return dag


def scale_dag(pool: str, spec: PoolSpec) -> DAG:
    """Return the DAG that applies one pool's scale times."""
    with DAG(
        dag_id=f"{SCALE_DAG_PREFIX}{pool}",
        dag_display_name=f"{pool}: scale times",
        description=f"Batch pool {spec.pool.account}/{pool} gets the node counts of its scale times",
        doc_md=SCALE_DOC.format(pool=pool, account=spec.pool.account),
        schedule=scale_times(spec),
        catchup=False,
        max_active_runs=1,
        default_args={**DEFAULT_ARGS, "owner": spec.owner},
        tags=["golden-pools", spec.pool.account],
    ) as dag:
        plan = PlanScaleOperator(task_id=PLAN_TASK_ID, pool_name=pool, doc_md="The counts of the time in force.")
        stages(plan, ScalePoolOperator, ScaledNodesSensor, pool_asset(pool, spec))
    explain(dag, OF_A_RESIZE)
    return dag


def stages(
    plan: PlanResizeOperator,
    resize: type[ResizePoolOperator],
    nodes: type[PoolNodesSensor],
    memory: Asset | None = None,
) -> None:
    """Add the stages after the plan.

    :param memory: asset that remembers whether the runs before failed; None: runs are of many pools
    """
    resize_task = resize(task_id="resize", doc_md="Resize, judge, resize again until the target is there.")
    nodes_task = nodes(
        task_id="nodes",
        connection=planned("connection"),
        subscription=planned("subscription"),
        resource_group=planned("pool", "resource_group"),
        account=planned("pool", "account"),
        pool_name=returned(resize_task.task_id, "pool"),
        dedicated=returned(resize_task.task_id, "targets", "dedicated"),
        spot=returned(resize_task.task_id, "targets", "spot"),
        share=planned("resize", "smallest_acceptable_share", "dedicated"),
        spot_share=planned("resize", "smallest_acceptable_share", "spot"),
        timeout_minutes=planned("resize", "ready_minutes"),
        doc_md="Ready means `idle` or `running`, not only allocated.",
    )
    alert = AlertRunOperator(
        task_id="alert",
        nodes_task_id=nodes_task.task_id,
        memory=memory,
        inlets=[memory] if memory else [],
        doc_md="Tells the channels of the spec's `alerts` how the run ended; changes nothing about the run.",
    ).as_teardown(on_failure_fail_dagrun=False)
    chain(plan, resize_task, nodes_task, alert)


RESIZE_DOC = """\
### Another number of nodes, now

The counts hold until the pool is refreshed or its next scale time comes. While a run refreshes the pool, this one
fails at once and says what to wait for. Every task may be retried or cleared at any time.
"""

SCALE_DOC = """\
### Batch pool `{account}/{pool}` at its scale times

Each run applies the time in force, also when it is triggered by hand or made up for after a pause. While a run
refreshes the pool it waits, at most until the next scale time. Every task may be retried or cleared at any time.
"""


own_dag = get_parsing_context().dag_id
if own_dag is None:
    specs = load_pools().specs
    if specs:
        resize_dag(list(specs))
    for name, pool_spec in specs.items():
        if pool_spec.scale:
            scale_dag(name, pool_spec)
elif own_dag == RESIZE_DAG_ID:  # at a task's start names are enough: the plan reads the spec of the one it is about
    resize_dag([path.stem for path in pool_files()])
else:
    name = own_dag.removeprefix(SCALE_DAG_PREFIX)
    scale_dag(name, load_one(name))
