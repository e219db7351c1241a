"""What the tests of the DAG files share: files over specs of their own, and the scheduler's reckoning."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pendulum
import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(path.stem for path in (ROOT / "include" / "pools").glob("*.yaml"))


@pytest.fixture
def parse_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., DagBag]:
    """Parse a DAG file over spec files of a directory of their own: ``parse_file("golden_pools", name=text, ...)``."""
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("GOLDEN_POOLS_DIR", str(tmp_path))

    def parse(file: str, **texts: str) -> DagBag:
        for name, text in texts.items():
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        return DagBag(ROOT / "dags" / f"{file}.py", bundle_name="dags")

    return parse


def sample(**changes: str) -> str:
    """Return the text of the sample ``small``, with texts replaced."""
    text = (ROOT / "include" / "pools" / "small.yaml").read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture
def next_run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., datetime]:
    """Return when the next run of a DAG starts, as the scheduler reckons it from what stands in its database."""
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.timetables import trigger
    from airflow.timetables.base import DataInterval, TimeRestriction

    def reckon(dag: DAG, *, at: datetime, last: datetime | None = None) -> datetime:
        monkeypatch.setattr(trigger, "utcnow", lambda: pendulum.instance(at))
        monkeypatch.setattr(trigger, "time", SimpleNamespace(time=at.timestamp))
        info = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable.next_dagrun_info(
            last_automated_data_interval=DataInterval.exact(pendulum.instance(last)) if last else None,
            restriction=TimeRestriction(earliest=None, latest=None, catchup=dag.catchup),
        )
        assert info is not None
        return info.run_after

    return reckon


def utc(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


class Recorded:
    """A task state store of one task."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value


DUE = utc(11, 22, 1)


def planned(dag: DAG, *, due: datetime = DUE, run_type: str = "manual", user: str | None = "ada", **conf: Any) -> Any:
    """Return what the first task makes of a run's conf.

    :param due: when the run is to start; where that is still to come, the moment that the plan goes by
    :param user: who triggered it
    """
    from airflow.sdk.api.datamodels._generated import DagRunType  # what a task really gets

    run = SimpleNamespace(
        dag_id=dag.dag_id,
        run_id="manual__1",
        run_type=DagRunType(run_type),
        triggering_user_name=user,
        run_after=due,
        conf=conf,
    )
    values = {**dag.params.dump(), **conf}
    context: Any = {"dag_run": run, "params": values, "task_state_store": Recorded()}
    task = dag.get_task("plan").prepare_for_execution()
    task.render_template_fields(context)
    return task.execute(context)
