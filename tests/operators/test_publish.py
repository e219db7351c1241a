"""Stage ``publish``: definition and version, and what a failed or slow replication leads to."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from golden_pools.errors import AzureRefusedError
from golden_pools.operators.gallery import PublishImageVersionOperator
from golden_pools.rules.plan import account_id

from tests.operators.conftest import COMPUTE, DEFINITION, SPEED, Cloud, Run
from tests.operators.test_golden_vm import put_snapshot, snapshots_of


def publish() -> PublishImageVersionOperator:
    return PublishImageVersionOperator(task_id="publish", snapshot_task_id="snapshot", image_task_id="managed_image")


@pytest.fixture
def run(cloud: Cloud, run: Run) -> Run:
    """A run whose managed image is there."""
    source = put_snapshot(cloud, run.plan.snapshot_name(None), "golden-vm-os", run.plan.tags)
    disk = {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": source}}
    properties = {"hyperVGeneration": "V2", "storageProfile": {"osDisk": disk}}
    cloud.arm("PUT", f"{COMPUTE}/images/{run.plan.stem}", {"location": "westeurope", "properties": properties})
    cloud.advance(minutes=5)
    cloud.forget()
    run.xcoms |= {
        "snapshot": snapshots_of(run),
        "managed_image": run.plan.managed_image_id,
        "preflight": {
            "golden_vm_was_running": True,
            "findings": [],
            "regions": {account_id(run.spec).lower(): "westeurope"},
        },
    }
    return run


def put_bodies(cloud: Cloud) -> list[dict[str, Any]]:
    """Return the body of every PUT, in order."""
    return [json.loads(entry["request_body"]) for entry in cloud.requests() if entry["method"] == "PUT"]


def test_a_missing_definition_is_made_with_everything_that_can_never_change(cloud: Cloud, run: Run) -> None:
    run.do(publish())
    definition, version = put_bodies(cloud)
    properties = definition["properties"]
    assert (properties["osType"], properties["osState"]) == ("Linux", "Generalized")
    assert (properties["hyperVGeneration"], properties["architecture"]) == ("V2", "x64")
    assert properties["features"] == [{"name": "SecurityType", "value": "Standard"}]
    regions = {region["name"]: region["regionalReplicaCount"] for region in _regions(version)}
    assert regions == {"westeurope": 1}, "the pool waits for its own region only"


def _regions(version: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = version["properties"]["publishingProfile"]["targetRegions"]
    return found


def test_the_passport_says_what_the_version_was_made_of(run: Run) -> None:
    passport = run.do(publish())
    assert passport["image"] == run.plan.version_id
    assert passport["managed_image"] == run.plan.managed_image_id
    assert passport["snapshots"] == [run.plan.snapshot_id(None)]


def test_a_slow_replication_is_not_given_up_early(cloud: Cloud, run: Run) -> None:
    """Pitfall 33: Azure itself takes hours at times."""
    cloud.make_version("1.0.0")  # the definition is there
    with pytest.raises(TaskDeferred) as deferred:
        publish().execute(run.context(publish()))
    assert deferred.value.timeout is not None
    assert deferred.value.timeout > timedelta(hours=12)


def test_a_clear_after_a_failed_replication_asks_for_the_same_version_again(cloud: Cloud, run: Run) -> None:
    cloud.fault(method="PUT", path="/versions/", operation_error={"code": "ReplicationFailed", "message": "no room"})
    with pytest.raises(AzureRefusedError) as failed:
        run.do(publish())
    assert failed.value.answer == "ReplicationFailed: no room"
    assert failed.value.resource == run.plan.version_id
    assert run.do(publish())["image"] == run.plan.version_id
    versions = [write for write in cloud.writes() if "/versions/" in write]
    assert versions == [f"PUT {run.plan.version_id}"] * 2


def test_a_definition_that_is_there_is_left_alone(cloud: Cloud, run: Run) -> None:
    cloud.make_version("1.0.0")
    cloud.control("PATCH", "clock", {"speed": SPEED})
    cloud.forget()
    run.do(publish())
    assert cloud.writes() == [f"PUT {run.plan.version_id}"]
    assert f"/{DEFINITION}/versions/" in run.plan.version_id
