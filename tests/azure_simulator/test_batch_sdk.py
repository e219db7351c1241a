"""The real Azure SDKs, azure-mgmt-batch and azure-batch, against a live server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core import MatchConditions
from azure.core.credentials import AccessToken, AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.batch import BatchManagementClient

from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import AGENT, UBUNTU, pool_body, scale

ACCOUNT = ("batch", "goldenbatch")


class NoToken:
    """A credential that plain http never asks."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("unused", int(time.time()) + 3600)


@pytest.fixture
def arm(world: World, live_simulator: str) -> Iterator[BatchManagementClient]:
    """The management SDK."""
    subscription = next(iter(world.subscriptions.values())).id
    policy: SansIOHTTPPolicy[Any, Any] = SansIOHTTPPolicy()
    with BatchManagementClient(
        NoToken(), subscription, base_url=live_simulator, authentication_policy=policy
    ) as client:
        yield client


@pytest.fixture
def plane(world: World, live_simulator: str) -> Iterator[BatchClient]:
    """The data-plane SDK, signing with the account's key."""
    account = world.batch.account(None)
    assert account is not None
    credential = AzureNamedKeyCredential("goldenbatch", account.facts.primary_key)
    with BatchClient(live_simulator, credential=credential) as client:
        yield client


def _pass(world: World, minutes: float) -> None:
    world.clock.advance(timedelta(minutes=minutes))


def _ubuntu_pool(name: str, nodes: int) -> models.BatchPoolCreateOptions:
    image = models.BatchVmImageReference(publisher=UBUNTU["publisher"], offer=UBUNTU["offer"], sku=UBUNTU["sku"])
    return models.BatchPoolCreateOptions(
        id=name,
        vm_size="standard_d2s_v5",
        target_dedicated_nodes=nodes,
        virtual_machine_configuration=models.VirtualMachineConfiguration(
            image_reference=image, node_agent_sku_id=AGENT
        ),
        start_task=models.BatchStartTask(command_line="sleep 30", wait_for_success=True),
    )


def test_account_quotas_and_sizes_are_read(arm: BatchManagementClient) -> None:
    account = arm.batch_account.get(*ACCOUNT)
    sizes = {sku.name: sku.family_name for sku in arm.location.list_supported_virtual_machine_skus("westeurope")}

    assert account.properties is not None
    assert account.properties.dedicated_core_quota == 6000
    assert account.properties.pool_allocation_mode == "BatchService"
    assert sizes["Standard_D2s_v5"] == "standardDSv5Family"


def test_a_pool_is_made_resized_and_deleted(arm: BatchManagementClient, world: World) -> None:
    made = arm.pool.create(*ACCOUNT, "nightly", pool_body(2), etag="*", match_condition=MatchConditions.IfMissing)
    assert made.properties is not None
    assert made.properties.allocation_state == "Resizing"
    _pass(world, 10)
    present = arm.pool.get(*ACCOUNT, "nightly")

    resized = arm.pool.update(
        *ACCOUNT, "nightly", scale(3), etag=present.etag, match_condition=MatchConditions.IfNotModified
    )
    assert resized.properties is not None
    assert resized.properties.resize_operation_status is not None
    assert resized.properties.resize_operation_status.target_dedicated_nodes == 3
    _pass(world, 10)
    assert [pool.properties.current_dedicated_nodes for pool in arm.pool.list_by_batch_account(*ACCOUNT)] == [3]

    world.clock.set_speed(3600)
    arm.pool.begin_delete(*ACCOUNT, "nightly", polling_interval=1).result()
    with pytest.raises(ResourceNotFoundError):
        arm.pool.get(*ACCOUNT, "nightly")


def test_refusals_are_the_exceptions_that_the_sdk_makes_of_them(arm: BatchManagementClient, world: World) -> None:
    arm.pool.create(*ACCOUNT, "nightly", pool_body(1))
    _pass(world, 10)

    with pytest.raises(ResourceExistsError):
        arm.pool.create(*ACCOUNT, "nightly", pool_body(1), etag="*", match_condition=MatchConditions.IfMissing)
    with pytest.raises(ResourceModifiedError):
        arm.pool.update(*ACCOUNT, "nightly", scale(2), etag='W/"0x0"', match_condition=MatchConditions.IfNotModified)
    with pytest.raises(HttpResponseError) as refused:
        arm.pool.update(*ACCOUNT, "nightly", {"properties": {"vmSize": "STANDARD_D4S_V5"}})
    assert refused.value.error is not None
    assert refused.value.error.code == "PropertyCannotBeUpdated"


