"""The custom role in ``docs`` allows what runs do, as the simulator saw it."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import httpx
import pytest

from include.airflow_settings import ROOT
from tests.operators.conftest import STAMP, Cloud, Run
from tests.operators.test_whole_run import stages

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


def test_the_role_allows_what_runs_do(cloud: Cloud, run: Run) -> None:
    role = json.loads((ROOT / "docs" / "custom-role.json").read_text(encoding="utf-8"))
    for number in range(2):  # the first makes the pool, the second refreshes it
        again = Run(run.spec, run_id=f"manual__{number}", stamp=STAMP + timedelta(days=number))
        for task in stages(again).values():
            again.do(task)

    calls = [(entry["method"], httpx.URL(entry["url"]).path) for entry in map(json.loads, cloud.world.traffic.lines())]
    needed = {right for method, path in calls if (right := needed_right(method, path))}

    assert {"microsoft.compute/virtualmachines/read", "microsoft.batch/batchaccounts/pools/write"} <= needed
    assert needed - {action.lower() for action in role["Actions"]} == set()
