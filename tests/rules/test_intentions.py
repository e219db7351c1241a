"""What a plan-only run says it would do: the lines that a person reads, per strategy."""

from __future__ import annotations

from typing import Any

import pytest
from golden_pools.rules.facts import ImageVersion, Pool, PowerState
from golden_pools.rules.family import candidate_name
from golden_pools.rules.intentions import Action, ActionKind, Work, intentions, moves_pool
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.preflight import Lookup

from tests.rules.build import (
    DEFINITION_ID,
    SUBSCRIPTION,
    VERSION_ID,
    from_source,
    golden_vm,
    observations,
    plan,
    pool,
    version,
)

NEW_ID = f"{DEFINITION_ID}/versions/2026.1122.41500"
SECOND = candidate_name("small", NEW_ID)
GOOD = {"golden-pools-verdict": "good"}
CURRENT = {"golden_pools_alias": "small", "golden_pools_role": "current"}
FORMER = {"golden_pools_alias": "small", "golden_pools_role": "former"}


def run(*, force: bool = False, canary: bool = False, **refresh: Any) -> RunPlan:
    """Return the plan of a run onto the version ``NEW_ID``; keywords are those of the spec's ``refresh``."""
    return plan(version=NEW_ID, conf={"force": force}, canary={"enabled": canary}, refresh=refresh)


def said(
    run: RunPlan, *pools: Pool, image: ImageVersion | None = None, work: Work | None = None
) -> list[tuple[str, str, str]]:
    """Return stage, action and the resource's name of each intention, the pools of the account being these."""
    seen = observations(pools=pools, image_version=image or version(id=NEW_ID, name="2026.1122.41500", tags=GOOD))
    return [
        (action.stage, in_words(action), action.resource.rpartition("/")[2]) for action in intentions(run, seen, work)
    ]


def in_words(action: Action) -> str:
    """Return what an action does, with what there is before it and after it."""
    return f"{action.what} [{action.before} -> {action.after}]" if action.before or action.after else action.what


def test_in_place_shrinks_changes_and_grows() -> None:
    assert said(run(), pool(metadata=CURRENT)) == [
        (
            "refresh",
            "shrink: running tasks end first; if not within 60 minutes, it gets its nodes back and the run fails "
            "[15 nodes -> 0 nodes]",
            "small",
        ),
        ("refresh", "change image [golden/2026.1121.41500 -> golden/2026.1122.41500]", "small"),
        ("resize", "resize [0 nodes -> 10 dedicated, 5 Spot nodes]", "small"),
    ]


def test_a_drain_that_falls_back_to_the_queue_says_so() -> None:
    ((_, does, _), *_) = said(run(drain_minutes=90, drain_fallback="requeue"), pool(metadata=CURRENT))
    assert does.startswith("shrink: running tasks end first; if not within 90 minutes, they go back into the queue")


def test_blue_green_makes_a_second_pool_moves_the_work_and_retires_the_old_one() -> None:
    assert said(run(strategy="blue_green", move_tasks="requeue", soak_minutes=90), pool(metadata=CURRENT)) == [
        ("refresh", "create [ -> on golden/2026.1122.41500]", SECOND),
        ("resize", "resize [0 nodes -> 10 dedicated, 5 Spot nodes]", SECOND),
        (
            "switch",
            "move the jobs and job schedules of pool small here: running tasks go back into the queue",
            SECOND,
        ),
        ("switch", f"let small stand for it [small -> {SECOND}]", SECOND),
        ("retire", "delete after 90 minutes, unless jobs are bound to it [15 nodes -> ]", "small"),
    ]


def test_going_back_during_the_soak_uses_the_former_pool_again() -> None:
    current = pool(name="small-2026-1121-41500", metadata=CURRENT)
    former = pool(name="small", image_id=NEW_ID, metadata=FORMER)
    assert [(stage, name) for stage, _, name in said(run(strategy="blue_green"), current, former)] == [
        ("refresh", "small"),
        ("switch", "small"),
        ("switch", "small"),
        ("retire", "small-2026-1121-41500"),
    ]
    assert said(run(strategy="blue_green"), current, former)[0][1] == "use again, since it is on the image already"


def test_blue_green_without_a_pool_makes_the_first_one() -> None:
    assert [stage for stage, _, _ in said(run(strategy="blue_green"))] == ["refresh", "resize"]


@pytest.mark.parametrize(
    ("force", "jobs"), [(False, "unless jobs are active on it"), (True, "also if jobs are active on it: force")]
)
def test_recreate_deletes_and_makes_anew(*, force: bool, jobs: str) -> None:
    assert said(run(strategy="recreate", force=force), pool(metadata=CURRENT)) == [
        ("refresh", f"delete, {jobs} [15 nodes -> ]", "small"),
        ("refresh", "create, as soon as the id is free [ -> on golden/2026.1122.41500]", "small"),
        ("resize", "resize [0 nodes -> 10 dedicated, 5 Spot nodes]", "small"),
    ]


