"""The custom role in ``docs``: the shape that ``az role definition create`` takes, and no right too many."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from include.airflow_settings import ROOT

ACTION = re.compile(r"Microsoft\.(Compute|Batch|ManagedIdentity|Network)(/[a-z][A-Za-z]+)+/(read|write|delete|action)")


@pytest.fixture
def role() -> dict[str, Any]:
    return dict(json.loads((ROOT / "docs" / "custom-role.json").read_text(encoding="utf-8")))


def test_it_has_the_fields_of_a_role_definition(role: dict[str, Any]) -> None:
    assert set(role) == {
        "Name", "IsCustom", "Description", "Actions", "NotActions", "DataActions", "NotDataActions", "AssignableScopes",
    }  # fmt: skip
    assert role["IsCustom"] is True
    assert role["AssignableScopes"] == ["/subscriptions/00000000-0000-0000-0000-000000000000"]


def test_every_action_is_spelled_out(role: dict[str, Any]) -> None:
    actions = role["Actions"] + role["DataActions"]
    assert [action for action in actions if not ACTION.fullmatch(action)] == []
    assert len(set(actions)) == len(actions)


def test_a_gallery_image_can_be_put_on_a_pool(role: dict[str, Any]) -> None:
    # Reader on the image is not enough: Batch wants this one right more of whoever writes the pool.
    assert "Microsoft.Compute/disks/beginGetAccess/action" in role["Actions"]
    assert "Microsoft.Compute/galleries/images/versions/read" in role["Actions"]


def test_nothing_but_snapshots_pools_and_jobs_can_be_deleted(role: dict[str, Any]) -> None:
    deletions = [action for action in role["Actions"] + role["DataActions"] if action.endswith("/delete")]
    assert deletions == [
        "Microsoft.Compute/snapshots/delete",  # of a set that is not whole
        "Microsoft.Batch/batchAccounts/pools/delete",
        "Microsoft.Batch/batchAccounts/jobs/delete",
    ]


def test_keys_of_the_batch_account_stay_where_they_are(role: dict[str, Any]) -> None:
    assert "Microsoft.Batch/batchAccounts/listKeys/action" not in role["Actions"]


def test_jobs_are_data(role: dict[str, Any]) -> None:
    # Azure's providers name rights on jobs and job schedules among the data actions: in Actions they would do nothing.
    assert {action.split("/")[2] for action in role["DataActions"]} == {"jobs", "jobSchedules"}
    assert [action for action in role["Actions"] if "/jobs" in action] == []


def test_the_golden_vm_is_never_generalized(role: dict[str, Any]) -> None:
    assert "Microsoft.Compute/virtualMachines/generalize/action" not in role["Actions"]
    assert "Microsoft.Compute/virtualMachines/write" not in role["Actions"]


@pytest.mark.parametrize("name", ["clone", "restore-point"])
def test_what_is_thrown_away_is_in_the_images_resource_group_alone(name: str) -> None:
    """Pitfall 18: the golden VM lies elsewhere, so no run can flag or delete it, or its disks."""
    role = json.loads((ROOT / "docs" / f"custom-role-{name}.json").read_text(encoding="utf-8"))
    assert role["AssignableScopes"] == ["/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/images"]
    assert [action for action in role["Actions"] if not ACTION.fullmatch(action)] == []
