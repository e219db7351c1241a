"""The next step that brings a pool onto the run's image and settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from golden_pools.rules.facts import AllocationState, Pool, PoolStartTask
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.refresh import Seen, Step, StepKind, drift, same_id
from golden_pools.rules.refresh import refresh_step as step_of_strategy
from golden_pools.spec.model import Strategy

from tests.rules.build import DIRECT, SUBSCRIPTION, plan, pool

SUBNET = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
IDENTITY = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/i/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one"
)
START_TASK = {"command_line": "/bin/bash -c 'echo ready'", "environment": {"STAGE": "prod"}}
EMPTY = {"current_dedicated": 0, "current_spot": 0}


def refresh_step(present: Pool | None, run: RunPlan, **seen: Any) -> Step:
    """Return the next step where the account has this pool only."""
    return step_of_strategy(Seen(pools=(present,) if present else (), **seen), run)


def on_image(run: RunPlan, **changes: Any) -> Pool:
    """Return the pool on the plan's image."""
    return pool(image_id=run.image_id, **changes)


def test_a_missing_pool_is_created() -> None:
    assert refresh_step(None, plan()).kind is StepKind.CREATE


def test_pitfall_22_a_pool_that_is_being_deleted_is_waited_for() -> None:
    assert refresh_step(pool(provisioning_state="Deleting"), plan()).kind is StepKind.GONE


def test_a_pool_with_nodes_is_drained_for_a_new_image() -> None:
    step = refresh_step(pool(), plan())

    assert step.kind is StepKind.DRAIN
    assert "15 nodes" in step.reason
    assert [change.field for change in step.changes] == ["image"]


def test_pitfall_19_the_image_changes_only_on_an_empty_pool_at_rest() -> None:
    run = plan()

    assert refresh_step(pool(**EMPTY), run).kind is StepKind.PATCH
    for state in (AllocationState.RESIZING, AllocationState.STOPPING):
        assert refresh_step(pool(**EMPTY, allocation_state=state), run).kind is StepKind.SETTLE


def test_one_node_of_either_kind_is_not_empty() -> None:
    assert refresh_step(pool(current_dedicated=0, current_spot=1), plan()).kind is StepKind.DRAIN


def test_a_pool_on_the_image_is_left_alone_even_while_it_resizes() -> None:
    run = plan()

    for state in AllocationState:
        assert refresh_step(on_image(run, allocation_state=state), run).kind is StepKind.LEAVE


def test_an_id_in_another_case_is_the_same_image() -> None:
    run = plan()

    assert refresh_step(pool(image_id=run.image_id.upper()), run).kind is StepKind.LEAVE


def test_a_direct_pool_is_compared_with_the_managed_image() -> None:
    run = plan(image=DIRECT)

    assert drift(pool(image_id=run.managed_image_id), run) == ()


def test_a_pool_without_image_id_has_drifted() -> None:
    [change] = drift(pool(image_id=None), plan())

    assert str(change) == f"image: none -> {plan().image_id}"


@pytest.mark.parametrize(
    ("field", "has", "wants"),
    [
        ("vm_size", {"vm_size": "STANDARD_D4S_V5"}, {}),
        ("node_agent_sku", {"node_agent_sku": "batch.node.ubuntu 20.04"}, {}),
        ("node_agent_sku", {"node_agent_sku": None}, {}),
        ("inter_node_communication", {"inter_node_communication": True}, {}),
        ("task_slots_per_node", {}, {"task_slots_per_node": 4}),
        ("network.subnet_id", {}, {"network": {"subnet_id": SUBNET}}),
        ("network.subnet_id", {"subnet_id": SUBNET}, {}),
        ("network.public_addresses", {"public_addresses": False}, {}),
        ("identities", {}, {"identities": [IDENTITY]}),
        ("identities", {"identities": (IDENTITY,)}, {}),
    ],
)
def test_pitfall_21_a_setting_that_differs_is_not_kept_silently(
    field: str, has: dict[str, Any], wants: dict[str, Any]
) -> None:
    """cfa_azure #91: an existing pool was used as it was, with its old image and mounts."""
    run = plan(pool=wants)

    step = refresh_step(on_image(run, **has), run)

    assert [change.field for change in step.changes] == [field]
    assert step.changes[0].needs_empty_pool
    assert step.kind is StepKind.DRAIN


