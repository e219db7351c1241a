"""The last task of the drift watch, against a real web hook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from golden_pools.errors import AlertError
from golden_pools.operators.tell_drift import TellDriftOperator
from golden_pools.rules.watch import Finding, Kind, Level

from tests.operators.conftest import FakeStore
from tests.receivers import WebHook, web_hook

SUBSCRIPTION = "51a51a51-0000-4000-8000-000000000003"
POOLS = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/batch/providers/Microsoft.Batch/batchAccounts/goldenbatch/pools"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Compute"
GALLERY = f"{GROUP}/galleries/golden_gallery"


def finding(subject: str, check: Kind = Kind.POOL_BEHIND, level: Level = Level.WARNING) -> dict[str, Any]:
    return Finding(
        level=level,
        check=check,
        subject=subject,
        seen=f"{subject.rpartition('/')[2]} is not as it should be",
        advice="trigger its DAG",
        az="az batch",
        needs=(),
    ).to_dict()


class Look:
    """The task's one run, over spec files and news of its own."""

    def __init__(self, directory: Path, hook: WebHook) -> None:
        self.directory, self.hook = directory, hook
        self.store = FakeStore()

    def write(self, name: str, **channel: Any) -> None:
        """Write the spec of a pool whose people are told through the tag of its name."""
        spec = {
            "subscription": SUBSCRIPTION,
            "golden_vm": {"resource_group": "golden", "name": "golden-vm"},
            "image": {"resource_group": "images", "gallery": "golden_gallery", "definition": name},
            "pool": {
                "resource_group": "batch",
                "account": "goldenbatch",
                "vm_size": "Standard_D2s_v5",
                "node_agent_sku": "batch.node.ubuntu 24.04",
                "targets": {"dedicated": 3},
            },
            "alerts": [{"connection": "told", "tags": [name], **channel}],
        }
        (self.directory / f"{name}.yaml").write_text(json.dumps(spec), encoding="utf-8")

    def tell(self, *new: dict[str, Any], gone: list[dict[str, Any]] | None = None) -> Any:
        news = {"new": list(new), "gone": gone or []}
        context: Any = {
            "ti": SimpleNamespace(xcom_pull=lambda **_: news),
            "dag_run": SimpleNamespace(dag_id="watch_pools", run_id="scheduled__1"),
            "task_state_store": self.store,
        }
        return TellDriftOperator(task_id="tell", news_task_id="alert").execute(context)


@contextmanager
def make_look(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Look]:
    """Let there be a spec and its people, who are told through a web hook."""
    with web_hook() as hook:
        config = [{"path": hook.address, "tag": ["small", "large"]}]
        monkeypatch.setenv("AIRFLOW_CONN_TOLD", json.dumps({"conn_type": "apprise", "extra": {"config": config}}))
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow")
        monkeypatch.setenv("GOLDEN_POOLS_DIR", str(directory))
        made = Look(directory, hook)
        made.write("small")
        yield made


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Look]:
    with make_look(tmp_path, monkeypatch) as made:
        yield made


def test_what_is_new_is_one_alert_for_each_channel_with_advice_and_the_log(look: Look) -> None:
    assert look.tell(finding(f"{POOLS}/small"), finding(f"{POOLS}/small-2026-1121-20005", Kind.NODES_FAILED)) == {
        "new": 1,
        "gone": 0,
    }

    (told,) = look.hook.received
    assert told["title"] == "small: 2 findings of drift"
    assert told["type"] == "warning"
    assert "**pool_behind:** small is not as it should be  \nWhat to do: trigger its DAG" in told["message"]
    assert "(<http://airflow/dags/watch_pools/runs/scheduled__1/tasks/alert>)" in told["message"]


def test_what_is_gone_is_told_as_over(look: Look) -> None:
    look.tell(gone=[finding(f"{POOLS}/small")])

    (told,) = look.hook.received
    assert (told["title"], told["type"]) == ("small: 1 finding gone", "success")


@pytest.mark.parametrize(
    ("subject", "heard"),
    [
        (f"{POOLS}/small", ["small"]),
        (f"{POOLS}/large-2026-1121-20005", ["large"]),
        (f"{GALLERY}/images/large/versions/1.2.3 in northeurope", ["large"]),
        (f"{POOLS.removesuffix('/pools')}: batch.node.ubuntu 18.04: small", ["small"]),
        (f"{POOLS}/nobodys", ["large, small"]),
        (
            f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Compute/snapshots/x",
            ["large, small"],
        ),
    ],
)
def test_a_finding_is_told_to_those_whose_it_is(look: Look, subject: str, heard: list[str]) -> None:
    look.write("large")
    for name in ("small", "large"):  # the same words for both, so that one channel serves both where it can
        look.write(name, tags=["small"] if heard == ["large, small"] else [name])

    look.tell(finding(subject))

    assert [title.partition(":")[0] for title in look.hook.titles] == heard


def test_a_channel_hears_of_its_level_and_of_what_it_wants(look: Look) -> None:
    look.write("small", level="error")
    look.tell(finding(f"{POOLS}/small"))
    look.write("small", about=["run"])
    look.tell(finding(f"{POOLS}/small", level=Level.ERROR))
    assert look.hook.received == []


def test_a_channel_that_is_down_fails_the_task_alone_and_a_retry_tells_it_once(look: Look) -> None:
    look.write("large")
    look.hook.status = 500
    with pytest.raises(AlertError, match="did not take an alert"):
        look.tell(finding(f"{POOLS}/small"), finding(f"{POOLS}/large"))
    look.hook.status = 200

    for _ in range(2):
        look.tell(finding(f"{POOLS}/small"), finding(f"{POOLS}/large"))

    assert sorted(look.hook.titles) == ["large: 1 finding of drift", "small: 1 finding of drift"]


def test_findings_that_nobody_hears_of_are_counted_in_the_log(look: Look, capsys: pytest.CaptureFixture[str]) -> None:
    look.write("small", about=["run"])
    look.tell(finding(f"{POOLS}/small"))
    assert "1 new finding that no channel takes" in capsys.readouterr().out


def test_many_findings_are_counted(look: Look) -> None:
    look.tell(*(finding(f"{POOLS}/small", kind) for kind in Kind), *(finding(f"{POOLS}/small-{n}") for n in range(9)))
    assert "see the log" in look.hook.received[0]["message"]
