"""Bad images and ways back in a real Airflow: the canary, rollback, blue/green, its soak, and going back by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import DAG_ID, GONE_WELL, site_of
from tests.e2e.graph import PICTURES, graph_of, node, take_picture
from tests.e2e.real_airflow import RealAirflow
from tests.operators.conftest import DEFINITION, NEW, OLD, Cloud

pytestmark = pytest.mark.e2e

SMALL, RING, RING_DAG = "small", "ring", "golden_pool_ring"
"""The sample, which is refreshed in place, and a pool that is refreshed by ``blue_green``."""

SECOND = "ring-2026-1121-20005"
"""The pool that carries the version ``NEW`` beside ``ring``."""

RETIRE_DAG = "retire_former_pools"
GOOD = {"golden-pools-verdict": "good"}


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and what there was then.

    :param states: by task id
    :param roles: of the pools, by id; None where a pool says nothing
    :param nodes: ids of the nodes that take work, by pool
    :param job: pool and state of the job ``work``
    :param verdict: tags of the version ``NEW``
    """

    run: str
    state: str
    states: dict[str, str | None]
    roles: dict[str, str | None]
    nodes: dict[str, set[str]]
    job: tuple[str, str]
    verdict: dict[str, str]

    def of_group(self, group: str) -> dict[str, str | None]:
        """Return the states of a group's tasks, by their names in it."""
        return {name.partition(".")[2]: state for name, state in self.states.items() if name.startswith(f"{group}.")}


@dataclass(frozen=True)
class Site:
    """An Airflow, its pool specs, and an Azure with two pools of two nodes on the version ``OLD``."""

    airflow: RealAirflow
    cloud: Cloud
    specs: Path
    versions: dict[str, str]
    """ARM ids by name."""

    def write_ring(self, *, soak_minutes: int) -> None:
        """Write the spec of the blue/green pool."""
        small = (self.specs / f"{SMALL}.yaml").read_text(encoding="utf-8")
        refresh = f"\nrefresh:\n  strategy: blue_green\n  soak_minutes: {soak_minutes}\n"
        ring = small.replace("definition: small", "definition: ring") + refresh
        (self.specs / f"{RING}.yaml").write_text(ring, encoding="utf-8")

    def run(self, dag_id: str, **conf: Any) -> Outcome:
        """Trigger a run, wait for its end, and look."""
        run = self.airflow.trigger(dag_id, conf)
        state = self.airflow.wait(dag_id, run)
        pools = self.cloud.pools()
        return Outcome(
            run,
            state,
            self.airflow.task_states(dag_id, run),
            roles={pool: self.cloud.marks(pool).get("golden_pools_role") for pool in pools},
            nodes={pool: self.nodes(pool) for pool in pools},
            job=self.cloud.job(),
            verdict=self.cloud.arm("GET", f"{DEFINITION}/versions/{NEW}").get("tags", {}),
        )

    def nodes(self, pool: str) -> set[str]:
        """Return the ids of a pool's nodes that take work."""
        nodes = self.cloud.plane("GET", f"/pools/{pool}/nodes")["value"]
        return {node["id"] for node in nodes if node["state"] in ("idle", "running")}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start all of it; a job is bound to the pool ``ring``, and the version ``NEW`` has not been tried."""
    with site_of(tmp_path_factory.mktemp("rollback")) as (airflow, cloud, specs):
        versions = {OLD: cloud.make_version(OLD, **GOOD), NEW: cloud.make_version(NEW)}
        for pool in (SMALL, RING):
            cloud.make_pool(versions[OLD], name=pool, dedicated=2)
        cloud.make_job(pool=RING)
        found = Site(airflow, cloud, specs, versions)
        found.write_ring(soak_minutes=60)
        with airflow:
            yield found


@pytest.fixture(scope="module")
def refused(site: Site) -> Outcome:
    """A run whose canary shows that the image is bad."""
    site.cloud.command(pool="canary-*", kind="task", count=None, exit_code=1, stderr="no such disk\n")
    try:
        return site.run(RING_DAG, image_version=site.versions[NEW])
    finally:
        site.cloud.control("DELETE", "commands")


@pytest.fixture(scope="module")
def switched(site: Site, refused: Outcome) -> Outcome:
    """A run that a person forces onto the same version: this time nothing is wrong with its nodes."""
    return site.run(RING_DAG, image_version=site.versions[NEW], force=True)


@pytest.fixture(scope="module")
def taken_back(site: Site, switched: Outcome) -> Outcome:
    """A run that goes back by hand during the soak; the pool that it leaves soaks for a minute only."""
    site.airflow.wait_for_task(RETIRE_DAG, _retirement(site, switched), "plan", states={"success"})
    site.write_ring(soak_minutes=1)
    return site.run(RING_DAG, image_version=site.versions[OLD])


@pytest.fixture(scope="module")
def rolled_back(site: Site) -> Outcome:
    """A nightly run of ``small`` whose start task fails on both new nodes, after it went well on the canary's."""
    site.cloud.command(pool=SMALL, kind="starttask", count=2, exit_code=2, stderr="no such share\n")
    return site.run(DAG_ID)