@pytest.mark.parametrize(
    ("has", "wants"),
    [
        ({"vm_size": "standard_d2S_V5"}, {}),
        ({"subnet_id": SUBNET.lower()}, {"network": {"subnet_id": SUBNET}}),
        ({"identities": (IDENTITY.upper(),)}, {"identities": [IDENTITY]}),
        ({"metadata": {"golden_pools_version": "1.2.3"}}, {}),
        (
            {
                "start_task": PoolStartTask(
                    command_line=START_TASK["command_line"],  # type: ignore[arg-type]
                    wait_for_success=True,
                    environment={"STAGE": "prod"},
                )
            },
            {"start_task": START_TASK},
        ),
    ],
    ids=["size's case", "subnet's case", "identity's case", "own metadata", "start task"],
)
def test_settings_that_mean_the_same_are_no_drift(has: dict[str, Any], wants: dict[str, Any]) -> None:
    run = plan(pool=wants)

    assert drift(on_image(run, **has), run) == ()


@pytest.mark.parametrize(
    ("has", "wants", "changes"),
    [
        ({}, {"metadata": {"team": "a"}}, ["metadata.team: none -> a"]),
        ({"metadata": {"team": "a"}}, {}, ["metadata.team: a -> none"]),
        ({"metadata": {"team": "a"}}, {"metadata": {"team": "A"}}, ["metadata.team: a -> A"]),
        ({}, {"start_task": START_TASK}, ["start_task: none -> /bin/bash -c 'echo ready'"]),
        ({"start_task": PoolStartTask(command_line="x")}, {}, ["start_task: x -> none"]),
        (
            {"start_task": PoolStartTask(command_line="x", environment={"STAGE": "secret", "OLD": "1"})},
            {"start_task": {**START_TASK, "elevated": True}},
            [
                "start_task.command_line: x -> /bin/bash -c 'echo ready'",
                "start_task.elevated: False -> True",
                "start_task.wait_for_success: False -> True",
                "start_task.environment.OLD: set -> none",
                "start_task.environment.STAGE: set -> set as wanted",
            ],
        ),
    ],
)
def test_other_settings_change_without_a_drain(has: dict[str, Any], wants: dict[str, Any], changes: list[str]) -> None:
    run = plan(pool=wants)

    step = refresh_step(on_image(run, **has), run)

    assert [str(change) for change in step.changes] == changes
    assert not any(change.needs_empty_pool for change in step.changes)
    assert step.kind is StepKind.PATCH


def test_the_step_after_each_step_leads_to_rest() -> None:
    """Drain, patch, leave: what the operator does between the questions is played here."""
    run, present = plan(), pool()
    steps = []
    while (step := refresh_step(present, run)).kind is not StepKind.LEAVE:
        steps.append(step.kind)
        if step.kind is StepKind.DRAIN:
            present = replace(present, current_dedicated=0, current_spot=0)
        else:
            present = replace(present, image_id=run.image_id)

    assert steps == [StepKind.DRAIN, StepKind.PATCH]


@pytest.mark.parametrize("strategy", Strategy)
def test_every_strategy_of_the_spec_has_steps(strategy: Strategy) -> None:
    assert refresh_step(None, plan(refresh={"strategy": strategy})).kind is StepKind.CREATE


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("/A/b", "/a/B/", True), (None, None, True), (None, "", True), ("/a", "/b", False), (None, "/a", False)],
)
def test_ids_compare_as_azure_does(one: str | None, other: str | None, same: bool) -> None:
    assert same_id(one, other) is same