def test_jobs_that_were_looked_at_are_named() -> None:
    work = Work(jobs=("render", "report"), schedules=("nightly",))
    ((_, does, _),) = [
        one for one in said(run(strategy="blue_green"), pool(metadata=CURRENT), work=work) if one[1].startswith("move")
    ]
    assert does == (
        "move 2 jobs and 1 job schedule here: running tasks end first "
        f"[on pool small: render, report, schedule nightly -> on pool {SECOND}]"
    )


def test_many_jobs_are_counted() -> None:
    work = Work(jobs=tuple(f"job-{number}" for number in range(7)))
    moved = said(run(strategy="blue_green"), pool(metadata=CURRENT), work=work)[2][1]
    assert "job-0, job-1, job-2, job-3, job-4 and 2 more" in moved


def test_a_pool_without_work_has_nothing_to_move() -> None:
    stages = [stage for stage, _, _ in said(run(strategy="blue_green"), pool(metadata=CURRENT), work=Work())]
    assert stages == ["refresh", "resize", "switch", "retire"]


def test_a_pool_that_may_not_be_deleted_ends_the_run_there() -> None:
    active = Work(active={"small": ("render",)})
    assert said(run(strategy="recreate"), pool(metadata=CURRENT), work=active) == [
        ("refresh", "nothing, and the run fails: active jobs: render [15 nodes -> 15 nodes]", "small")
    ]
    assert len(said(run(strategy="recreate", force=True), pool(metadata=CURRENT), work=active)) == 3


def test_every_action_says_what_becomes_of_its_resource() -> None:
    seen = observations(pools=(pool(metadata=CURRENT),), definition=None)
    kinds = {action.stage: action.kind for action in intentions(plan(refresh={"strategy": "blue_green"}), seen)}
    assert kinds == {
        "snapshot": ActionKind.MAKE,
        "managed_image": ActionKind.MAKE,
        "publish": ActionKind.MAKE,
        "canary": ActionKind.DELETE,  # its last
        "refresh": ActionKind.MAKE,
        "resize": ActionKind.RESIZE,
        "switch": ActionKind.CHANGE,
        "retire": ActionKind.DELETE,
        "record": ActionKind.CHANGE,
    }


def test_a_resize_alone_moves_no_pool() -> None:
    here = pool(image_id=NEW_ID, metadata=CURRENT, current_dedicated=3, target_dedicated=3)
    good = version(id=NEW_ID, tags=GOOD)
    actions = intentions(run(), observations(pools=(here,), image_version=good))
    assert [action.stage for action in actions] == ["resize"]
    assert not moves_pool(actions)
    assert moves_pool(intentions(run(), observations(pools=(pool(metadata=CURRENT),), image_version=good)))


def test_nothing_is_said_of_pools_that_nobody_saw() -> None:
    for blind in (observations(account=None), observations(unreadable={Lookup.POOLS: "403"})):
        assert {action.stage for action in intentions(plan(), blind)} == {
            "snapshot",
            "managed_image",
            "publish",
            "record",
        }


@pytest.mark.parametrize("strategy", ["in_place", "blue_green", "recreate"])
def test_what_changes_with_nodes_is_changed_on_the_pool_itself(strategy: str) -> None:
    drifted = pool(image_id=NEW_ID, metadata={**CURRENT, "team": "x"})
    assert said(run(strategy=strategy), drifted) == [("refresh", "change metadata.team [x -> none]", "small")]


@pytest.mark.parametrize("strategy", ["in_place", "blue_green", "recreate"])
def test_a_pool_as_it_should_be_is_left_alone(strategy: str) -> None:
    assert said(run(strategy=strategy), pool(image_id=NEW_ID, metadata=CURRENT)) == []


def test_a_pool_from_before_the_first_run_is_told_what_it_stands_for() -> None:
    assert said(run(), pool(image_id=NEW_ID)) == [("switch", "say in its metadata that small stands for it", "small")]


def test_a_version_that_nobody_tried_gets_a_canary_and_a_verdict() -> None:
    wanted = run(canary=True)
    fresh = version(id=NEW_ID, tags={})
    assert said(wanted, pool(image_id=NEW_ID, metadata=CURRENT), image=fresh) == [
        ("canary", "create, run the probes there [ -> 1 node on golden/2026.1122.41500]", wanted.canary_name),
        ("canary", "delete [1 node -> ]", wanted.canary_name),
        ("record", "tag as good", "2026.1122.41500"),
    ]


def test_probes_of_the_pool_are_told() -> None:
    assert said(run(probe_pool=True), pool(image_id=NEW_ID, metadata=CURRENT)) == [
        ("probe", "run the probes on the nodes", "small")
    ]


def of_image(run: RunPlan, **seen: Any) -> list[tuple[str, str]]:
    """Return stage and action of each intention up to the version."""
    return [
        (action.stage, in_words(action)) for action in intentions(run, observations(**seen)) if action.stage in STAGES
    ]


