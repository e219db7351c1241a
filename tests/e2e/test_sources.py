"""Every source's nights in one real Airflow, side by side; failed builds in a row; retention and the drift watch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import SAMPLE, site_of
from tests.e2e.real_airflow import RealAirflow
from tests.operators.conftest import DEFINITION, OLD, Cloud
from tests.operators.test_sources import VHD
from tests.rules.test_packer import build, manifest

pytestmark = pytest.mark.e2e

CLONED, FROM_VHD, PACKED, WEARY = "cloned", "from-vhd", "packed", "weary"
PATIENCE_SECONDS = 400
EVERY_MINUTE = {"cron": "* * * * *", "timezone": "UTC"}


@dataclass(frozen=True)
class Site:
    """An Airflow, its pool specs, and an Azure."""

    airflow: RealAirflow
    cloud: Cloud
    specs: Path

    def write(self, pool: str, *, source: Mapping[str, Any] | None = None, **parts: Mapping[str, Any]) -> None:
        """Write the sample as the spec of another pool, of one node and without a canary.

        :param source: what its image is made from, if not from the golden VM, which is left running here
        :param parts: fields of its parts
        """
        spec = yaml.safe_load(SAMPLE.read_text(encoding="utf-8"))
        spec["schedule"] = None
        spec["golden_vm"]["capture"] = "running"
        spec["image"]["definition"] = pool
        spec["pool"]["targets"] = {"dedicated": 1}
        spec["canary"] = {"enabled": False}
        if source:
            del spec["golden_vm"]
            spec["image"]["source"] = source
        for part, fields in parts.items():
            spec[part] = {**(spec.get(part) or {}), **fields}
        (self.specs / f"{pool}.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")

    def begin(self, pool: str, **conf: Any) -> str:
        """Trigger a run of a pool's DAG."""
        return self.airflow.trigger(dag_of(pool), conf)

    def end(self, pool: str, run: str) -> Night:
        """Wait for the end of a run."""
        dag_id = dag_of(pool)
        state = self.airflow.wait(dag_id, run, timeout_seconds=PATIENCE_SECONDS)
        found = self.airflow.xcom(dag_id, run, "source") if state == "success" else {}
        return Night(run, state, self.airflow.task_states(dag_id, run), found)

    def log(self, pool: str, night: Night, task_id: str) -> str:
        """Return the log of a task."""
        return self.airflow.log(dag_of(pool), night.run, task_id)


@dataclass(frozen=True)
class Night:
    """How a run ended.

    :param states: by task id
    :param source: what the task ``source`` found
    """

    run: str
    state: str
    states: dict[str, str | None]
    source: dict[str, Any]

    @property
    def image(self) -> dict[str, str | None]:
        """The states of the image group, by their names in it."""
        return {name.removeprefix("image."): state for name, state in self.states.items() if name.startswith("image.")}


def dag_of(pool: str) -> str:
    return f"golden_pool_{pool}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start all of it, with a pool per source and one whose builds fail every minute."""
    home = tmp_path_factory.mktemp("sources")
    with site_of(home) as (airflow, cloud, specs):
        found = Site(airflow, cloud, specs)
        network = f"/subscriptions/{cloud.subscription}/resourceGroups/golden/providers/Microsoft.Network"
        subnet = f"{network}/virtualNetworks/golden-net/subnets/builders"
        found.write(
            CLONED,
            golden_vm={"generalize": "clone", "clone": {"subnet_id": subnet, "vm_size": "Standard_D2s_v5"}},
            canary={"enabled": True},
        )
        found.write(FROM_VHD, source={"vhd": VHD})
        packers = home / "packer-manifest.json"
        packers.write_text(manifest(build(cloud.make_managed_image("packer-1"))), encoding="utf-8")
        found.write(PACKED, source={"packer": {"manifest": packers.as_uri()}})
        tags = {"golden-pools-pool": WEARY, "golden-pools-run": "manual__1", "golden-pools-verdict": "good"}
        cloud.make_version(OLD, **tags)
        builds = {"when": "always", "stop_after_failures": 2}
        found.write(WEARY, image={"definition": "small", "build": builds}, schedule=EVERY_MINUTE)
        (specs / SAMPLE.name).unlink()
        cloud.fault(method="PUT", path=f"/snapshots/{WEARY}-", status=403, code="AuthorizationFailed", count=None)
        with airflow:
            yield found


@pytest.fixture(scope="module")
def nights(site: Site) -> dict[str, Night]:
    """A first night of every source, all at once; meanwhile the scheduler makes nights of the weary pool."""
    site.airflow.wait_for_dag(dag_of(WEARY))
    site.airflow.unpause(dag_of(WEARY))
    runs = {pool: site.begin(pool) for pool in (CLONED, FROM_VHD, PACKED)}
    return {pool: site.end(pool, run) for pool, run in runs.items()}


@pytest.fixture(scope="module")
def scheduled(site: Site, nights: dict[str, Night]) -> list[Night]:
    """The first three scheduled nights of the weary pool."""
    found = site.airflow.wait_for_scheduled_runs(dag_of(WEARY), 3)
    site.airflow.pause(dag_of(WEARY))
    return [site.end(WEARY, run) for run in found]


