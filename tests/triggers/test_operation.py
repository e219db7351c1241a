"""Waits for long-running operations of ARM."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.triggers.base import TaskSuccessEvent
from golden_pools.errors import AzureBusyError, AzureRefusedError, from_dict
from golden_pools.hooks.compute import ComputeHook
from golden_pools.hooks.operations import PendingOperation
from golden_pools.triggers.operation import OperationsTrigger

from tests.operators.conftest import Cloud, fire, reborn


def begin(cloud: Cloud, *names: str) -> list[dict[str, Any]]:
    """Begin one snapshot of the golden VM's OS disk per name."""
    group = f"/subscriptions/{cloud.subscription}/resourceGroups/golden/providers/Microsoft.Compute"
    with ComputeHook("azure_default", cloud.subscription) as hook:
        return [
            hook.begin_snapshot(
                "images", name, location="westeurope", source_id=f"{group}/disks/golden-vm-os", tags={}
            ).to_dict()
            for name in names
        ]


def trigger(cloud: Cloud, operations: list[dict[str, Any]], *, ends_task: bool = True) -> OperationsTrigger:
    return OperationsTrigger(
        connection="azure_default",
        subscription=cloud.subscription,
        operations=operations,
        ends_task=ends_task,
        result={"made": "all"},
    )


def test_the_task_ends_in_the_triggerer_when_all_operations_have(cloud: Cloud) -> None:
    event = fire(trigger(cloud, begin(cloud, "a", "b")))
    assert isinstance(event, TaskSuccessEvent)
    assert event.xcoms == {"return_value": {"made": "all"}}
    states = [cloud.world.compute.snapshots.find(_id(cloud, name)) for name in ("a", "b")]
    assert [state.provisioning_state for state in states if state] == ["Succeeded", "Succeeded"]


def _id(cloud: Cloud, name: str) -> str:
    return f"/subscriptions/{cloud.subscription}/resourceGroups/images/providers/Microsoft.Compute/snapshots/{name}"


def test_a_task_that_has_to_act_resumes(cloud: Cloud) -> None:
    assert fire(trigger(cloud, begin(cloud, "a"), ends_task=False)).payload == {"done": 1}


def test_a_failed_operation_ends_with_azures_code(cloud: Cloud) -> None:
    cloud.fault(
        method="PUT",
        path="/snapshots/b$",
        operation_error={"code": "DiskEncryptionSetDisabled", "message": "the key is off"},
    )
    event = fire(trigger(cloud, begin(cloud, "a", "b")))
    error = from_dict(event.payload["failure"])
    assert isinstance(error, AzureRefusedError)
    assert error.what == "Could not make snapshot b"
    assert error.answer == "DiskEncryptionSetDisabled: the key is off"
    assert error.resource == _id(cloud, "b")


def test_one_failure_does_not_cut_the_others_short(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    """All are waited for, so that a retry finds them done; each is named in the log."""
    cloud.fault(method="PUT", path="/snapshots/a$", operation_error={"code": "BadRequest"})
    fire(trigger(cloud, begin(cloud, "a", "b")))
    log = capsys.readouterr().out
    assert "Could not make snapshot a" in log
    assert ": make snapshot b" in log


def test_an_operation_that_failed_for_a_passing_reason_is_tried_again(cloud: Cloud) -> None:
    cloud.fault(method="PUT", operation_error={"code": "InternalServerError"})
    event = fire(trigger(cloud, begin(cloud, "a")))
    assert isinstance(from_dict(event.payload["failure"]), AzureBusyError)


def test_throttled_polls_are_survived(cloud: Cloud) -> None:
    """Pitfall 27: 429 in mid-wait does not fail the snapshot, so nobody makes a second one."""
    operations = begin(cloud, "a")
    cloud.fault(method="GET", path="Operations/", status=429, code="OperationNotAllowed", retry_after_seconds=1)
    assert isinstance(fire(trigger(cloud, operations)), TaskSuccessEvent)


def test_an_operation_without_a_token_is_watched_by_its_resource(cloud: Cloud) -> None:
    """A worker died before it had kept the token."""
    begin(cloud, "a")
    watch = PendingOperation(what="make snapshot a", resource_id=_id(cloud, "a")).to_dict()
    assert isinstance(fire(trigger(cloud, [watch])), TaskSuccessEvent)


def test_a_trigger_is_the_same_after_a_restart_of_the_triggerer(cloud: Cloud) -> None:
    made = trigger(cloud, begin(cloud, "a"), ends_task=False)
    assert reborn(made).serialize() == made.serialize()