def test_the_canary_stops_a_bad_image_before_any_pool_is_touched(site: Site, refused: Outcome) -> None:
    assert refused.state == "failed"
    assert refused.of_group("canary") == {
        "pool": "success",
        "probe": "failed",
        "mark_bad": "success",
        "remove": "success",
    }
    assert set(refused.of_group("pool").values()) == {"upstream_failed"}
    assert set(refused.of_group("rollback").values()) == {"skipped"}
    assert refused.roles == {SMALL: None, RING: None}
    assert refused.job == (RING, "active")
    assert "no such disk" in site.airflow.log(RING_DAG, refused.run, "canary.probe")


def test_what_the_canary_found_stands_on_the_version(refused: Outcome) -> None:
    assert refused.verdict["golden-pools-verdict"] == "bad"
    assert "default-temp-drive: exit code 1 instead of 0" in refused.verdict["golden-pools-why"]


def test_blue_green_switches_to_a_second_pool_with_the_job_and_the_alias(
    site: Site, switched: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {name: "skipped" if name.startswith("image.") else state for name, state in GONE_WELL.items()}
    # The version is somebody else's, and so are its regions.
    assert switched.states == {**expected, "replicate": "skipped", "pool.retire": "success"}
    assert switched.roles == {SMALL: None, RING: "former", SECOND: "current"}
    assert len(switched.nodes[SECOND]) == 2
    assert switched.job == (SECOND, "active")
    assert switched.verdict["golden-pools-verdict"] == "good"
    events = {
        event["source_task_id"]: event["extra"]
        for event in site.airflow.get("assets/events")["asset_events"]
        if event["source_run_id"] == switched.run
    }
    assert set(events) == {"pool.record", "pool.announce"}
    assert events["pool.record"]["pools"][-1]["name"] == SECOND


def test_going_back_during_the_soak_takes_the_old_pool_with_its_nodes(switched: Outcome, taken_back: Outcome) -> None:
    assert taken_back.state == "success"
    assert taken_back.of_group("canary")["pool"] == "skipped"  # the version has proved good
    assert taken_back.roles == {SMALL: None, RING: "current", SECOND: "former"}
    assert taken_back.nodes[RING] == switched.nodes[RING] != set()
    assert taken_back.job == (RING, "active")


def test_a_refresh_whose_nodes_fail_puts_the_pool_back(site: Site, rolled_back: Outcome) -> None:
    assert rolled_back.state == "failed"
    assert rolled_back.states["canary.probe"] == "success"
    assert rolled_back.states["pool.nodes"] == "failed"
    assert rolled_back.of_group("rollback") == {
        "mark_bad": "success",
        "restore": "success",
        "resize": "success",
        "report": "failed",
    }
    assert site.cloud.node_images(SMALL) == [site.versions[OLD]] * 2
    assert len(rolled_back.nodes[SMALL]) == 2


def test_the_report_says_what_was_rolled_back_to_what_and_why(site: Site, rolled_back: Outcome) -> None:
    new = site.airflow.xcom(DAG_ID, rolled_back.run, "image.publish")["version"]
    tags = site.cloud.arm("GET", f"{DEFINITION}/versions/{new}")["tags"]
    report, nodes = (site.airflow.log(DAG_ID, rolled_back.run, task) for task in ("rollback.report", "pool.nodes"))
    assert f"Pool small has been rolled back to {OLD}, away from {new}" in report
    assert tags["golden-pools-verdict"] == "bad"
    for text in (report, tags["golden-pools-why"]):
        assert "2 starttaskfailed" in text
    assert "no such share" in nodes


@pytest.mark.browser
def test_the_graph_shows_the_way_back_as_a_branch(
    chromium: str, site: Site, rolled_back: Outcome, tmp_path: Path
) -> None:
    with graph_of(chromium, site.airflow, DAG_ID, rolled_back.run) as page:
        assert "failed" in page.locator(node("rollback.report")).inner_text()
        assert "success" in page.locator(node("rollback.restore")).inner_text()
        take_picture(page, ["pool", "rollback"], Path(PICTURES or tmp_path) / "rollback.png")


def test_after_its_soak_the_former_pool_is_gone(site: Site, switched: Outcome, taken_back: Outcome) -> None:
    first, second = (_retirement(site, outcome) for outcome in (switched, taken_back))
    assert site.airflow.wait(RETIRE_DAG, second) == "success"
    assert site.airflow.xcom(RETIRE_DAG, second, "retire") == {"retired": [SECOND], "left": {}}
    assert set(site.cloud.pools()) == {SMALL, RING}
    assert site.airflow.run_state(RETIRE_DAG, first) == "running"  # soaks for an hour


def _retirement(site: Site, outcome: Outcome) -> str:
    """Return the id of the run that a switch has started."""
    return str(site.airflow.xcom(RING_DAG, outcome.run, "pool.retire", key="trigger_run_id"))