def test_another_size_of_the_spec_is_no_drift() -> None:
    """The resize stage may have had to take it; the next refresh does not drain the pool for that."""
    run = plan(
        refresh={"strategy": "blue_green"},
        resize={"tactics": ["other_vm_sizes"], "other_vm_sizes": ["Standard_D4as_v5"]},
    )

    assert drift(on_image(run, vm_size="STANDARD_D4AS_V5"), run) == ()
    assert [str(change) for change in drift(on_image(run, vm_size="STANDARD_D8S_V5"), run)] == [
        "vm_size: STANDARD_D8S_V5 -> Standard_D2s_v5"
    ]


# -- in place ----------------------------------------------------------------------------------------------------------


def test_in_place_keeps_the_id_of_a_blue_green_pool() -> None:
    current = pool(name="small-1", metadata=marks("current"))

    assert refresh_step(current, plan()).pool == "small-1"


def test_a_pool_that_retires_is_waited_for() -> None:
    """It is emptied and deleted by the retire DAG: nothing comes back from there."""
    assert refresh_step(pool(metadata=marks("retiring")), plan()).kind is StepKind.GONE


# -- recreate ----------------------------------------------------------------------------------------------------------


def recreating(**changes: Any) -> RunPlan:
    return plan(refresh={"strategy": "recreate"}, **changes)


def test_recreate_deletes_a_pool_that_has_to_change() -> None:
    assert refresh_step(pool(), recreating()).kind is StepKind.DELETE


def test_recreate_refuses_active_jobs_and_names_them() -> None:
    step = refresh_step(pool(), recreating(), active_jobs={"small": ("nightly", "adhoc")})

    assert step.kind is StepKind.REFUSE
    assert step.reason == "active jobs: nightly, adhoc"


def test_recreate_with_force_says_under_which_jobs() -> None:
    step = refresh_step(pool(), recreating(conf={"force": True}), active_jobs={"small": ("nightly",)})

    assert step.kind is StepKind.DELETE
    assert "under the active jobs nightly: forced" in step.reason


def test_recreate_leaves_a_pool_on_the_image_alone() -> None:
    run = recreating()

    assert refresh_step(on_image(run), run).kind is StepKind.LEAVE


def test_recreate_deletes_nothing_for_what_changes_with_nodes() -> None:
    run = recreating(pool={"metadata": {"team": "a"}})

    assert refresh_step(on_image(run), run).kind is StepKind.PATCH


def test_pitfall_22_the_same_id_is_made_anew_when_it_is_free() -> None:
    run = recreating()

    assert refresh_step(pool(name="small-1", provisioning_state="Deleting"), run, home="small-1").kind is StepKind.GONE
    made = refresh_step(None, run, home="small-1")
    assert (made.kind, made.pool) == (StepKind.CREATE, "small-1")


# -- blue/green --------------------------------------------------------------------------------------------------------


def blue_green(**parts: Any) -> RunPlan:
    return plan(refresh={"strategy": "blue_green"}, **parts)


def marks(role: str, *, run: str = "manual__0", since: str = "2026-11-20T00:00:00+00:00") -> dict[str, str]:
    """Return the metadata that runs write."""
    return {
        "golden_pools_alias": "small",
        "golden_pools_role": role,
        "golden_pools_since": since,
        "golden_pools_run": run,
    }


NAME = "small-2026-1122-41500"
"""Id of the candidate of the plan's version."""


def steps_of(run: RunPlan, *pools: Pool, **seen: Any) -> tuple[StepKind, str]:
    step = step_of_strategy(Seen(pools=pools, **seen), run)
    return step.kind, step.pool


def test_a_second_pool_carries_the_version_in_its_name() -> None:
    assert steps_of(blue_green(), pool()) == (StepKind.CREATE, NAME)


def test_the_first_pool_of_an_alias_is_a_candidate_too() -> None:
    assert steps_of(blue_green()) == (StepKind.CREATE, NAME)


def test_the_current_pool_on_the_image_needs_no_second_one() -> None:
    run = blue_green()

    assert steps_of(run, on_image(run)) == (StepKind.LEAVE, "small")


def test_what_changes_with_nodes_is_changed_on_the_current_pool() -> None:
    run = blue_green(pool={"metadata": {"team": "a"}})

    assert steps_of(run, on_image(run)) == (StepKind.PATCH, "small")


