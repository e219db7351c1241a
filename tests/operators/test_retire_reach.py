"""How far ``retire_images`` sees: several logins, accounts that a spec names, and runs that Airflow says go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from golden_pools.operators import retire_images

from include.azure_simulator.world import SAMPLE_WORLD, World, WorldFile
from tests.operators.conftest import SPEED, STAMP, Cloud, small_pool
from tests.operators.test_retire_images import (
    DEFINITION,
    GROUP,
    PLACE,
    VERSIONS,
    Retention,
    long_ago,
    number,
    stem,
    tags,
)
from tests.simulator import serve
from tests.virtual_time import virtual_cloud

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.dagrun import DagRun

OTHER = "51a51a51-0000-4000-8000-0000000000ff"
ELSEWHERE = f"/subscriptions/{OTHER}/resourceGroups/farm/providers/Microsoft.Batch/batchAccounts/elsewhere"
KEPT = {"keep": 2, "keep_days": 10, "grace_days": 5, "delete": True}
DAYS = [1, 20, 30, 40, 50]


def on(image: str, name: str = "render") -> dict[str, Any]:
    """Return a pool of a world file."""
    machine = {"nodeAgentSkuId": "batch.node.ubuntu 22.04", "imageReference": {"id": image}}
    return {
        "name": name,
        "properties": {
            "vmSize": "STANDARD_D2S_V5",
            "deploymentConfiguration": {"virtualMachineConfiguration": machine},
            "scaleSettings": {"fixedScale": {"targetDedicatedNodes": 0}},
        },
    }


@pytest.fixture
def write(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write a spec: ``write(cloud, name, connection=..., image={...}, accounts=[...])``."""
    monkeypatch.setenv("GOLDEN_POOLS_DIR", str(tmp_path))

    def spec(
        cloud: Cloud, name: str = "small", *, connection: str = "azure_default", image: Any = None, **retention: Any
    ) -> None:
        data = small_pool(cloud).model_dump(mode="json", exclude_defaults=True)
        data |= {"connection": connection, "retention": {**KEPT, **retention}}
        data["image"] |= image or {}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")

    return spec


