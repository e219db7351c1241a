"""Every source's nights in one real Airflow, side by side; failed builds in a row; retention and the drift watch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import SAMPLE, site_of
from tests.e2e.real_airflow import RealAirflow, postgres
from tests.operators.conftest import DEFINITION, OLD, Cloud
from tests.operators.test_sources import VHD
from tests.rules.test_packer import build, manifest

pytestmark = [pytest.mark.e2e, pytest.mark.services]

CLONED, FROM_VHD, PACKED, WEARY = "cloned", "from-vhd", "packed", "weary"
PREVIEW, FARM = "preview", "farm"
"""Pools that take the image of ``from-vhd``, the second a day after the first."""
EVERY_MINUTE = {"cron": "* * * * *", "timezone": "UTC"}
WEARY_IMAGE = {"definition": "small", "build": {"when": "always", "stop_after_failures": 2}}


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

    def write_follower(self, pool: str, **follow: Any) -> None:
        """Write the spec of a pool that takes the image of ``from-vhd``."""
        self.write(pool)
        path = self.specs / f"{pool}.yaml"
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
        del spec["golden_vm"]
        spec["image"] = {"source": {"follow": {"pool": FROM_VHD, **follow}}}
        path.write_text(yaml.safe_dump(spec), encoding="utf-8")

    def begin(self, pool: str, **conf: Any) -> str:
        """Trigger a run of a pool's DAG."""
        return self.airflow.trigger(dag_of(pool), conf)

    def end(self, pool: str, run: str) -> Night:
        """Wait for the end of a run."""
        dag_id = dag_of(pool)
        state = self.airflow.wait(dag_id, run)
        found = self.airflow.xcom(dag_id, run, "source") if state == "success" else {}
        return Night(run, state, self.airflow.task_states(dag_id, run), found)

    def begin_by_event(self, pool: str) -> str:
        """Wait for the run that an event starts."""
        (run,) = self.airflow.wait_for_scheduled_runs(dag_of(pool), 1, by="asset_triggered")
        return run

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
    month_ago = datetime.now(tz=UTC) - timedelta(days=30)  # by Airflow's clock all is old enough for retention
    schedules = {"AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True"}
    with postgres() as database, site_of(home, database | schedules, start=month_ago) as (airflow, cloud, specs):
        found = Site(airflow, cloud, specs)
        network = f"/subscriptions/{cloud.subscription}/resourceGroups/golden/providers/Microsoft.Network"
        subnet = f"{network}/virtualNetworks/golden-net/subnets/builders"
        found.write(
            CLONED,
            golden_vm={"generalize": "clone", "clone": {"subnet_id": subnet, "vm_size": "Standard_D2s_v5"}},
            canary={"enabled": True},
        )
        found.write(FROM_VHD, source={"vhd": VHD})
        found.write_follower(PREVIEW)
        found.write_follower(FARM, after=[PREVIEW], pause_minutes=24 * 60)
        packers = home / "packer-manifest.json"
        packers.write_text(manifest(build(cloud.make_managed_image("packer-1"))), encoding="utf-8")
        found.write(
            PACKED,
            source={"packer": {"manifest": packers.as_uri()}},
            retention={"keep": 1, "keep_days": 0, "rollback_depth": 0},
        )
        tags = {"golden-pools-pool": WEARY, "golden-pools-run": "manual__1", "golden-pools-verdict": "good"}
        cloud.make_version(OLD, **tags)
        found.write(WEARY, image=WEARY_IMAGE, schedule=EVERY_MINUTE)
        (specs / SAMPLE.name).unlink()
        cloud.fault(method="PUT", path=f"/snapshots/{WEARY}-", status=403, code="AuthorizationFailed", count=None)
        with airflow:
            yield found


@dataclass(frozen=True)
class Story:
    """What came of all nights.

    :param preview: what the event of the image of ``from-vhd`` has started
    :param farm: what the event of the pool ``preview`` has started; its pause is cut short by a person
    :param packed: nights of Packer's pool: the first, one where nothing changed, one with ``force_rebuild``
    :param scheduled: the first three nights of the weary pool
    :param by_hand: the run of the weary pool that somebody triggers once its builds no longer fail
    :param afterwards: what its next scheduled run found of the source
    """

    cloned: Night
    from_vhd: Night
    preview: Night
    farm: Night
    packed: tuple[Night, Night, Night]
    scheduled: list[Night]
    by_hand: Night
    afterwards: dict[str, Any]