def test_settings_that_need_an_empty_pool_get_a_second_one_of_another_name() -> None:
    """The current pool has the version's name already."""
    run = blue_green(pool={"vm_size": "Standard_D4s_v5"})

    assert steps_of(run, on_image(run, name=NAME, metadata=marks("current"))) == (StepKind.CREATE, f"{NAME}-b")


def test_a_former_pool_on_the_image_becomes_the_candidate() -> None:
    """Switching back within the soak."""
    run, current = blue_green(), pool(name="small-2", metadata=marks("current"))
    former = on_image(run, name="small-1", metadata=marks("former"))

    assert steps_of(run, current, former) == (StepKind.PATCH, "small-1")


def test_our_candidate_on_the_image_is_left_to_the_next_stage() -> None:
    run, current = blue_green(), pool(name="small-2", metadata=marks("current"))
    ours = on_image(run, name=NAME, metadata=marks("candidate", run="manual__1"))

    assert steps_of(run, current, ours) == (StepKind.LEAVE, NAME)


def test_our_own_candidate_is_preferred_to_a_former_pool() -> None:
    run, current = blue_green(), pool(name="small-2", metadata=marks("current"))
    ours = on_image(run, name=NAME, metadata=marks("candidate", run="manual__1"))
    former = on_image(run, name="small-z", metadata=marks("former", since="2026-11-23"))

    assert steps_of(run, current, ours, former) == (StepKind.LEAVE, NAME)


def test_a_leftover_candidate_is_taken_over_when_it_rests() -> None:
    run, current = blue_green(), pool(name="small-2", metadata=marks("current"))
    leftover = on_image(run, name=NAME, metadata=marks("candidate"))

    assert steps_of(run, current, leftover) == (StepKind.PATCH, NAME)
    moving = replace(leftover, allocation_state=AllocationState.RESIZING)
    assert steps_of(run, current, moving) == (StepKind.SETTLE, NAME)


def test_a_leftover_candidate_with_other_settings_is_drained_and_changed() -> None:
    run, current = blue_green(), pool(name="small-2", metadata=marks("current"))
    leftover = on_image(run, name=NAME, metadata=marks("candidate"), vm_size="STANDARD_D4S_V5")

    assert steps_of(run, current, leftover) == (StepKind.DRAIN, NAME)
    assert steps_of(run, current, replace(leftover, **EMPTY)) == (StepKind.PATCH, NAME)


def test_a_leftover_with_jobs_keeps_them_and_its_name() -> None:
    run, current = blue_green(), pool(name="small-2", metadata=marks("current"))
    busy = on_image(run, name=NAME, metadata=marks("candidate"), vm_size="STANDARD_D4S_V5")

    step = steps_of(run, current, busy, active_jobs={NAME: ("nightly",)})

    assert step == (StepKind.CREATE, f"{NAME}-b")


@pytest.mark.parametrize("going", [{"metadata": marks("retiring")}, {"provisioning_state": "Deleting"}])
def test_a_pool_of_the_name_that_goes_away_is_waited_for(going: dict[str, Any]) -> None:
    run, current = blue_green(), pool(name="small-2", metadata=marks("current"))
    member = on_image(run, name=NAME, **{"metadata": marks("former"), **going})

    assert steps_of(run, current, member) == (StepKind.GONE, NAME)


@pytest.mark.parametrize("metadata", [{}, marks("canary")])
def test_a_name_that_is_somebody_elses_is_left_to_him(metadata: dict[str, str]) -> None:
    run, current = blue_green(), pool(name="small-2", metadata=marks("current"))
    foreign = on_image(run, name=NAME, metadata=metadata)

    assert steps_of(run, current, foreign) == (StepKind.CREATE, f"{NAME}-b")


@pytest.mark.parametrize("state", AllocationState)
def test_the_current_pool_is_never_drained_or_deleted(state: AllocationState) -> None:
    run = blue_green()

    step = steps_of(run, pool(allocation_state=state))

    assert step == (StepKind.CREATE, NAME)
