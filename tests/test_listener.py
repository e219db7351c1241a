"""What Airflow's own end of a run sets off: numbers and notes, of every pool's DAG and of no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from airflow.models.dagrun import DagRun
from airflow.sdk import DAG, TaskGroup, chain, task
from airflow.utils.session import create_session
from airflow.utils.sqlalchemy import prohibit_commit
from golden_pools.errors import ResizeGaveUpError
from golden_pools.failures import note_failure
from golden_pools.ui import airflow_db
from sqlalchemy import select, text

from tests.stats_receivers import StatsD, to_statsd

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

End = Callable[..., tuple[str | None, dict[str, str]]]

TARGETS = {"dedicated": 3, "spot": 0}
IMAGE = "/subscriptions/s/resourceGroups/i/providers/Microsoft.Compute/galleries/g/images/small/versions/2026.1121.5"


@pytest.fixture
def statsd(airflow_db: None) -> Iterator[StatsD]:
    with to_statsd() as server:
        yield server


def pool_dag(dag_id: str, *, fails: bool = False) -> DAG:
    """Return a DAG whose tasks return what those of a pool's DAG do."""
    with DAG(dag_id=dag_id) as dag:

        @task
        def plan() -> dict[str, Any]:
            return {"pool": "small", "plan_only": False}

        @task
        def refresh() -> dict[str, Any]:
            return {"action": "created", "image": IMAGE}

        @task(multiple_outputs=False)
        def resize() -> dict[str, Any]:
            return {"verdict": "reached", "reason": "3 of 3 dedicated nodes", "resizes": 1, "targets": TARGETS}

        @task(multiple_outputs=False)
        def nodes(**context: Any) -> dict[str, Any]:
            if fails:
                error = ResizeGaveUpError("The pool's nodes did not become ready", answer="1 unusable", advice="look")
                raise note_failure(context, error, blames_image=False)  # type: ignore[arg-type]
            return {"pool": "small", **TARGETS, "rebooted": ["n1"], "replaced": 0}

        first = plan()
        with TaskGroup("pool"):
            chain(first, refresh(), resize(), nodes())
    return dag


@pytest.fixture
def end(run_dag: Callable[..., DagRun], statsd: StatsD) -> End:
    """Run a DAG, let Airflow tell of its end as its scheduler does, and return the notes of run and tasks."""

    def run(dag: DAG, *, note: tuple[str, str] | None = None) -> tuple[str | None, dict[str, str]]:
        run_id = run_dag(dag).run_id
        statsd.lines(forget=True)
        with create_session() as session:
            ended = session.scalars(select(DagRun).filter_by(dag_id=dag.dag_id, run_id=run_id)).one()
            ended.queued_at = ended.start_date
            ended.note = note
            ended.notify_dagrun_state_changed("as the scheduler does")
        with create_session() as session:
            ended = session.scalars(select(DagRun).filter_by(dag_id=dag.dag_id, run_id=run_id)).one()
            tasks = ended.get_task_instances(session=session)
            return ended.note, {ti.task_id: ti.note for ti in tasks if ti.note}

    return run


def test_a_run_that_went_well_is_counted_and_noted(end: End, statsd: StatsD) -> None:
    note, of_tasks = end(pool_dag("golden_pool_small"))
    assert note is not None
    assert note.startswith("refreshed: image 2026.1121.5, 3 of 3 nodes ready (3 dedicated, 0 Spot), 1 resize, ")
    assert of_tasks == {
        "pool.resize": "reached: 3 of 3 dedicated nodes",
        "pool.nodes": "3 of 3 nodes ready (3 dedicated, 0 Spot), 1 rebooted",
    }
    values = statsd.values()
    assert values["golden_pools.runs.small.refresh.refreshed"] == 1
    assert values["golden_pools.run_duration.small.refresh.refreshed"] == 1
    stages = ("plan", "pool_refresh", "pool_resize", "pool_nodes")
    durations = {name for name in values if name.startswith("golden_pools.stage_duration.")}
    assert durations == {f"golden_pools.stage_duration.small.{stage}.success" for stage in stages}


def test_a_run_that_failed_says_where_and_why(end: End, statsd: StatsD) -> None:
    note, of_tasks = end(pool_dag("golden_pool_small", fails=True))
    assert note is not None
    assert note.startswith("failed at pool.nodes: The pool's nodes did not become ready: 1 unusable, ")
    assert of_tasks["pool.nodes"] == "The pool's nodes did not become ready: 1 unusable"
    assert statsd.values()["golden_pools.runs.small.refresh.failed"] == 1


def test_the_note_of_a_person_stays(end: End) -> None:
    note, _ = end(pool_dag("golden_pool_small"), note=("keep an eye on this one", "ada"))
    assert note == "keep an eye on this one"


def test_other_peoples_dags_are_left_alone(end: End, statsd: StatsD) -> None:
    assert end(pool_dag("somebody_elses")) == (None, {})
    assert statsd.lines() == []


def test_what_goes_wrong_in_it_leaves_the_end_of_the_run_alone(
    end: End, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(session: Session, *_: object) -> None:
        session.execute(text("SELECT * FROM no_such_table"))

    monkeypatch.setattr(airflow_db, "one_run", refused)
    assert end(pool_dag("golden_pool_small")) == (None, {})
    assert "What came of the run" in caplog.text


def test_an_end_that_is_rolled_back_is_not_told(run_dag: Callable[..., DagRun], statsd: StatsD) -> None:
    """And what is told next from the same session is told once."""
    run_id = run_dag(pool_dag("golden_pool_small")).run_id
    with create_session(scoped=False) as session:
        for is_kept in (False, True):
            ended = session.scalars(select(DagRun).filter_by(dag_id="golden_pool_small", run_id=run_id)).one()
            ended.notify_dagrun_state_changed("as the scheduler does")
            if is_kept:
                session.commit()
            else:
                session.rollback()
                assert statsd.lines() == []
    assert statsd.values()["golden_pools.runs.small.refresh.refreshed"] == 1


def test_nothing_is_done_in_the_transaction_that_ends_the_run(run_dag: Callable[..., DagRun], statsd: StatsD) -> None:
    """Airflow's scheduler holds locks there, and takes any commit, also of a savepoint, for a defect."""
    run_id = run_dag(pool_dag("golden_pool_small")).run_id
    with create_session(scoped=False) as session, prohibit_commit(session) as guard:
        ended = session.scalars(select(DagRun).filter_by(dag_id="golden_pool_small", run_id=run_id)).one()
        ended.notify_dagrun_state_changed("as the scheduler does")
        session.flush()
        assert statsd.lines() == []
        guard.commit()
        assert "golden_pools.runs.small.refresh.refreshed" in statsd.values()


def test_a_run_without_a_plan_is_its_pools_all_the_same(end: End, statsd: StatsD) -> None:
    with DAG(dag_id="scale_pool_small") as dag:

        @task
        def plan() -> None:
            raise ValueError("the spec has faults")

        plan()
    end(dag)
    assert statsd.values()["golden_pools.runs.small.scale.failed"] == 1
