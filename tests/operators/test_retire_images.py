"""The DAG ``retire_images`` on a simulator: what goes, what stays, what is refused, and what a killed worker leaves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from golden_pools.errors import AzureBusyError, AzureRefusedError, GoldenPoolsError, RunConfError
from golden_pools.operators.retire_images import CarryOutOperator, ReportRetentionOperator

from dags import retire_images
from include.airflow_settings import ROOT
from include.azure_simulator.clock import Clock
from include.azure_simulator.world import SAMPLE_WORLD, World, WorldFile
from tests.operators.conftest import STAMP, Cloud, FakeStore, kill_at_write, small_pool
from tests.operators.test_rights_of_a_run import needed_right
from tests.virtual_time import VirtualTime, virtual_cloud

PLACE = {"resource_group": "images", "location": "westeurope"}
GROUP = "/subscriptions/51a51a51-0000-4000-8000-000000000003/resourceGroups"
COMPUTE = f"{GROUP}/images/providers/Microsoft.Compute"
DEFINITION = f"{COMPUTE}/galleries/golden_gallery/images/small"
VERSIONS = "resourceGroups/images/providers/Microsoft.Compute/galleries/golden_gallery/images/small/versions"
DAYS = (1, 20, 30, 40, 50)
"""Ages of the builds."""


def stem(days: float) -> str:
    return f"small-{STAMP - timedelta(days=days):%Y%m%dT%H%M%S}"


def tags(days: float, **more: str) -> dict[str, str]:
    run = {"golden-pools-pool": "small", "golden-pools-dag": "golden_pool_small", "golden-pools-run": f"run-{days}"}
    return {**run, **more}


def number(days: float) -> str:
    return f"1.0.{10_000 - int(days)}"


def long_ago(
    days: list[float], pools: dict[str, str], *, change: Callable[[dict[str, Any]], None] | None = None, **version: Any
) -> World:
    """Return the sample world with a good build of each age, and pools on images.

    :param change: edits the world's file before it is read
    """
    content = yaml.safe_load(SAMPLE_WORLD.read_text(encoding="utf-8"))
    disk = f"{GROUP}/golden/providers/Microsoft.Compute/disks/golden-vm-os"
    content["compute"]["snapshots"] = [
        {"name": f"{stem(age)}-os", **PLACE, "source": disk, "created": STAMP - timedelta(days=age), "tags": tags(age)}
        for age in days
    ]
    content["compute"]["images"] = [
        {"name": stem(age), **PLACE, "sources": [f"{COMPUTE}/snapshots/{stem(age)}-os"], "tags": tags(age)}
        for age in days
    ]
    versions = [
        {
            "name": number(age),
            "created": STAMP - timedelta(days=age),
            "sources": [f"{COMPUTE}/images/{stem(age)}"],
            "tags": tags(age, **{"golden-pools-verdict": "good"}),
            **version,
        }
        for age in days
    ]
    definition = {"name": "small", "versions": versions}
    content["compute"]["galleries"] = [{"name": "golden_gallery", **PLACE, "definitions": [definition]}]
    content["batch"]["accounts"][0]["pools"] = [
        {
            "name": name,
            "properties": {
                "vmSize": "STANDARD_D2S_V5",
                "deploymentConfiguration": {
                    "virtualMachineConfiguration": {
                        "nodeAgentSkuId": "batch.node.ubuntu 22.04",
                        "imageReference": {"id": image},
                    }
                },
                "scaleSettings": {"fixedScale": {"targetDedicatedNodes": 0}},
            },
        }
        for name, image in pools.items()
    ]
    if change:
        change(content)
    return World(WorldFile.model_validate(content), clock=Clock(speed=0, start=STAMP))


@dataclass
class Retention:
    """Runs of the DAG, one after the other."""

    cloud: Cloud
    virtual: VirtualTime
    params: dict[str, Any] = field(default_factory=dict)
    stores: dict[str, FakeStore] = field(default_factory=dict)
    going_on: set[str] = field(default_factory=set)
    report: dict[str, Any] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    errors: dict[str, GoldenPoolsError] = field(default_factory=dict)

    def context(self, task: BaseOperator) -> dict[str, Any]:
        def count(*, dag_id: str, run_ids: list[str], states: list[str]) -> int:
            assert dag_id == "golden_pool_small"
            return len(self.going_on & set(run_ids))

        return {
            "params": {"dry_run": False, "pool": None, **self.params},
            "ti": SimpleNamespace(get_dr_count=count),
            "task_state_store": self.stores.setdefault(task.task_id, FakeStore()),
            "outlet_events": {getattr(task, "asset", None): SimpleNamespace()},
        }

    def do(self, task: BaseOperator) -> Any:
        """Run a task to its end, through its waits."""
        method, arguments = "execute", {}
        while True:
            try:
                return getattr(task, method)(self.context(task), **arguments)
            except TaskDeferred as wait:
                event = self.virtual.fire(wait.trigger, wait.timeout or timedelta(0))
                method, arguments = wait.method_name, {"event": json.loads(json.dumps(event.payload))}

    def a_run(self, *, days_later: float = 0) -> None:
        """Run the whole DAG, each task whatever became of those before it."""
        if days_later:
            self.virtual.sleep(days_later * 86400)
        self.stores.clear()
        self.errors.clear()
        self.cloud.forget()
        for task in retire_images.dag.tasks:
            if isinstance(task, ReportRetentionOperator):
                self.report = self.do(task)
            elif isinstance(task, CarryOutOperator):
                try:
                    self.do(task)
                    self.states[task.task_id] = "success"
                except AirflowSkipException:
                    self.states[task.task_id] = "skipped"
                except GoldenPoolsError as error:
                    self.states[task.task_id], self.errors[task.task_id] = "failed", error

    def left(self) -> dict[str, list[str]]:
        """Return the names of what is there, by kind."""
        found = {}
        for kind in ("snapshots", "images", "galleries/golden_gallery/images/small/versions"):
            listed = self.cloud.arm("GET", f"resourceGroups/images/providers/Microsoft.Compute/{kind}")["value"]
            found[kind.rpartition("/")[2]] = sorted(one["name"] for one in listed)
        return found

    def version(self, days: float) -> dict[str, Any]:
        return self.cloud.arm("GET", f"{VERSIONS}/{number(days)}")


@pytest.fixture
def specs(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write the spec ``small`` with a retention of its own."""
    monkeypatch.setenv("GOLDEN_POOLS_DIR", str(tmp_path))

    def write(cloud: Cloud, *, image: dict[str, str] | None = None, **retention: Any) -> None:
        data = small_pool(cloud).model_dump(mode="json", exclude_defaults=True)
        data["image"] |= image or {}
        data["retention"] = {"keep": 2, "keep_days": 10, "grace_days": 5, "delete": True, **retention}
        data["prices"] = {"replica_gib_month": 0.1}
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")

    return write


