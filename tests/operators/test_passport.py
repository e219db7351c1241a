"""Stage ``record``: the version is good now, ``latest`` may mean it, and the passport says what was seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import Asset
from golden_pools.errors import AzureRefusedError
from golden_pools.operators.announce import AnnounceImageOperator
from golden_pools.operators.passport import RecordPassportOperator
from golden_pools.rules.plan import ImageVerdict, verdict_tags
from golden_pools.spec.model import PoolSpec

from tests.operators.conftest import DEFINITION, NEW, Cloud, Run

PROBES = [{"probe": "default-temp-drive", "outcome": "passed", "seen": "exit code 0"}]


def announce() -> AnnounceImageOperator:
    return AnnounceImageOperator(task_id="announce", record_task_id="record", asset=Asset(name="image"))


def record() -> RecordPassportOperator:
    return RecordPassportOperator(
        task_id="record",
        publish_task_id="publish",
        refresh_task_id="refresh",
        nodes_task_id="nodes",
        probe_task_ids=["canary.probe", "pool.probe"],
        asset=Asset(name="pool"),
    )


@pytest.fixture
def make_run(cloud: Cloud, spec: PoolSpec) -> Callable[..., Run]:
    """Make a run that has brought the pool onto a version; keyword arguments are the version's tags."""

    def make(*, excluded: bool = True, **tags: str) -> Run:
        cloud.make_version(NEW, **tags)
        profile = {"targetRegions": [{"name": "westeurope", "regionalReplicaCount": 1}], "excludeFromLatest": excluded}
        source = cloud.arm("GET", f"{DEFINITION}/versions/{NEW}")["properties"]["storageProfile"]
        marks = {"properties": {"publishingProfile": profile, "storageProfile": source}}
        cloud.arm("PATCH", f"{DEFINITION}/versions/{NEW}", marks)
        cloud.advance(hours=1)
        cloud.forget()
        run = Run(spec, conf={"image_version": NEW})
        run.xcoms |= {
            "preflight": {"findings": []},
            "refresh": {"action": "refreshed", "pool": "small-b", "image_before": "old", "targets": None},
            "nodes": {"pool": "small-b", "dedicated": 3, "spot": 0},
            "canary.probe": {"pool": "canary-1", "probes": PROBES},
        }
        return run

    return make


def version(cloud: Cloud) -> tuple[dict[str, str], bool]:
    found = cloud.arm("GET", f"{DEFINITION}/versions/{NEW}")
    return found.get("tags", {}), bool(found["properties"]["publishingProfile"].get("excludeFromLatest"))


def test_a_version_of_ours_is_marked_good_and_then_may_be_latest(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run(**{"golden-pools-run": "manual__1"})
    run.do(record())
    tags, excluded = version(cloud)
    assert excluded
    run.do(announce())
    assert version(cloud) == (tags, False)
    assert tags == {
        "golden-pools-run": "manual__1",
        "golden-pools-verdict": "good",
        "golden-pools-why": "pool small-b runs on it",
    }
    assert run.deferrals == ["OperationsTrigger"], "tags alone are there at once"


def test_a_version_that_somebody_else_made_stays_as_excluded_as_it_is(
    cloud: Cloud, make_run: Callable[..., Run]
) -> None:
    run = make_run()
    run.do(record())
    run.do(announce())
    tags, excluded = version(cloud)
    assert excluded
    assert tags["golden-pools-verdict"] == "good"


def test_a_version_that_was_bad_is_good_when_a_pool_runs_on_it(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    make_run(**{"golden-pools-run": "manual__0"}, **verdict_tags(ImageVerdict.BAD, "no GPU")).do(record())
    assert version(cloud)[0]["golden-pools-verdict"] == "good"
    assert version(cloud)[0]["golden-pools-why"] == "pool small-b runs on it"


def test_done_twice_it_writes_once(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run(**{"golden-pools-run": "manual__1"})
    assert run.do(record()) == run.do(record())
    assert len(cloud.writes()) == 1


def test_the_passport_says_pool_and_probes(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run()
    passport: dict[str, Any] = run.do(record())
    assert passport == run.events["pool"]
    assert passport["probes"] == [{"pool": "canary-1", **PROBES[0]}]
    (pool,) = passport["pools"]
    assert (pool["name"], pool["alias"], pool["id"]) == ("small-b", "small", run.plan.id_of_pool("small-b"))
    assert pool["targets"] == {"dedicated": 3, "spot": 0}
    assert pool["ready"] == {"dedicated": 3, "spot": 0}


def test_targets_that_the_refresh_changed_are_in_the_passport(make_run: Callable[..., Run]) -> None:
    run = make_run()
    run.xcoms["refresh"]["targets"] = {"dedicated": 7, "spot": 1}
    assert run.do(record())["pools"][0]["targets"] == {"dedicated": 7, "spot": 1}


def test_a_version_that_cannot_be_marked_fails_the_task_and_sends_no_event(
    cloud: Cloud, make_run: Callable[..., Run]
) -> None:
    run = make_run()
    cloud.fault(method="PATCH", path="/versions/", status=403, code="AuthorizationFailed")
    with pytest.raises(AzureRefusedError):
        run.do(record())
    assert run.events == {}


def test_a_managed_image_is_recorded_without_a_verdict(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    run = make_run()
    image = {"resource_group": "images", "publish": "managed_image", "legacy_direct_pool": True}
    legacy = Run(PoolSpec.model_validate({**run.spec.model_dump(mode="json"), "image": image}))
    legacy.xcoms |= {name: value for name, value in run.xcoms.items() if name != "plan"}
    assert legacy.do(record())["image"] == legacy.plan.managed_image_id
    assert cloud.writes() == []


def test_plan_only_records_nothing(cloud: Cloud, make_run: Callable[..., Run]) -> None:
    dry = Run(make_run().spec, conf={"image_version": NEW, "plan_only": True})
    assert dry.do(record()).startswith("skipped: plan only")
    assert cloud.writes() == []


def test_the_passport_says_which_run_it_was_and_how_long_its_stages_took(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://localhost:8080/")
    run = make_run()
    told = run.do(record())["run"]
    assert told["link"] == "http://localhost:8080/dags/golden_pool_small/runs/manual__1"
    assert told["stages"]["refresh"] == 61.5
    assert "skipped" not in told["stages"]
    assert told["params"]["image_version"] == NEW


def test_the_moment_of_a_pool_is_that_of_the_first_try(
    make_run: Callable[..., Run], later: Callable[..., None]
) -> None:
    run = make_run()
    first = run.do(record())
    later(hours=1)
    assert run.do(record())["pools"][0]["since"] == first["pools"][0]["since"]


def test_a_proved_version_is_current(make_run: Callable[..., Run]) -> None:
    passport = make_run().do(record())
    assert (passport["became"], passport["why"]) == ("current", "pool small-b runs on it")


def test_an_airflow_without_an_address_gives_no_link(make_run: Callable[..., Run]) -> None:
    assert make_run().do(record())["run"]["link"] is None
