"""Stage ``replicate``: regions beside the pool's, those that fail, and those that the spec names later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from golden_pools.errors import AzureRefusedError
from golden_pools.hooks.compute import ComputeHook
from golden_pools.operators.announce import AnnounceImageOperator
from golden_pools.operators.passport import RecordPassportOperator
from golden_pools.operators.preflight import PreflightOperator
from golden_pools.operators.replicate import ReplicateVersionOperator
from golden_pools.rules.facts import ImageVersion
from golden_pools.rules.plan import account_id

from tests.operators.conftest import DEFINITION, Cloud, Run, kill_at_write, small_pool
from tests.operators.test_preflight import changed
from tests.operators.test_whole_run import IMAGE, POOL
from tests.virtual_time import VirtualTime, virtual_cloud

VERSION = "2026.1121.20005"


@pytest.fixture
def world() -> Iterator[tuple[Cloud, VirtualTime]]:
    with virtual_cloud(poll_seconds=30) as made:
        yield made


@pytest.fixture
def cloud(world: tuple[Cloud, VirtualTime]) -> Cloud:
    return world[0]


@pytest.fixture
def run(world: tuple[Cloud, VirtualTime]) -> Run:
    """A run on a version of the runs' own that is in its home region; the spec names North Europe too."""
    cloud, virtual = world
    cloud.make_version(VERSION, **{"golden-pools-run": "manual__0"})
    cloud.arm("PATCH", f"{DEFINITION}/versions/{VERSION}", with_regions({"westeurope": 1}))
    cloud.advance(minutes=20)
    return a_run(cloud, virtual, northeurope="auto")


def a_run(cloud: Cloud, virtual: VirtualTime, **replicas: object) -> Run:
    spec = small_pool(cloud)
    targets = [{"name": name, "replicas": count} for name, count in replicas.items()]
    spec = changed(spec, image={**spec.image.model_dump(exclude_unset=True, mode="json"), "target_regions": targets})
    made = Run(spec, conf={"image_version": VERSION}, fire=virtual.fire, stamp=virtual.now())
    made.xcoms["preflight"] = {"findings": [], "regions": {account_id(spec).lower(): "westeurope"}}
    cloud.forget()
    return made


def with_regions(regions: dict[str, int]) -> dict[str, Any]:
    targets = [{"name": name, "regionalReplicaCount": count} for name, count in regions.items()]
    return {
        "properties": {"publishingProfile": {"targetRegions": targets, "excludeFromLatest": True}, "storageProfile": {}}
    }


def version(cloud: Cloud) -> ImageVersion:
    with ComputeHook("azure_default", cloud.subscription) as hook:
        found = hook.image_version(f"/subscriptions/{cloud.subscription}/{DEFINITION}/versions/{VERSION}")
    assert found is not None
    return found


def replicate() -> ReplicateVersionOperator:
    return ReplicateVersionOperator(task_id="replicate")


def fails(cloud: Cloud, *, times: int | None, region: str = "northeurope") -> None:
    cloud.control("POST", "replications", {"version": "*", "region": region, "details": "no room", "count": times})


def patches(cloud: Cloud) -> int:
    return sum(write.startswith("PATCH") for write in cloud.writes())


def test_a_region_that_the_spec_names_later_is_added_to_the_version_that_is_there(cloud: Cloud, run: Run) -> None:
    """Pitfall 33: a changed list of regions makes no new version."""
    assert run.do(replicate()) == {"westeurope": 1, "northeurope": 1}
    assert version(cloud).ready_in("northeurope")
    assert patches(cloud) == 1
    assert run.do(replicate()) == {"westeurope": 1, "northeurope": 1}
    assert patches(cloud) == 1


def test_more_replicas_are_made_and_none_is_taken_away(
    world: tuple[Cloud, VirtualTime], cloud: Cloud, run: Run
) -> None:
    run.do(replicate())
    assert a_run(*world, northeurope=3).do(replicate()) == {"westeurope": 1, "northeurope": 3}
    assert a_run(*world, northeurope=1).do(replicate()) == {"westeurope": 1, "northeurope": 3}
    assert a_run(*world).do(replicate()) == {"westeurope": 1, "northeurope": 3}
    assert cloud.writes() == []


def test_a_version_of_somebody_else_is_left_alone(world: tuple[Cloud, VirtualTime]) -> None:
    cloud, virtual = world
    cloud.make_version(VERSION)
    assert "its regions are its maker's to choose" in a_run(cloud, virtual, uksouth=1).do(replicate())
    assert cloud.writes() == []