@pytest.fixture
def retention(specs: Any) -> Iterator[Retention]:
    """Five good builds; the pool is on the newest but three, so that one is left to go back to."""
    with virtual_cloud(long_ago(list(DAYS), {"small": f"{DEFINITION}/versions/{number(30)}".upper()})) as (cloud, time):
        specs(cloud)
        yield Retention(cloud, time)


def test_without_delete_it_only_reports(retention: Retention, specs: Any) -> None:
    specs(retention.cloud, delete=False)
    retention.a_run()
    assert retention.cloud.writes() == []
    assert [item["id"].rpartition("/")[2] for item in retention.report["items"]] == [number(50)]
    assert retention.report["items"][0]["cost"] == pytest.approx(6.4)
    assert set(retention.states.values()) == {"skipped"}


def test_a_dry_run_changes_nothing(retention: Retention) -> None:
    retention.params["dry_run"] = True
    retention.a_run()
    assert retention.cloud.writes() == []
    assert retention.report["total"]["actions"]["retire"] == 1


def test_an_unknown_pool_is_refused(retention: Retention) -> None:
    retention.params["pool"] = "smal"
    with pytest.raises(RunConfError, match="name one of small"):
        retention.a_run()


def test_what_nobody_needs_is_marked_and_goes_days_later_with_all_behind_it(retention: Retention) -> None:
    retention.a_run()
    profile = retention.version(50)["properties"]["publishingProfile"]
    assert profile["excludeFromLatest"] is True
    assert datetime.fromisoformat(profile["endOfLifeDate"]) - STAMP > timedelta(days=4, hours=23)
    assert retention.version(50)["tags"]["golden-pools-retired"].endswith("no pool is on it")
    assert retention.version(50)["tags"]["golden-pools-verdict"] == "good"
    retention.a_run(days_later=3)
    assert retention.cloud.writes() == []
    retention.a_run(days_later=3)
    assert retention.errors == {}
    assert retention.left() == {
        "versions": sorted(map(number, DAYS[:4])),
        "images": sorted(map(stem, DAYS[:4])),
        "snapshots": sorted(f"{stem(days)}-os" for days in DAYS[:4]),
    }
    kinds = [line.split("/")[-2] for line in retention.cloud.writes()]
    assert kinds == ["versions", "images", "snapshots"]  # in the order in which one stands on the other
    retention.a_run(days_later=1)
    assert retention.cloud.writes() == []


