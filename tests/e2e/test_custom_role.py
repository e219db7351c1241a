"""The custom role in ``docs`` allows what a run does, as the simulator saw it."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from include.airflow_settings import ROOT
from tests.simulator import SimulatorProcess

from .real_airflow import RealAirflow

pytestmark = pytest.mark.e2e

POOL = "golden_pool_small"
PROVIDER = re.compile(r"/providers/(Microsoft\.\w+)/(.+)", re.IGNORECASE)
SUFFIXES = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}


def needed_right(method: str, path: str) -> str | None:
    """The right that ARM asks for; none for the data plane of Batch, whose rights on pools are those of ARM.

    ARM names them after the types in the path: ``.../{namespace}/{type}/{name}/{type}/{name}`` with a method is
    ``{namespace}/{type}/{type}/{read|write|delete}``, and a POST to ``.../{name}/{verb}`` is ``.../{verb}/action``.
    """
    found = PROVIDER.search(path)
    if found is None:
        return None
    parts = found[2].strip("/").split("/")
    return "/".join([found[1], *parts[::2], SUFFIXES[method]]).lower()


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("GET", "/providers/Microsoft.Compute/disks/d", "microsoft.compute/disks/read"),
        ("GET", "/providers/Microsoft.Batch/batchAccounts/a/pools", "microsoft.batch/batchaccounts/pools/read"),
        (
            "POST",
            "/providers/Microsoft.Compute/virtualMachines/v/start",
            "microsoft.compute/virtualmachines/start/action",
        ),
    ],
)
def test_a_right_is_named_after_the_types_in_the_path(method: str, path: str, right: str) -> None:
    assert needed_right(method, f"/subscriptions/s/resourceGroups/g{path}") == right


def test_the_role_allows_what_a_run_does(airflow: RealAirflow, shared_simulator: SimulatorProcess) -> None:
    shared_simulator.clear()
    run = airflow.trigger(POOL)
    state = airflow.wait(POOL, run, timeout_seconds=240)
    role = json.loads((ROOT / "docs" / "custom-role.json").read_text(encoding="utf-8"))
    calls = [(entry["method"], httpx.URL(entry["url"]).path) for entry in shared_simulator.log()]

    needed = {right for method, path in calls if (right := needed_right(method, path))}

    assert state == "success", airflow.task_states(POOL, run)
    assert "microsoft.batch/batchaccounts/pools/write" in needed
    assert needed - {action.lower() for action in role["Actions"]} == set()
