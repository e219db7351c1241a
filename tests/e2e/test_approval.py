"""Approval before a pool moves, in a real Airflow: asked, approved, rejected, asked again, and never answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from tests.e2e.conftest import DAG_ID, site_of
from tests.e2e.real_airflow import PAST, RealAirflow
from tests.operators.conftest import DEFINITION, OLD, Cloud

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Site:
    """An Airflow, and an Azure with a pool of two nodes that moves only when a person approves."""

    airflow: RealAirflow
    cloud: Cloud
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def make_version(self) -> str:
        """Make a version that nobody has tried."""
        name = f"2026.1121.{next(self.numbers)}"
        self.cloud.make_version(name)
        return name

    def ask(self, version: str) -> str:
        """Trigger a run onto a version, and wait until it asks; returns its id."""
        run = self.airflow.trigger(DAG_ID, {"image_version": version})
        self.wait_for_question(run)
        return run

    def wait_for_question(self, run: str) -> None:
        self.airflow.wait_for_question(DAG_ID, run, "approve")

    def answer(self, run: str, option: str) -> str:
        """Answer a run's question, and wait for the run's end; returns its state."""
        self.airflow.answer(DAG_ID, run, "approve", option)
        return self.wait(run)

    def wait(self, run: str) -> str:
        return self.airflow.wait(DAG_ID, run)

    def image(self) -> str:
        return self.cloud.image_of().rpartition("/")[2]

    def version(self, name: str) -> dict[str, Any]:
        return self.cloud.arm("GET", f"{DEFINITION}/versions/{name}")

    def let_time_be_over(self, run: str) -> None:
        """Let the time for an answer be over, which is minutes at least: what the scheduler goes by is put back."""
        self.airflow.update(
            "UPDATE task_instance SET trigger_timeout = ? WHERE run_id = ? AND task_id = 'approve'", PAST, run
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("approval")
    with site_of(home) as (airflow, cloud, specs):
        cloud.make_pool(cloud.make_version(OLD, **{"golden-pools-verdict": "good"}), dedicated=2)
        spec = specs / "small.yaml"
        spec.write_text(f"{spec.read_text(encoding='utf-8')}\nrefresh:\n  approve: true\n", encoding="utf-8")
        with airflow:
            yield Site(airflow, cloud)


def states(site: Site, run: str) -> dict[str, str | None]:
    """Return the states of the tasks that put the pool on a version, and of those of a rollback."""
    found = site.airflow.task_states(DAG_ID, run)
    return {name: state for name, state in found.items() if name.partition(".")[0] in ("pool", "rollback")}


def test_a_rejected_pool_stays_and_the_run_succeeds(site: Site) -> None:
    before, version = site.image(), site.make_version()
    run = site.ask(version)
    question = site.airflow.question(DAG_ID, run, "approve")
    assert question["subject"] == f"version small/{version} wants to be approved"
    assert "default-node-agent" in question["body"]
    assert question["defaults"] == ["Reject"]

    assert site.answer(run, "Reject") == "success"

    assert set(states(site, run).values()) == {"skipped"}
    assert site.image() == before
    assert "golden-pools-verdict" not in site.version(version).get("tags", {})
    assert site.airflow.xcom(DAG_ID, run, "approve")["by"] == "admin"
    assert "Rejected by admin" in site.airflow.log(DAG_ID, run, "approve")


def test_after_a_clear_the_question_is_asked_anew_and_the_pool_moves(site: Site) -> None:
    version = site.make_version()
    run = site.ask(version)
    assert site.answer(run, "Reject") == "success"
    site.airflow.clear(DAG_ID, run, "approve", *states(site, run), "replicate")
    site.wait_for_question(run)

    assert site.answer(run, "Approve") == "success", site.airflow.task_states(DAG_ID, run)

    assert site.image() == version
    (answer,) = site.airflow.xcom(DAG_ID, run, "pool.record")["approvals"]
    assert (answer["answer"], answer["by"]) == ("approved", "admin")


def test_nobody_is_asked_where_the_pool_is_on_the_version(site: Site) -> None:
    run = site.airflow.trigger(DAG_ID, {"image_version": site.image(), "dedicated": 1})
    assert site.wait(run) == "success"
    assert site.airflow.task_states(DAG_ID, run)["approve"] == "skipped"
    assert states(site, run)["pool.resize"] == "success"


def test_without_an_answer_the_default_holds(site: Site) -> None:
    there, run = site.image(), site.ask(site.make_version())
    site.let_time_be_over(run)
    assert site.wait(run) == "success"
    assert set(states(site, run).values()) == {"skipped"}
    assert site.image() == there
    assert "Rejected by default: nobody answered in time" in site.airflow.log(DAG_ID, run, "approve")