# -- two connections ---------------------------------------------------------------------------------------------------


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Serve what a second login sees: ``with second(cloud, change) as other``; ``change`` edits the sample world."""
    from contextlib import contextmanager

    @contextmanager
    def served(cloud: Cloud, change: Callable[[dict[str, Any]], None]) -> Iterator[Cloud]:
        content = yaml.safe_load(SAMPLE_WORLD.read_text(encoding="utf-8"))
        change(content)
        world = World(WorldFile.model_validate(content), clock=cloud.world.clock)
        with serve(world) as url:
            connection = {"conn_type": "azure", "extra": {"arm_endpoint": url}}
            monkeypatch.setenv("AIRFLOW_CONN_AZURE_SECOND", json.dumps(connection))
            yield Cloud(world, url)

    return served


def test_a_pool_that_only_the_second_login_sees_keeps_its_version(write: Any, second: Any) -> None:
    def hidden_account(content: dict[str, Any]) -> None:
        [account] = content["batch"]["accounts"][:1]
        content["batch"]["accounts"].append(
            {**account, "name": "hidden", "pools": [on(f"{DEFINITION}/versions/{number(50)}")]}
        )

    with virtual_cloud(long_ago(DAYS, {})) as (cloud, time), second(cloud, hidden_account):
        write(cloud)
        runs = Retention(cloud, time)
        runs.a_run()
        assert runs.version(50)["tags"]["golden-pools-retired"]  # nobody knows of the account yet
        write(cloud, "yard", connection="azure_second")
        runs.a_run(days_later=9)
        assert runs.errors == {}
        assert runs.version(50)["tags"]["golden-pools-retired"] == ""


def test_what_one_login_may_not_read_another_may(write: Any, second: Any) -> None:
    with virtual_cloud(long_ago(DAYS, {})) as (cloud, time), second(cloud, lambda _: None):
        write(cloud)
        cloud.fault(
            method="GET", path="/goldenbatch/pools$", status=403, code="AuthorizationFailed", message="no", count=None
        )
        runs = Retention(cloud, time)
        runs.a_run()
        assert set(runs.states.values()) == {"failed"}
        write(cloud, "yard", connection="azure_second")
        runs.a_run()
        assert runs.errors == {}
        assert runs.version(50)["tags"]["golden-pools-retired"]


def test_each_spec_s_things_go_with_its_own_login(write: Any, second: Any) -> None:
    name = f"yard-{STAMP - timedelta(days=9):%Y%m%dT%H%M%S}"
    made = {**tags(9), "golden-pools-pool": "yard", "golden-pools-dag": "golden_pool_small"}

    def leftover(content: dict[str, Any]) -> None:
        disk = f"{GROUP}/golden/providers/Microsoft.Compute/disks/golden-vm-os"
        content["compute"]["snapshots"] = [
            {
                "name": f"{name}-os", **PLACE, "resource_group": "golden", "source": disk,
                "created": STAMP - timedelta(days=9), "tags": made,
            }
        ]  # fmt: skip

    with virtual_cloud(long_ago(DAYS, {})) as (cloud, time), second(cloud, leftover) as other:
        cloud.arm("DELETE", f"{VERSIONS}/{number(50)}")
        cloud.arm("DELETE", f"resourceGroups/images/providers/Microsoft.Compute/images/{stem(50)}")
        time.sleep(3600)
        write(cloud)
        write(cloud, "yard", connection="azure_second", image={"resource_group": "golden", "name": "yard"})
        runs = Retention(cloud, time)
        runs.a_run()
        assert runs.errors == {}
        assert [line.rpartition("/")[2] for line in other.writes()] == [f"{name}-os"]
        gone = [line.rpartition("/")[2] for line in cloud.writes() if line.startswith("DELETE")]
        assert gone == [f"{stem(50)}-os"]


# -- retention.accounts ------------------------------------------------------------------------------------------------


def farm(content: dict[str, Any]) -> None:
    groups = [{"name": "farm", "location": "westeurope"}]
    content["subscriptions"].append({"id": OTHER, "display_name": "Farm", "resource_groups": groups})
    [account] = content["batch"]["accounts"][:1]
    pools = [on(f"{DEFINITION}/versions/{number(50)}".upper())]
    content["batch"]["accounts"].append(
        {**account, "subscription": OTHER, "resource_group": "farm", "name": "elsewhere", "pools": pools}
    )


@pytest.mark.parametrize("named", [False, True])
def test_pools_of_an_account_that_a_spec_names_count_in_whatever_subscription(write: Any, *, named: bool) -> None:
    with virtual_cloud(long_ago(DAYS, {}, change=farm)) as (cloud, time):
        write(cloud, accounts=[ELSEWHERE.lower() if named else small_account(cloud)])
        runs = Retention(cloud, time)
        runs.a_run()
        assert runs.errors == {}
        assert ("golden-pools-retired" in runs.version(50)["tags"]) is not named


def test_a_named_account_that_cannot_be_read_stops_everything(write: Any) -> None:
    with virtual_cloud(long_ago(DAYS, {}, change=farm)) as (cloud, time):
        write(cloud, accounts=[ELSEWHERE])
        cloud.fault(
            method="GET", path="/elsewhere/pools$", status=403, code="AuthorizationFailed", message="no", count=None
        )
        runs = Retention(cloud, time)
        runs.a_run()
        assert cloud.writes() == []
        assert set(runs.states.values()) == {"failed"}


def small_account(cloud: Cloud) -> str:
    spec = small_pool(cloud)
    group, name = spec.pool.resource_group, spec.pool.account
    return f"/subscriptions/{cloud.subscription}/resourceGroups/{group}/providers/Microsoft.Batch/batchAccounts/{name}"


# -- what Airflow says -------------------------------------------------------------------------------------------------


@pytest.fixture
def leftovers(write: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Images and snapshots of two runs whose versions are gone; time passes by Azure's clock."""
    world = long_ago([20, 30], {})
    with serve(world) as url:
        connection = {"conn_type": "azure", "extra": {"arm_endpoint": url, "poll_seconds": 1}}
        monkeypatch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", json.dumps(connection))
        monkeypatch.setattr(retire_images, "now", lambda: world.clock.now())
        cloud = Cloud(world, url)
        write(cloud)
        for days in (20, 30):
            cloud.arm("DELETE", f"{VERSIONS}/{number(days)}")
        cloud.control("PATCH", "clock", {"speed": SPEED})
        cloud.advance(hours=1)
        cloud.forget()
        yield cloud


@pytest.mark.parametrize("state", ["running", "queued", "success", "failed"])
def test_airflow_s_own_runs_decide_whether_a_run_goes_on(
    leftovers: Cloud, dag_bag: DagBag, run_dag: Callable[..., DagRun], state: str
) -> None:
    """A run of another id, or of another DAG, is no reason to keep anything."""
    from airflow.models.dagrun import DagRun as Row
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunType

    rows = [
        ("golden_pool_small", "run-20", state),
        ("golden_pool_small", "other", "running"),
        ("x", "run-30", "running"),
    ]
    with create_session() as session:
        for dag_id, run_id, now in rows:
            session.add(Row(dag_id=dag_id, run_id=run_id, state=now, run_type=DagRunType.MANUAL, run_after=STAMP))
    try:
        assert run_dag(dag_bag.dags["retire_images"]).state == "success"
    finally:
        with create_session() as session:
            for dag_id, run_id, _ in rows:
                session.query(Row).filter_by(dag_id=dag_id, run_id=run_id).delete()
    gone = {line.rpartition("/")[2] for line in leftovers.writes() if line.startswith("DELETE")}
    whole = {stem(30), f"{stem(30)}-os"}
    assert gone == (whole if state in ("running", "queued") else {*whole, stem(20), f"{stem(20)}-os"})