@pytest.fixture(scope="module")
def story(site: Site) -> Story:
    """Let all nights go on side by side."""
    airflow, weary = site.airflow, dag_of(WEARY)
    for pool in (WEARY, PREVIEW, FARM):
        airflow.wait_for_dag(dag_of(pool))
        airflow.unpause(dag_of(pool))
    first, cloned, from_vhd = (site.begin(pool) for pool in (PACKED, CLONED, FROM_VHD))
    packed = site.end(PACKED, first)
    unchanged = site.begin(PACKED)
    scheduled = airflow.wait_for_scheduled_runs(weary, 3)
    site.write(WEARY, image=WEARY_IMAGE)  # without a schedule for now: no more nights are needed than these
    airflow.parse(weary)
    packed_again = site.end(PACKED, unchanged)
    forced = site.begin(PACKED, force_rebuild=True)
    stopped = [site.end(WEARY, run) for run in scheduled]
    site.cloud.control("DELETE", "faults")
    by_hand_run = site.begin(WEARY)
    site.write(WEARY, image=WEARY_IMAGE, schedule=EVERY_MINUTE)
    airflow.parse(weary)
    by_hand = site.end(WEARY, by_hand_run)
    so_far = len(airflow.scheduled_runs(weary))
    after = airflow.wait_for_scheduled_runs(weary, so_far + 1)[-1]
    airflow.wait_for_task(weary, after, "source")
    airflow.pause(weary)  # nothing more of it is scheduled, the rest of this run neither
    preview = site.end(PREVIEW, site.begin_by_event(PREVIEW))
    farm = site.begin_by_event(FARM)
    airflow.wait_for_task(dag_of(FARM), farm, "wave", states={"deferred"})
    airflow.mark_as_success(dag_of(FARM), farm, "wave")
    return Story(
        cloned=site.end(CLONED, cloned),
        from_vhd=site.end(FROM_VHD, from_vhd),
        preview=preview,
        farm=site.end(FARM, farm),
        packed=(packed, packed_again, site.end(PACKED, forced)),
        scheduled=stopped,
        by_hand=by_hand,
        afterwards=airflow.xcom(weary, after, "source"),
    )


def version_of(site: Site, pool: str) -> str:
    """Return the version that all nodes of a pool run on."""
    (version,) = {image.rpartition("/")[2] for image in site.cloud.node_images(pool)}
    return version


def test_a_clone_is_generalized_and_goes(site: Site, story: Story) -> None:
    night = story.cloned
    assert night.state == "success", night.states
    left_running = {"start_golden_vm": "skipped"}
    assert night.image == dict.fromkeys(night.image, "success") | left_running
    assert {"clone_vm", "generalize_clone", "remove_clone"} <= night.image.keys()
    assert night.states["canary.probe"] == "success"
    (machine,) = site.cloud.world.compute.machines
    assert (machine.rid.name, machine.generalized) == ("golden-vm", False)
    assert "is flagged as generalized" in site.log(CLONED, night, "image.generalize_clone")


def test_a_vhd_becomes_a_version(site: Site, story: Story) -> None:
    assert story.from_vhd.state == "success", story.from_vhd.states
    assert story.from_vhd.image == {"managed_image": "success", "publish": "success"}
    assert len(site.cloud.node_images(FROM_VHD)) == 1


def test_a_new_image_goes_through_the_pools_in_waves(site: Site, story: Story) -> None:
    """Events of Airflow's assets start each of them, and tell them who is on what."""
    for pool, night in ((PREVIEW, story.preview), (FARM, story.farm)):
        assert night.state == "success", night.states
        assert night.states["wave"] == "success"
        assert night.states["canary.pool"] == "skipped"
        assert version_of(site, pool) == version_of(site, FROM_VHD)
    assert "is taken at" not in site.log(PREVIEW, story.preview, "wave")
    assert "is taken at" in site.log(FARM, story.farm, "wave")
    assert "preview is on" in site.log(FARM, story.farm, "source")


