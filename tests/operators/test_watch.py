"""The drift watch against a world that has drifted."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from golden_pools.assets import WATCH
from golden_pools.errors import AzureBusyError, AzureRefusedError
from golden_pools.hooks.batch import BatchHook
from golden_pools.hooks.inventory import InventoryHook
from golden_pools.operators import watch
from golden_pools.operators.watch import AlertOperator, WatchOperator
from golden_pools.rules.watch import Finding, new_and_gone
from golden_pools.spec.model import PoolSpec

from include.airflow_settings import ROOT
from tests.operators.conftest import COMPUTE, NEW, OLD, Cloud, FakeStore, _OutletEvents
from tests.operators.test_rights_of_a_run import needed_right

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.dagrun import DagRun

GOOD = {"golden-pools-verdict": "good"}


class Watch:
    """The DAG's two tasks, run after run, over spec files of their own."""

    def __init__(self, cloud: Cloud, directory: Path, spec: PoolSpec) -> None:
        self.cloud, self.directory, self.spec = cloud, directory, spec
        self.state: dict[str, str] = {}
        self.events: dict[str, dict[str, Any]] = {}
        self.look_result: dict[str, Any] = {}
        self.write("small")

    def write(self, name: str, **changes: Any) -> None:
        values = {**self.spec.model_dump(mode="json", exclude_defaults=True), **changes}
        (self.directory / f"{name}.yaml").write_text(json.dumps(values), encoding="utf-8")

    def look(self) -> dict[str, Any]:
        self.cloud.advance(seconds=1)
        context: Any = {}
        self.look_result = json.loads(json.dumps(WatchOperator(task_id="look").execute(context)))
        return self.look_result

    def alert(self) -> tuple[list[str], list[str]]:
        """Return the kinds that are new and those that are gone."""
        context: Any = {
            "ti": SimpleNamespace(xcom_pull=lambda **_: self.look_result),
            "asset_state_store": {WATCH: FakeStore(self.state)},
            "outlet_events": _OutletEvents(self.events),
        }
        told = AlertOperator(task_id="alert", watch_task_id="look", asset=WATCH, outlets=[WATCH]).execute(context)
        assert told == {name: self.events[WATCH.name][name] for name in ("new", "gone")}
        return kinds(told["new"]), kinds(told["gone"])

    def run(self) -> tuple[list[str], list[str]]:
        self.look()
        return self.alert()


def kinds(findings: list[dict[str, Any]]) -> list[str]:
    return sorted(finding["check"] for finding in findings)


