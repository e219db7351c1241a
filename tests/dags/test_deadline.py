"""The deadline of a pool's DAG in Airflow's own database: stored with the DAG, evaluated when a run is made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.dags.conftest import sample

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.deadline import Deadline

DUE = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
PARTS = """
deadline: {time: "06:00", timezone: Europe/Berlin}
alerts: [{connection: told, tags: [oncall]}]
"""


@pytest.fixture
def deadlines_of_a_run(airflow_db: None, parse_file: Callable[..., DagBag]) -> Callable[..., list[Deadline]]:
    """Make a run of the pool's DAG as the scheduler does, and return what it is to have ended by."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import sync_bag_to_db
    from airflow.models.deadline import Deadline
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from sqlalchemy import select

    def make(pool: str, spec: str, **conf: Any) -> list[Deadline]:
        with create_session() as session:
            DagBundlesManager().sync_bundles_to_db(session=session)
        sync_bag_to_db(parse_file("golden_pools", **{pool: spec}), "dags-folder", None)
        with create_session() as session:
            dag = SerializedDagModel.get_dag(f"golden_pool_{pool}", session=session)
            assert dag is not None
            run = dag.create_dagrun(
                run_id="scheduled__1",
                run_after=DUE,
                run_type=DagRunType.SCHEDULED,
                triggered_by=DagRunTriggeredByType.TEST,
                state=DagRunState.QUEUED,
                conf=conf,
                session=session,
            )
            session.flush()
            found = list(session.scalars(select(Deadline).where(Deadline.dagrun_id == run.id)))
            for one in found:
                one.handle_miss(session)
            session.expunge_all()
            return found

    return make


def test_a_run_has_to_have_ended_by_the_time_of_the_wall_clock(
    deadlines_of_a_run: Callable[..., list[Deadline]],
) -> None:
    (deadline,) = deadlines_of_a_run("timely", sample() + PARTS)

    assert deadline.deadline_time == datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
    data = deadline.callback.data
    assert data["path"] == "golden_pools.notifications.pool_alert.PoolAlertNotifier"
    assert data["kwargs"]["pool"] == "timely"
    assert data["kwargs"]["channels"][0]["connection"] == "told"
    assert data["kwargs"]["context"]["dag_run"]["dag_run_id"] == "scheduled__1"


def test_a_run_that_only_plans_has_no_deadline(deadlines_of_a_run: Callable[..., list[Deadline]]) -> None:
    assert deadlines_of_a_run("planned", sample() + PARTS, plan_only=True) == []


def test_a_pool_without_a_deadline_has_none(deadlines_of_a_run: Callable[..., list[Deadline]]) -> None:
    assert deadlines_of_a_run("easy", sample()) == []