def test_a_region_that_failed_is_asked_for_again_and_the_version_serves_meanwhile(
    world: tuple[Cloud, VirtualTime], cloud: Cloud, run: Run
) -> None:
    fails(cloud, times=2)
    began, serves = world[1].now(), []
    pauses: Callable[..., Any] = run.fire

    def look(trigger: Any, timeout: timedelta) -> Any:
        if type(trigger).__name__ == "SoakTrigger":
            serves.append(version(cloud).ready_in("westeurope"))
        return pauses(trigger, timeout)

    run.fire = look
    assert run.do(replicate()) == {"westeurope": 1, "northeurope": 1}
    assert serves == [True, True]
    assert run.deferrals.count("SoakTrigger") == 2
    assert world[1].now() - began > timedelta(minutes=20)
    assert cloud.writes() == [f"PATCH {version(cloud).id}"] * 5  # asked, put back, asked, put back, asked


def test_a_region_that_fails_for_good_fails_the_task_and_leaves_the_version_in_use(cloud: Cloud, run: Run) -> None:
    fails(cloud, times=None)
    with pytest.raises(AzureRefusedError) as failed:
        run.do(replicate())
    assert failed.value.what == "The image version could not be replicated to northeurope"
    assert failed.value.answer == "northeurope Failed: no room"
    assert "asked for 4 times; the version stays in use in westeurope" in failed.value.advice
    assert version(cloud).ready_in("westeurope")
    cloud.control("DELETE", "replications")
    assert run.do(replicate()) == {"westeurope": 1, "northeurope": 1}, "a clear asks anew"


def test_replicas_that_were_there_stay_where_more_of_them_fail(
    world: tuple[Cloud, VirtualTime], cloud: Cloud, run: Run
) -> None:
    run.do(replicate())
    fails(cloud, times=1)
    a_run(*world, northeurope=3).do(replicate())
    lowest = [
        region["regionalReplicaCount"]
        for entry in cloud.requests()
        if entry["method"] == "PATCH"
        for region in json.loads(entry["request_body"])["properties"]["publishingProfile"]["targetRegions"]
        if region["name"] == "North Europe"
    ]
    assert lowest == [3, 1, 3]


def test_an_update_of_somebody_else_is_waited_for(cloud: Cloud, run: Run) -> None:
    """Azure refuses an update while it makes another."""
    cloud.arm("PATCH", f"{DEFINITION}/versions/{VERSION}", with_regions({"westeurope": 2}))
    assert run.do(replicate()) == {"westeurope": 2, "northeurope": 1}


def test_regions_that_go_on_after_the_operation_are_waited_for(cloud: Cloud, run: Run) -> None:
    cloud.configure(compute={"version_region_lag": "PT10M"})
    run.do(replicate())
    assert version(cloud).is_in("northeurope")


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_worker_killed_at_any_write_changes_nothing(cloud: Cloud, run: Run, number: int, sent: bool) -> None:
    fails(cloud, times=1)
    kill_at_write(run, replicate(), number, sent=sent)
    assert run.do(replicate()) == {"westeurope": 1, "northeurope": 1}
    assert version(cloud).ready_in("northeurope")


def test_a_version_is_good_at_once_and_latest_when_its_regions_are_there(cloud: Cloud, run: Run) -> None:
    """The pool does not wait for far regions; ``latest`` does."""
    run.begin(replicate())
    assert version(cloud).provisioning_state == "Updating"
    run.xcoms |= {
        "refresh": {"pool": "small", "action": "patched", "image_before": None},
        "nodes": {"dedicated": 3, "spot": 0},
    }
    run.do(recording())
    assert version(cloud).tags["golden-pools-verdict"] == "good"
    run.do(AnnounceImageOperator(task_id="announce", record_task_id="record", asset=IMAGE))
    found = version(cloud)
    assert (found.exclude_from_latest, found.ready_in("northeurope")) == (False, True)


def test_a_mark_that_azure_takes_only_between_updates_waits(cloud: Cloud, run: Run) -> None:
    run.begin(replicate())
    run.xcoms |= {
        "refresh": {"pool": "small", "action": "patched", "image_before": None},
        "nodes": {"dedicated": 3, "spot": 0},
    }
    cloud.fault(method="PATCH", path="/versions/", status=409, code="Conflict", count=1)
    run.do(recording())
    assert run.deferrals == ["ReplicationTrigger"]
    assert version(cloud).tags["golden-pools-verdict"] == "good"


def recording() -> RecordPassportOperator:
    return RecordPassportOperator(
        task_id="record", publish_task_id="publish", refresh_task_id="refresh", nodes_task_id="nodes", asset=POOL
    )


def test_preflight_says_where_the_accounts_of_other_pools_are(cloud: Cloud, run: Run) -> None:
    own, hidden = account_id(run.spec).lower(), account_id(run.spec).lower().replace("goldenbatch", "hidden")
    written = {**run.xcoms["plan"], "nodes_elsewhere": {own: 300, hidden: 300}}
    run.xcoms["plan"] = written
    found = run.do(PreflightOperator(task_id="preflight"))
    assert found["regions"] == {own: "westeurope"}, "an account that is not there may be anywhere"
    assert PreflightOperator(task_id="preflight").plan(run.context(replicate())).replicas("westeurope") == {
        "westeurope": 3,
        "northeurope": 1,
    }
