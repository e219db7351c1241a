"""``python defer_waits.py DAGS pools|timers``: defer every task of a run of the waiting DAG in Airflow's database.

This is what a scheduler and its workers leave behind once every task has deferred, without starting a process for each
of them: the sensor itself says what it waits for, and Airflow's own models write the rows. With ``timers`` the same
tasks wait for a moment in the far future, which asks nobody. A second call changes what the tasks wait for. Runs in the
environment of the Airflow that is to wait, while its triggerer does not run or has nothing to do.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.trigger import Trigger
from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk.exceptions import TaskDeferred
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from golden_pools.sensors.pools import PoolNodesSensor
from sqlalchemy.orm import Session
from waiting import DAG_ID, TASK_ID

RUN_ID = "many"
NOW = datetime.now(tz=UTC)
FAR = timedelta(days=1)


def main(folder: Path, kind: str) -> None:
    """Defer every task of the run, which is made when it is not there."""
    bag = DagBag(folder, bundle_name="dags-folder")
    mapped: Any = bag.dags[DAG_ID].get_task(TASK_ID)
    with create_session() as session:
        run = DagRun.find(run_id=RUN_ID, session=session)
        for task in (run[0] if run else new_run(bag, session)).get_task_instances(session=session):
            pool = mapped.expand_input.value["pool_name"][task.map_index]
            found = deferral(PoolNodesSensor(task_id=TASK_ID, pool_name=pool, **mapped.partial_kwargs))
            trigger = found.trigger if kind == "pools" else DateTimeTrigger(NOW + FAR)
            task.trigger = Trigger.from_object(trigger)
            task.state, task.next_method, task.next_kwargs = TaskInstanceState.DEFERRED, found.method_name, {}
            task.try_number, task.start_date, task.trigger_timeout = 1, NOW, NOW + FAR


def new_run(bag: DagBag, session: Session) -> DagRun:
    """Make a run as the scheduler does; mapped over a literal list, its tasks are all there at once."""
    DagBundlesManager().sync_bundles_to_db(session=session)
    session.commit()
    sync_bag_to_db(bag, "dags-folder", None)
    dag = SerializedDagModel.get_dag(DAG_ID, session=session)
    assert dag is not None
    return dag.create_dagrun(
        run_id=RUN_ID,
        run_after=NOW,
        run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.TEST,
        state=DagRunState.RUNNING,
        start_date=NOW,
        session=session,
    )


def deferral(sensor: PoolNodesSensor) -> TaskDeferred:
    """Return what a sensor waits for."""
    try:
        sensor.execute({})  # type: ignore[arg-type]
    except TaskDeferred as deferred:
        return deferred
    raise SystemExit("the sensor did not defer")


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # that a sensor is not executed outside of Airflow, once for each
    main(Path(sys.argv[1]), sys.argv[2])