@pytest.fixture(scope="module")
def again(site: Site, nights: dict[str, Night]) -> Night:
    """A second night of Packer's pool."""
    return site.end(PACKED, site.begin(PACKED))


@pytest.fixture(scope="module")
def forced(site: Site, again: Night) -> Night:
    """A third one, for which somebody asks for an image."""
    return site.end(PACKED, site.begin(PACKED, force_rebuild=True))


def version_of(site: Site, pool: str) -> str:
    """Return the version that all nodes of a pool run on."""
    (version,) = {image.rpartition("/")[2] for image in site.cloud.node_images(pool)}
    return version


def test_a_clone_is_generalized_and_goes(site: Site, nights: dict[str, Night]) -> None:
    night = nights[CLONED]
    assert night.state == "success", night.states
    left_running = {"stop_golden_vm": "skipped", "start_golden_vm": "skipped"}
    assert night.image == dict.fromkeys(night.image, "success") | left_running
    assert {"clone_vm", "generalize_clone", "remove_clone"} <= night.image.keys()
    assert night.states["canary.probe"] == "success"
    world = site.cloud.world
    assert [machine.rid.name for machine in world.compute.machines] == ["golden-vm"]
    assert not next(iter(world.compute.machines)).generalized
    assert "waagent" in site.log(CLONED, night, "image.generalize_clone")


def test_a_vhd_becomes_a_version(site: Site, nights: dict[str, Night]) -> None:
    night = nights[FROM_VHD]
    assert night.state == "success", night.states
    assert night.image == {"managed_image": "success", "publish": "success"}
    assert len(site.cloud.node_images(FROM_VHD)) == 1


def test_packers_managed_image_becomes_a_version(nights: dict[str, Night]) -> None:
    night = nights[PACKED]
    assert night.state == "success", night.states
    assert night.image == {"managed_image": "skipped", "publish": "success"}


def test_an_unchanged_source_is_not_built_again(site: Site, again: Night) -> None:
    assert again.state == "success", again.states
    assert set(again.image.values()) == {"skipped"}
    assert again.states["pool.nodes"] == "success"
    assert "unchanged since version" in site.log(PACKED, again, "source")


def test_force_rebuild_builds_all_the_same(site: Site, again: Night, forced: Night) -> None:
    assert forced.state == "success", forced.states
    assert forced.image["publish"] == "success"
    assert version_of(site, PACKED) != again.source["version_id"].rpartition("/")[2]


def test_two_failed_builds_stop_the_scheduled_ones(site: Site, scheduled: list[Night]) -> None:
    *failed, stopped = scheduled
    assert [night.states["image.snapshot"] for night in failed] == ["failed"] * 2
    assert stopped.state == "success", stopped.states
    assert set(stopped.image.values()) == {"skipped"}
    assert stopped.source["version_id"].endswith(f"{DEFINITION}/versions/{OLD}")
    assert version_of(site, WEARY) == OLD


def test_it_is_said_loudly_that_builds_are_stopped(site: Site, scheduled: list[Night]) -> None:
    log, preflight = (site.log(WEARY, scheduled[-1], task) for task in ("source", "preflight"))
    assert "2 builds in a row have failed" in log
    assert "source-warning" in preflight


def test_a_run_by_hand_that_succeeds_lets_the_nights_build_again(site: Site, scheduled: list[Night]) -> None:
    site.cloud.control("DELETE", "faults")
    by_hand = site.end(WEARY, site.begin(WEARY))
    assert by_hand.state == "success", by_hand.states
    assert by_hand.image["publish"] == "success"
    before = site.airflow.scheduled_runs(dag_of(WEARY))
    *_, after = site.airflow.wait_for_scheduled_runs(dag_of(WEARY), len(before) + 1)
    site.airflow.wait_for_task(dag_of(WEARY), after, "source", states={"success"}, timeout_seconds=120)
    site.airflow.pause(dag_of(WEARY))
    assert site.airflow.xcom(dag_of(WEARY), after, "source")["builds"]


def test_retention_reports_what_may_go(site: Site, forced: Night) -> None:
    del forced  # has made versions that are looked at
    run = site.airflow.trigger("retire_images")
    assert site.airflow.wait("retire_images", run) == "success", site.airflow.task_states("retire_images", run)
    log = site.airflow.log("retire_images", run, "report")
    event = event_of(site, "golden-pools/retention", run)
    print(log, event)


def test_the_watch_tells_what_has_drifted(site: Site, forced: Night) -> None:
    del forced
    run = site.airflow.trigger("watch_pools")
    assert site.airflow.wait("watch_pools", run) == "success", site.airflow.task_states("watch_pools", run)
    event = event_of(site, "golden-pools/watch", run)
    print(site.airflow.log("watch_pools", run, "look"), site.airflow.log("watch_pools", run, "alert"), event)


def event_of(site: Site, asset: str, run: str) -> dict[str, Any]:
    """Return the extra of an asset's event in a run."""
    events = site.airflow.get("assets/events", name_pattern=asset)["asset_events"]
    (event,) = [event for event in events if event["source_run_id"] == run]
    return dict(event["extra"])
