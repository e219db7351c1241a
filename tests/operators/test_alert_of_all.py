"""Failures of the DAGs that are about all pools, told to the channels of all specs through a real web hook."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from golden_pools.errors import AzureRefusedError
from golden_pools.failures import FAILURE_KEY

from dags import retire_images, watch_pools
from tests.operators.conftest import AssetStores, FakeStore
from tests.operators.test_tell_drift import make_look
from tests.receivers import WebHook

REFUSED = AzureRefusedError("A snapshot could not be deleted", answer="ScopeLocked", advice="remove the lock")


class Days:
    """Ends of a DAG's runs one after another, and who is told of them."""

    def __init__(self, dag: DAG, task_id: str, hook: WebHook) -> None:
        self.dag, self.task, self.hook, self.stores, self.number = dag, dag.get_task(task_id), hook, AssetStores(), 0

    def end(self, **states: str) -> Any:
        self.number += 1
        run = SimpleNamespace(
            dag_id=self.dag.dag_id, run_id=f"run {self.number}", run_after=datetime(2026, 11, 24, tzinfo=UTC)
        )
        failures = {name: REFUSED.to_dict() | {"done": ""} for name, state in states.items() if state == "failed"}

        def pull(*, task_ids: str, key: str | None = None) -> Any:
            return failures.get(task_ids) if key == FAILURE_KEY else None

        crumbs = [{"task_id": name, "state": state} for name, state in states.items()]
        ti = SimpleNamespace(xcom_pull=pull, get_task_breadcrumbs=lambda *_: crumbs)
        context: Any = {
            "ti": ti,
            "dag_run": run,
            "task_state_store": FakeStore(),
            "asset_state_store": self.stores,
        }
        return self.task.execute(context)

    @property
    def told(self) -> list[dict[str, Any]]:
        return self.hook.received


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebHook]:
    """Two specs, whose people are told through one address."""
    with make_look(tmp_path, monkeypatch) as specs:
        specs.write("large", level="error")
        yield specs.hook


def test_a_retention_that_fails_is_told_once_and_when_it_is_over(hook: WebHook) -> None:
    days = Days(retire_images.dag, "alert", hook)
    well = dict.fromkeys(("report", "canaries", "mark", "versions", "images", "throwaways"), "success")
    bad = well | {"snapshots": "failed", "failed": "failed"}

    days.end(**well, snapshots="success", failed="skipped")
    assert days.told == [], "a day that goes well is worth no message"

    days.end(**bad)
    days.end(**bad)
    (told,) = days.told
    assert told["title"] == "retire images: snapshots failed"
    assert "**What happened:** task snapshots: A snapshot could not be deleted" in told["message"]
    assert "**Likely cause:** ScopeLocked" in told["message"]
    assert "Also failed" not in told["message"]
    assert "(<http://airflow/dags/retire_images/runs/run%202/tasks/snapshots>)" in told["message"]

    days.end(**well, snapshots="success", failed="skipped")
    assert days.told[1]["title"].startswith("retire images: over after ")
    days.end(**well, snapshots="success", failed="skipped")
    assert len(days.told) == 2


def test_a_watch_that_cannot_look_is_told(hook: WebHook) -> None:
    days = Days(watch_pools.dag, "tell_failure", hook)
    days.end(look="failed", alert="upstream_failed", tell="skipped")
    assert [told["title"] for told in days.told] == ["watch pools: look failed"]


def test_that_a_channel_of_the_watch_was_down_is_no_failure_of_the_watch(hook: WebHook) -> None:
    days = Days(watch_pools.dag, "tell_failure", hook)
    days.end(look="success", alert="success", tell="failed")
    assert days.told == []
