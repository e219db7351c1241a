"""``dags/watch_pools.py``: the graph, and when it runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from golden_pools.assets import WATCH

from tests.dags.conftest import utc

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG


@pytest.fixture
def dag(dag_bag: DagBag) -> DAG:
    return dag_bag.dags["watch_pools"]


def test_it_looks_then_keeps_the_news_and_tells_them(dag: DAG) -> None:
    assert {name: task.downstream_task_ids for name, task in dag.task_dict.items()} == {
        "look": {"alert"},
        "alert": {"tell", "tell_failure"},
        "tell": set(),
        "tell_failure": set(),
    }
    for task in (dag.get_task("tell"), dag.get_task("tell_failure")):
        assert task.is_teardown
        assert not task.on_failure_fail_dagrun, "a channel that is down changes nothing about the watch"


def test_only_the_alert_sends_the_event_and_may_read_the_state(dag: DAG) -> None:
    assert [outlet.name for outlet in dag.get_task("alert").outlets] == [WATCH.name]  # type: ignore[union-attr]
    assert dag.get_task("look").outlets == []


def test_every_task_says_what_it_does(dag: DAG) -> None:
    assert dag.doc_md
    assert all(task.doc_md for task in dag.tasks)


def test_it_runs_every_hour_and_one_at_a_time(dag: DAG, next_run: Callable[..., datetime]) -> None:
    assert next_run(dag, at=utc(11, 24, 12, 30)) == utc(11, 24, 13, 23)
    assert next_run(dag, at=utc(11, 24, 13, 23), last=utc(11, 24, 13, 23)) == utc(11, 24, 14, 23)
    assert dag.max_active_runs == 1
    assert dag.catchup is False
