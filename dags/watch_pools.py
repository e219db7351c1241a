"""The drift watch: once an hour, is everything as the specs say, and is anything left behind or about to be retired."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable
from golden_pools.assets import WATCH
from golden_pools.clearing import OF_THE_WATCH, explain
from golden_pools.operators.alert import AlertRunOfAllOperator
from golden_pools.operators.tell_drift import TellDriftOperator
from golden_pools.operators.watch import AlertOperator, WatchOperator
from golden_pools.retries import DEFAULT_ARGS

DOC = """\
### What is not as it should be

Reads only, and all specs at once: specs with faults, pools behind their image or off their targets, nodes that take no
work, versions without replicas, retired features in use, leftovers of broken runs, pools without a spec. The table
stands in the log of *look* and in the event of the asset `golden-pools/watch`. *alert* tells each finding once when it
is new and once when it is gone; what could not be looked at is neither. Every task may be retried or cleared at any
time.
"""

with DAG(
    dag_id="watch_pools",
    dag_display_name="watch pools",
    description="What has drifted from the specs, what is left behind, what is about to be retired; reads only",
    doc_md=DOC,
    # Not on the hour, when schedules of pools and scale times begin.
    schedule=CronTriggerTimetable("23 * * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    default_args={**DEFAULT_ARGS, "owner": "golden-pools"},
    tags=["golden-pools"],
) as dag:
    look = WatchOperator(task_id="look", doc_md="Asks Azure everything once, for all specs; the table is in the log.")
    alert = AlertOperator(
        task_id="alert",
        watch_task_id=look.task_id,
        asset=WATCH,
        outlets=[WATCH],
        doc_md="What is new and what is gone since the look before, in the log and in the asset's event.",
    )
    tell = TellDriftOperator(
        task_id="tell",
        news_task_id=alert.task_id,
        doc_md="Tells the channels of the specs' `alerts`; may be retried: nobody hears it twice.",
    ).as_teardown(on_failure_fail_dagrun=False)
    failure = AlertRunOfAllOperator(
        task_id="tell_failure",
        pool_name="watch pools",
        memory=WATCH,
        inlets=[WATCH],
        doc_md="Tells the channels of all specs where the watch itself fails, and when it is over.",
    ).as_teardown(on_failure_fail_dagrun=False)
    look >> alert >> [tell, failure]
    explain(dag, OF_THE_WATCH)