def test_packers_managed_image_becomes_a_version(story: Story) -> None:
    first, *_ = story.packed
    assert first.state == "success", first.states
    assert first.image == {"managed_image": "skipped", "publish": "success"}


def test_an_unchanged_source_is_not_built_again(site: Site, story: Story) -> None:
    _, unchanged, _ = story.packed
    assert unchanged.state == "success", unchanged.states
    assert set(unchanged.image.values()) == {"skipped"}
    assert unchanged.states["pool.nodes"] == "success"
    assert "unchanged since version" in site.log(PACKED, unchanged, "source")


def test_force_rebuild_builds_all_the_same(site: Site, story: Story) -> None:
    _, unchanged, forced = story.packed
    assert forced.state == "success", forced.states
    assert forced.image["publish"] == "success"
    assert version_of(site, PACKED) != unchanged.source["version_id"].rpartition("/")[2]


def test_two_failed_builds_stop_the_scheduled_ones(story: Story) -> None:
    *failed, stopped = story.scheduled
    assert [night.states["image.snapshot"] for night in failed] == ["failed"] * 2
    assert stopped.state == "success", stopped.states
    assert set(stopped.image.values()) == {"skipped"}
    assert stopped.source["version_id"].endswith(f"{DEFINITION}/versions/{OLD}")


def test_it_is_said_loudly_that_builds_are_stopped(site: Site, story: Story) -> None:
    log, preflight = (site.log(WEARY, story.scheduled[-1], task) for task in ("source", "preflight"))
    assert "2 builds in a row have failed" in log
    assert "source-warning" in preflight


def test_a_run_by_hand_that_succeeds_lets_the_nights_build_again(story: Story) -> None:
    assert story.by_hand.state == "success", story.by_hand.states
    assert story.by_hand.image["publish"] == "success"
    assert story.afterwards["builds"]


def test_retention_reports_what_may_go(site: Site, story: Story) -> None:
    """The version of the first night of Packer's pool is needed by nobody."""
    run = site.airflow.trigger("retire_images")
    assert site.airflow.wait("retire_images", run) == "success", site.airflow.task_states("retire_images", run)
    first = story.packed[1].source["version_id"]
    (item,) = event_of(site, "golden-pools/retention", run)["items"]
    assert (item["action"], item["kind"], item["id"].casefold()) == ("retire", "image version", first.casefold())
    log = site.airflow.log("retire_images", run, "report")
    number = re.escape(first.rpartition("/")[2])
    assert re.search(rf"^retire +image version +\S*{number} +{PACKED} .*newer ones are good", log, re.MULTILINE), log
    assert re.search(rf"^{PACKED} +\d+ +0 +1 +0 +0 ", log, re.MULTILINE), log


def test_the_watch_tells_what_has_drifted(site: Site, story: Story) -> None:
    """A pool of which no spec knows."""
    del story
    site.cloud.make_pool(site.cloud.image_of(FROM_VHD), name="stray")
    run = site.airflow.trigger("watch_pools")
    assert site.airflow.wait("watch_pools", run) == "success", site.airflow.task_states("watch_pools", run)
    told = [event for event in events_of(site, "golden-pools/watch") if event["extra"]["new"]]
    (event,) = told  # of this run, or of the hourly one that begins just then
    assert event["extra"]["unknown"] == {}
    assert [finding["check"] for finding in event["extra"]["new"]] == ["pool_without_spec"]
    assert "pool_without_spec" in site.airflow.log("watch_pools", run, "look")
    assert "stray" in site.airflow.log("watch_pools", event["source_run_id"], "alert")


def events_of(site: Site, asset: str) -> list[dict[str, Any]]:
    """Return the events of an asset."""
    events = site.airflow.get("assets/events", limit=100, order_by="-timestamp")["asset_events"]
    return [event for event in events if event["name"] == asset]


def event_of(site: Site, asset: str, run: str) -> dict[str, Any]:
    """Return the extra of an asset's event in a run."""
    (event,) = [event for event in events_of(site, asset) if event["source_run_id"] == run]
    return dict(event["extra"])