@pytest.fixture
def watcher(cloud: Cloud, spec: PoolSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A watch over the spec ``small``; time passes by hand only, and is Azure's for the worker too."""
    cloud.freeze()
    monkeypatch.setenv("GOLDEN_POOLS_DIR", str(tmp_path))
    monkeypatch.setattr(watch, "now", lambda: cloud.world.clock.now())
    return Watch(cloud, tmp_path, spec)


@pytest.fixture
def drifted(cloud: Cloud, watcher: Watch) -> Watch:
    """A pool behind its image, off its targets and its settings; a stray pool; leftovers; a spec without pool."""
    copy = {"createOption": "Copy", "sourceResourceId": f"{_group(cloud, 'golden')}/disks/golden-vm-os"}
    body = {
        "location": "westeurope",
        "tags": {"golden-pools-run": "scheduled__1"},
        "properties": {"creationData": copy, "incremental": True},
    }
    cloud.arm("PUT", f"{COMPUTE}/snapshots/small-20261101T020005-os", body)
    old = cloud.make_version(OLD, **GOOD)
    cloud.make_version(NEW, **GOOD)
    cloud.advance(days=2)
    cloud.make_pool(old, dedicated=1, metadata=[{"name": "team", "value": "ops"}])
    cloud.make_pool(old, name="stray", spot=1)
    watcher.write("other")
    cloud.forget()
    return watcher


def _group(cloud: Cloud, group: str) -> str:
    return f"/subscriptions/{cloud.subscription}/resourceGroups/{group}/providers/Microsoft.Compute"


DRIFT = [
    "nodes_off_target",
    "orphan",
    "pool_behind",
    "pool_missing",
    "pool_settings",
    "pool_without_spec",
    "region_missing",
    "spot_in_batch_service",
]


def test_a_world_as_the_specs_say_has_no_findings(cloud: Cloud, watcher: Watch) -> None:
    watcher.write("small", image={**watcher.spec.model_dump(mode="json")["image"], "target_regions": []})
    cloud.make_pool(cloud.make_version(NEW, **GOOD), dedicated=3)
    assert watcher.look()["findings"] == []
    assert watcher.look_result["unknown"] == {}
    assert watcher.alert() == ([], [])


def test_each_drift_is_found_once_and_told_once(drifted: Watch) -> None:
    assert drifted.run() == (DRIFT, [])
    assert drifted.run() == ([], [])
    assert kinds(drifted.events[WATCH.name]["findings"]) == DRIFT
    [behind] = [one for one in drifted.look_result["findings"] if one["check"] == "pool_behind"]
    assert f"small is on small/{OLD}, 1 good version behind; the newest good version is {NEW}" in behind["seen"]
    assert behind["az"].startswith("az rest --method get")


def test_each_new_finding_has_a_line_at_its_own_level(drifted: Watch, caplog: pytest.LogCaptureFixture) -> None:
    found = [Finding.of(value) for value in drifted.look()["findings"]]
    caplog.set_level(logging.INFO)
    watch.tell(logging.getLogger("alerts"), new_and_gone(found[:1], found[1:], ()))
    lines = {record.getMessage().split(":")[1].strip(): record for record in caplog.records}
    assert lines["pool_behind"].levelname == "WARNING"
    assert "What to do: trigger the DAG of small" in lines["pool_behind"].getMessage()
    assert lines["pool_without_spec"].levelname == "INFO"
    assert caplog.records[-1].getMessage() == f"Gone: {found[0].check}: {found[0].seen}"


def test_what_is_mended_is_told_once_as_gone_and_again_when_it_comes_back(cloud: Cloud, drifted: Watch) -> None:
    drifted.run()
    cloud.delete_pool("stray")
    cloud.advance(minutes=30)
    assert drifted.run() == ([], ["pool_without_spec", "spot_in_batch_service"])
    assert drifted.run() == ([], [])
    cloud.make_pool(cloud.image_of(), name="stray", spot=1)
    assert drifted.run() == (["pool_without_spec", "spot_in_batch_service"], [])


def test_numbers_that_change_are_no_news(cloud: Cloud, drifted: Watch) -> None:
    drifted.run()
    cloud.resize(dedicated=2)
    cloud.advance(minutes=30)
    assert drifted.run() == ([], [])


def test_the_same_look_is_handed_over_again_in_the_same_way(drifted: Watch) -> None:
    drifted.run()
    assert drifted.alert() == (DRIFT, [])


@pytest.mark.parametrize("error", [AzureRefusedError, AzureBusyError])
@pytest.mark.parametrize(
    ("hook", "method", "unseen"),
    [
        (BatchHook, "pools", {"nodes_off_target", "pool_behind", "pool_missing", "pool_settings", "pool_without_spec"}),
        (BatchHook, "account", set()),
        (BatchHook, "node_counts", set()),
        (BatchHook, "supported_images", set()),
        (BatchHook, "vm_sizes", set()),
        (InventoryHook, "versions", {"orphan", "pool_behind", "region_missing"}),
        (InventoryHook, "snapshots", {"orphan"}),
        (InventoryHook, "vms", set()),
    ],
)
def test_a_look_up_that_fails_is_unknown_and_what_it_showed_is_not_gone(
    drifted: Watch,
    monkeypatch: pytest.MonkeyPatch,
    hook: type,
    method: str,
    unseen: set[str],
    error: type[AzureRefusedError],
) -> None:
    drifted.run()

    def refuse(*_: object) -> None:
        raise error("Could not look", answer="AuthorizationFailed: no")

    with monkeypatch.context() as patch:
        patch.setattr(hook, method, refuse)
        assert drifted.run() == ([], [])
        assert "AuthorizationFailed: no" in drifted.look_result["unknown"].values()
        assert unseen.isdisjoint(kinds(drifted.look_result["findings"]))
    assert drifted.run() == ([], [])


def test_a_look_that_sees_nothing_at_all_fails(drifted: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_AZURE_DEFAULT")
    with pytest.raises(AzureRefusedError) as refused:
        drifted.look()
    assert "azure_default" in str(refused.value)


def test_a_spec_with_faults_leaves_its_pool_its_own(drifted: Watch) -> None:
    drifted.run()
    (drifted.directory / "small.yaml").write_text("pool: {}\n", encoding="utf-8")
    assert drifted.run() == (["spec_faulty"], []), "what was known of its pool is neither new nor gone"
    assert drifted.look_result["unknown"]["spec of small"] == "its file has faults: see pool_spec_check"


def test_the_custom_role_allows_every_look(cloud: Cloud, drifted: Watch) -> None:
    role = json.loads((ROOT / "docs" / "custom-role.json").read_text(encoding="utf-8"))
    drifted.look()
    rights = {
        needed_right(entry["method"], urlsplit(entry["url"]).path)
        for entry in cloud.requests()
        if not urlsplit(entry["url"]).path.startswith("/_simulator")
    }
    allowed = {action.lower() for action in (*role["Actions"], *role["DataActions"])}
    assert rights - {None} - allowed == set()
    assert "microsoft.compute/snapshots/read" in rights


def test_nothing_is_written(cloud: Cloud, drifted: Watch) -> None:
    drifted.run()
    assert cloud.writes() == []
    assert cloud.requests()


def test_requests_do_not_grow_with_specs_of_one_account_and_definition(cloud: Cloud, drifted: Watch) -> None:
    def asked() -> int:
        cloud.forget()
        drifted.look()
        return len(cloud.requests())

    few = asked()
    for number in range(10):
        drifted.write(f"more-{number}")
    assert asked() == few
    drifted.write("apart", image={**drifted.spec.model_dump(mode="json")["image"], "definition": "apart"})
    assert asked() == few + 1  # its own list of versions


def test_requests_grow_with_pages(cloud: Cloud, drifted: Watch, make_pages: Callable[[int], None]) -> None:
    drifted.look()
    few = len(cloud.requests())
    make_pages(1)
    cloud.forget()
    drifted.look()
    paged = [entry["url"] for entry in cloud.requests() if "skiptoken" in entry["url"].lower()]
    assert paged
    assert len(cloud.requests()) == few + len(paged)


@pytest.fixture
def make_pages(cloud: Cloud) -> Callable[[int], None]:
    def make(size: int) -> None:
        pages = {"list_page_size": size, "gallery_page_size": size}
        cloud.world.settings = cloud.world.settings.patched({"compute": pages})

    return make


def test_airflow_keeps_what_is_known_from_run_to_run(
    drifted: Watch, dag_bag: DagBag, run_dag: Callable[..., DagRun]
) -> None:
    def run() -> tuple[list[str], list[str]]:
        drifted.cloud.advance(seconds=1)
        finished = run_dag(dag_bag.dags["watch_pools"])
        assert finished.state == "success"
        told = finished.get_task_instance("alert").xcom_pull(task_ids="alert")
        return kinds(told["new"]), kinds(told["gone"])

    assert run() == (DRIFT, [])
    assert run() == ([], [])
    drifted.cloud.delete_pool("stray")
    drifted.cloud.advance(minutes=30)
    assert run() == ([], ["pool_without_spec", "spot_in_batch_service"])