STAGES = (
    "restore_point",
    "remove_restore_point",
    "stop_golden_vm",
    "start_golden_vm",
    "snapshot",
    "clone_vm",
    "generalize_clone",
    "managed_image",
    "publish",
    "remove_clone",
)
COPIES = [("snapshot", f"create, a copy of disk {name} [ -> 64 GiB]") for name in ("os", "data-0", "data-1")]
PUBLISHED = "[ -> replicas: 1 in westeurope]"


def test_what_azure_makes_no_managed_image_of_is_said_to_go_by_snapshots() -> None:
    assert of_image(plan(), golden_vm=golden_vm(security_type="TrustedLaunch"), definition=None) == [
        *COPIES,
        ("publish", "create: Linux, generation V2, generalized, SecurityType TrustedLaunch"),
        ("publish", f"create, from 3 snapshots {PUBLISHED}"),
    ]


@pytest.mark.parametrize(("capture", "does"), [("deallocated", "deallocate"), ("stopped", "power off")])
def test_a_running_vm_is_said_to_be_brought_to_rest_and_started_again(capture: str, does: str) -> None:
    run, running = plan(golden_vm={"capture": capture}), golden_vm(power_state=PowerState.RUNNING)
    assert of_image(run, golden_vm=running)[:5] == [
        ("stop_golden_vm", f"{does} [running -> {capture}]"),
        *COPIES,
        ("start_golden_vm", f"start [{capture} -> running]"),
    ]


@pytest.mark.parametrize("state", [PowerState.STOPPED, PowerState.DEALLOCATED])
@pytest.mark.parametrize("capture", ["deallocated", "stopped"])
def test_a_vm_at_rest_is_said_to_be_left_alone(capture: str, state: PowerState) -> None:
    said = of_image(plan(golden_vm={"capture": capture}), golden_vm=golden_vm(power_state=state))
    assert said[:3] == COPIES
    assert {stage for stage, _ in said} == {"snapshot", "managed_image", "publish"}


def test_a_restore_point_is_said_to_come_and_go() -> None:
    run, running = plan(golden_vm={"capture": "restore_point"}), golden_vm(power_state=PowerState.RUNNING)
    assert of_image(run, golden_vm=running)[:5] == [
        ("restore_point", "take of VM golden-vm, and make a disk of each of its 3 disks"),
        *COPIES,
        ("remove_restore_point", "delete, with its disks"),
    ]


def test_a_clone_is_said_to_come_and_go() -> None:
    network = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/golden/providers/Microsoft.Network"
    clone = {"subnet_id": f"{network}/virtualNetworks/net/subnets/builders"}
    assert of_image(plan(golden_vm={"generalize": "clone", "clone": clone})) == [
        *COPIES,
        ("clone_vm", "create, from 3 snapshots"),
        ("generalize_clone", "generalize by a script, deallocate, flag as generalized"),
        ("managed_image", "create, from the clone"),
        ("publish", f"create {PUBLISHED}"),
        ("remove_clone", "delete, with its disks and network card"),
    ]


def test_a_generalized_vm_is_said_to_be_captured_as_it_is() -> None:
    run = from_source(generalized_vm={"resource_group": "golden", "name": "build-vm"})
    assert of_image(run) == [("managed_image", "create, from a test"), ("publish", f"create {PUBLISHED}")]


def replicating(run: RunPlan, image: ImageVersion | None = None) -> list[str]:
    seen = observations(image_version=image)
    return [in_words(action) for action in intentions(run, seen) if action.stage in ("publish", "replicate")]


def test_a_new_version_gets_to_the_other_regions_after_the_canary() -> None:
    regions = {"target_regions": [{"name": "North Europe"}, {"name": "uksouth", "replicas": 3}]}
    whole = plan(image=regions)
    here = whole.model_copy(update={"regions": {f"{whole.pool_id.rpartition('/pools/')[0]}".lower(): "uksouth"}})
    assert replicating(here)[-2:] == [
        "create [ -> replicas: 1 in westeurope, 3 in uksouth]",
        "have more replicas [1 in westeurope, 3 in uksouth -> 1 in westeurope, 3 in uksouth, 1 in northeurope]",
    ]
    assert [action.stage for action in intentions(here, observations())].index("replicate") > 0


def test_a_version_that_is_there_gets_what_it_lacks_of_the_spec() -> None:
    run = plan(version=VERSION_ID, image={"target_regions": [{"name": "northeurope", "replicas": 2}]})
    assert replicating(run, version(tags=run.tags)) == [
        "have more replicas [1 in westeurope -> 1 in westeurope, 2 in northeurope]"
    ]
    assert replicating(run, version(tags=run.tags, target_regions={"westeurope": 1, "northeurope": 5})) == []
    assert replicating(run, version()) == [], "somebody else's"