def test_a_version_that_comes_into_use_again_is_taken_back(retention: Retention) -> None:
    retention.a_run()
    retention.cloud.make_pool(f"{DEFINITION}/versions/{number(50)}", name="back")
    retention.a_run(days_later=9)
    version = retention.version(50)
    assert version["tags"]["golden-pools-retired"] == ""
    assert version["properties"]["publishingProfile"]["excludeFromLatest"] is False
    assert version["properties"]["publishingProfile"].get("endOfLifeDate") is None


def test_a_pool_that_moves_onto_a_version_during_the_run_keeps_it(
    retention: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    retention.a_run()
    retention.virtual.sleep(9 * 86400)
    real = CarryOutOperator._still_due

    def moves_first(self: CarryOutOperator, *arguments: Any) -> Any:
        if self.task_id == "versions":
            retention.cloud.make_pool(f"{DEFINITION}/versions/{number(50)}", name="quick")
        return real(self, *arguments)

    monkeypatch.setattr(CarryOutOperator, "_still_due", moves_first)
    retention.a_run()
    assert number(50) in retention.left()["versions"]
    assert [line for line in retention.cloud.writes() if line.startswith("DELETE")] == []


@pytest.mark.parametrize(
    "path",
    [
        "/pools$",
        "/batchAccounts$",
        "/galleries$",
        "/versions$",
        "/images/providers/Microsoft.Compute/images$",
        "/snapshots$",
    ],
)
def test_a_failed_look_up_stops_everything(retention: Retention, path: str) -> None:
    retention.cloud.fault(
        method="GET", path=path, status=403, code="AuthorizationFailed", count=None,
        message="does not have authorization to perform action 'Microsoft.X/read'",
    )  # fmt: skip
    retention.a_run()
    assert retention.cloud.writes() == []
    assert len(retention.report["unread"]) == 1
    assert set(retention.states.values()) == {"failed"}
    error = retention.errors["mark"]
    assert isinstance(error, AzureRefusedError)
    assert "grant the identity" in error.advice
    assert "AuthorizationFailed" in error.answer


def test_a_look_up_that_is_throttled_is_tried_again_by_itself(retention: Retention) -> None:
    retention.cloud.fault(method="GET", path="/snapshots$", status=503, code="ServerBusy", count=None)
    retention.a_run()
    assert retention.cloud.writes() == []
    assert isinstance(retention.errors["mark"], AzureBusyError)


def test_a_spec_with_faults_stops_everything(retention: Retention, tmp_path: Any) -> None:
    (tmp_path / "broken.yaml").write_text("pool: {}\n", encoding="utf-8")
    retention.a_run()
    assert retention.cloud.writes() == []
    assert set(retention.states.values()) == {"failed"}


def test_what_is_refused_does_not_keep_the_others(retention: Retention, specs: Any) -> None:
    retention.cloud.delete_pool()
    specs(retention.cloud, grace_days=0, keep=1)
    locked = {"status": 409, "code": "ScopeLocked", "message": "a lock stands on it", "count": None}
    retention.cloud.fault(method="DELETE", path=f"/versions/{number(40)}", **locked)
    retention.a_run(days_later=1)
    assert retention.left()["versions"] == sorted(map(number, (1, 40)))
    error = retention.errors["versions"]
    assert error.what == "1 of 4 could not be marked or deleted"
    assert "ScopeLocked" in error.answer
    assert "a lock stands" in error.advice
    assert retention.left()["images"] == sorted(map(stem, (1, 40)))  # its image stays with it


def test_an_end_of_life_that_blocks_the_deletion_is_said(specs: Any) -> None:
    ends = STAMP + timedelta(days=99)
    world = long_ago([1, 20, 30], {}, end_of_life=ends, block_deletion_before_end_of_life=True)
    with virtual_cloud(world) as (cloud, time):
        specs(cloud, grace_days=0, keep=2)
        runs = Retention(cloud, time)
        cloud.fault(method="DELETE", path="/versions/", status=409, code="DeleteGalleryImageVersionBlockedBeforeEndOfLife", message="no")  # fmt: skip # noqa: E501
        runs.a_run()
        runs.a_run(days_later=1)
        assert runs.left()["versions"] == sorted(map(number, (1, 20)))


def test_pitfall_32_a_deletion_is_over_when_the_version_is_gone(retention: Retention, specs: Any) -> None:
    retention.cloud.delete_pool()
    specs(retention.cloud, grace_days=0)
    retention.cloud.configure(compute={"version_delete": "PT2H"})
    retention.a_run(days_later=1)
    assert retention.errors == {}
    lines = retention.cloud.requests()
    image = next(n for n, one in enumerate(lines) if one["method"] == "DELETE" and "/images/small-" in one["url"])
    gone = [n for n, one in enumerate(lines) if f"/versions/{number(50)}" in one["url"] and one["status"] == 404]
    assert gone
    assert gone[0] < image


def moved_on(specs: Any, cloud: Cloud) -> None:
    """Give the spec another gallery than that in which its versions are."""
    cloud.arm("PUT", "resourceGroups/images/providers/Microsoft.Compute/galleries/newer", {"location": "westeurope"})
    specs(cloud, image={"gallery": "newer"})


def test_what_stands_in_a_gallery_that_no_spec_names_any_more_keeps_what_it_came_from(
    retention: Retention, specs: Any
) -> None:
    retention.cloud.delete_pool()
    before = retention.left()
    moved_on(specs, retention.cloud)
    retention.a_run(days_later=9)
    assert retention.cloud.writes() == []
    assert retention.left() == before


def test_a_gallery_that_no_spec_names_and_nobody_may_read_stops_everything(retention: Retention, specs: Any) -> None:
    moved_on(specs, retention.cloud)
    retention.cloud.fault(
        method="GET", path="/golden_gallery/images$", status=403, code="AuthorizationFailed", message="no", count=None
    )
    retention.a_run(days_later=9)
    assert retention.cloud.writes() == []
    assert set(retention.states.values()) == {"failed"}


def test_leftovers_of_a_run_that_goes_on_stay(specs: Any) -> None:
    world = long_ago([1, 20], {})
    with virtual_cloud(world) as (cloud, time):
        specs(cloud)
        for days in (1, 20):
            cloud.arm("DELETE", f"{VERSIONS}/{number(days)}")
        runs = Retention(cloud, time, going_on={"run-20"})
        runs.a_run(days_later=1)
        assert runs.left()["images"] == [stem(20)]
        assert runs.left()["snapshots"] == [f"{stem(20)}-os"]


def killed_worlds(retention: Retention, specs: Any) -> list[BaseOperator]:
    retention.cloud.delete_pool()
    specs(retention.cloud, grace_days=0, keep=1)
    return [task for task in retire_images.dag.tasks if isinstance(task, CarryOutOperator)]


@pytest.mark.parametrize("sent", [True, False])
def test_a_worker_that_is_killed_at_any_write_ends_in_the_same_world(
    retention: Retention, specs: Any, *, sent: bool
) -> None:
    retention.virtual.sleep(3 * 86400)
    tasks = {task.task_id: task for task in killed_worlds(retention, specs)}
    retention.virtual.sleep(3600)
    for name in ("mark", "versions", "images", "snapshots"):
        for write in (1, 2, 3):
            retention.cloud.forget()
            try:
                kill_at_write(retention, tasks[name], write, sent=sent)  # type: ignore[arg-type]
            except (AirflowSkipException, pytest.fail.Exception):
                break  # nothing is left to be written
        for _ in range(2):
            try:
                retention.do(tasks[name])
            except AirflowSkipException:
                break
    assert {kind: len(names) for kind, names in retention.left().items()} == {
        "versions": 1, "images": 1, "snapshots": 1,
    }  # fmt: skip
    assert Counter(retention.left()["versions"]) == {number(1): 1}


def test_two_roles_allow_what_it_does_and_the_second_nothing_else(retention: Retention, specs: Any) -> None:
    retention.cloud.delete_pool()
    specs(retention.cloud, grace_days=0)
    retention.a_run(days_later=1)
    paths = [(entry["method"], httpx.URL(entry["url"]).path) for entry in retention.cloud.requests()]
    needed = {right for method, path in paths if (right := needed_right(method, path))}
    roles = {}
    for name in ("custom-role", "retention-role"):
        role = json.loads((ROOT / "docs" / f"{name}.json").read_text(encoding="utf-8"))
        roles[name] = {action.lower() for action in role["Actions"]}
    of_throwaways = {
        "microsoft.compute/virtualmachines/delete",
        "microsoft.compute/disks/delete",
        "microsoft.compute/restorepointcollections/delete",
        "microsoft.compute/restorepointcollections/restorepoints/delete",
        "microsoft.network/networkinterfaces/delete",
    }
    assert needed - roles["custom-role"] == roles["retention-role"] - roles["custom-role"] - of_throwaways
    assert needed <= roles["custom-role"] | roles["retention-role"]
    assert of_throwaways <= roles["retention-role"]