def test_the_data_plane_sees_the_pool_and_its_nodes(
    arm: BatchManagementClient, plane: BatchClient, world: World
) -> None:
    arm.pool.create(*ACCOUNT, "nightly", pool_body(2, 1))
    _pass(world, 10)

    pool = plane.get_pool("nightly")
    counts = next(iter(plane.list_pool_node_counts(filter="poolId eq 'nightly'")))
    nodes = list(plane.list_nodes("nightly"))

    assert (pool.allocation_state, pool.current_dedicated_nodes) == ("steady", 2)
    assert counts.dedicated is not None
    assert counts.low_priority is not None
    assert (counts.dedicated.idle, counts.low_priority.idle) == (2, 1)
    assert sorted(bool(node.is_dedicated) for node in nodes) == [False, True, True]
    reference = nodes[0].virtual_machine_info.image_reference
    assert reference is not None
    assert reference.sku == "server"


def test_resize_pollers_end(plane: BatchClient, world: World) -> None:
    plane.create_pool(_ubuntu_pool("nightly", 1))
    _pass(world, 10)
    world.clock.set_speed(600)

    options = models.BatchPoolResizeOptions(target_dedicated_nodes=2, resize_timeout=timedelta(minutes=10))
    plane.begin_resize_pool("nightly", options, polling_interval=1).result()

    assert plane.get_pool("nightly").current_dedicated_nodes == 2


def test_a_short_timeout_is_refused_with_its_reason(plane: BatchClient, world: World) -> None:
    plane.create_pool(_ubuntu_pool("nightly", 0))
    options = models.BatchPoolResizeOptions(target_dedicated_nodes=2, resize_timeout=timedelta(minutes=4))

    with pytest.raises(HttpResponseError) as refused:
        plane.begin_resize_pool("nightly", options)

    assert refused.value.status_code == 400
    assert "5 minutes" in str(refused.value)


def test_pool_exists_raises_for_a_missing_pool(plane: BatchClient) -> None:
    plane.create_pool(_ubuntu_pool("nightly", 0))

    assert plane.pool_exists("nightly") is True
    with pytest.raises(ResourceNotFoundError):
        plane.pool_exists("nobody")


def test_a_part_of_a_tasks_output_is_downloaded(plane: BatchClient, world: World) -> None:
    plane.create_pool(_ubuntu_pool("nightly", 1))
    _pass(world, 10)
    plane.create_job(models.BatchJobCreateOptions(id="work", pool_info=models.BatchPoolInfo(pool_id="nightly")))
    plane.create_task("work", models.BatchTaskCreateOptions(id="one", command_line="sleep 10"))
    _pass(world, 1)

    size = plane.get_task_file_properties("work", "one", "stdout.txt").content_length
    part = b"".join(plane.download_task_file("work", "one", "stdout.txt", ocp_range=f"bytes=6-{size - 1}"))

    assert (size, part) == (9, b"10\n")


def test_a_job_moves_to_another_pool(plane: BatchClient, world: World) -> None:
    plane.create_pool(_ubuntu_pool("blue", 1))
    plane.create_pool(_ubuntu_pool("green", 1))
    plane.create_job(models.BatchJobCreateOptions(id="work", pool_info=models.BatchPoolInfo(pool_id="blue")))
    world.clock.set_speed(600)
    disable = models.BatchJobDisableOptions(disable_tasks="requeue")
    plane.begin_disable_job("work", disable, polling_interval=1).result()
    plane.update_job("work", models.BatchJobUpdateOptions(pool_info=models.BatchPoolInfo(pool_id="green")))
    plane.begin_enable_job("work", polling_interval=1).result()
    plane.create_task("work", models.BatchTaskCreateOptions(id="one", command_line="sleep 10"))
    _pass(world, 20)

    task = plane.get_task("work", "one")
    assert task.node_info is not None
    assert (task.state, task.node_info.pool_id) == ("completed", "green")
