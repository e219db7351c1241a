"""The next step that brings a pool onto the run's image and settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from golden_pools.errors import RunConfError
from golden_pools.rules.facts import AllocationState, Pool, PoolStartTask
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.refresh import StepKind, drift, refresh_step, same_id
from golden_pools.spec.model import Strategy

from tests.rules.build import DIRECT, SUBSCRIPTION, plan, pool

SUBNET = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
IDENTITY = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/i/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one"
)
START_TASK = {"command_line": "/bin/bash -c 'echo ready'", "environment": {"STAGE": "prod"}}
EMPTY = {"current_dedicated": 0, "current_spot": 0}


def on_image(run: RunPlan, **changes: Any) -> Pool:
    """Return the pool on the plan's image."""
    return pool(image_id=run.image_id, **changes)


def test_a_missing_pool_is_created() -> None:
    assert refresh_step(None, plan()).kind is StepKind.CREATE


def test_pitfall_22_a_pool_that_is_being_deleted_is_waited_for() -> None:
    assert refresh_step(pool(provisioning_state="Deleting"), plan()).kind is StepKind.WAIT


def test_a_pool_with_nodes_is_drained_for_a_new_image() -> None:
    step = refresh_step(pool(), plan())

    assert step.kind is StepKind.DRAIN
    assert "15 nodes" in step.reason
    assert [change.field for change in step.changes] == ["image"]


def test_pitfall_19_the_image_changes_only_on_an_empty_pool_at_rest() -> None:
    run = plan()

    assert refresh_step(pool(**EMPTY), run).kind is StepKind.PATCH
    for state in (AllocationState.RESIZING, AllocationState.STOPPING):
        assert refresh_step(pool(**EMPTY, allocation_state=state), run).kind is StepKind.WAIT


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
                "start_task.environment.STAGE: set -> set as in the spec",
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


@pytest.mark.parametrize("strategy", [Strategy.BLUE_GREEN, Strategy.RECREATE])
def test_a_strategy_that_runs_cannot_do_yet_is_refused(strategy: Strategy) -> None:
    with pytest.raises(RunConfError, match="cannot do yet"):
        plan(refresh={"strategy": strategy})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("/A/b", "/a/B/", True), (None, None, True), (None, "", True), ("/a", "/b", False), (None, "/a", False)],
)
def test_ids_compare_as_azure_does(one: str | None, other: str | None, same: bool) -> None:
    assert same_id(one, other) is same
