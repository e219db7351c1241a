"""What the Batch hook sends, word by word, and what it makes of odd answers."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from golden_pools.errors import AzureBusyError, AzureRefusedError, OwnershipError
from golden_pools.hooks.batch import AsyncBatchHook, BatchHook, PoolSettings
from golden_pools.hooks.connection import AzureConnection
from golden_pools.rules.facts import AllocationState, PoolStartTask, ResizeError
from golden_pools.spec.model import Deallocation, Network, Pool, StartTask, Targets

from .wire import SUBSCRIPTION, Answer, Wire

POOL_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/batch/providers/Microsoft.Batch/batchAccounts/acc/pools/p"
SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"
IDENTITY = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
ETAG = 'W/"0x1"'
SETTINGS = PoolSettings(
    vm_size="Standard_D2s_v5",
    image_id="/version",
    node_agent_sku="batch.node.ubuntu 22.04",
    metadata={"team": "data"},
    tags={"run": "1"},
)
WHERE = ("batch", "acc", "p")


@pytest.fixture
def hook(wire: Wire, connection: AzureConnection) -> BatchHook:
    return BatchHook("c", SUBSCRIPTION, connection=connection, transport=wire.transport)


def pool(**properties: Any) -> dict[str, Any]:
    return {"id": POOL_ID, "name": "p", "etag": ETAG, "properties": {"provisioningState": "Succeeded", **properties}}


def refusal(status: int, code: str) -> Answer:
    return Answer(status, {"error": {"code": code, "message": "m"}})


def asked(wire: Wire) -> list[str]:
    return [f"{request.method} {urlsplit(request.url).path}" for request in wire.requests]


class TestRead:
    def test_resize_and_errors_are_read(self, wire: Wire, hook: BatchHook) -> None:
        details = [{"code": "Reason", "message": "why"}]
        error = {"code": "AllocationTimedout", "message": "late", "details": details}
        resize = {"targetDedicatedNodes": 3, "startTime": "2026-11-22T02:00:00.1234567Z", "errors": [error]}
        scale = {"fixedScale": {"targetDedicatedNodes": 3, "targetLowPriorityNodes": 1}}
        wire.script(
            Answer(
                body=pool(
                    allocationState="Resizing",
                    currentDedicatedNodes=2,
                    resizeOperationStatus=resize,
                    scaleSettings=scale,
                )
            )
        )
        seen = hook.pool(*WHERE)
        assert seen is not None
        assert seen.allocation_state is AllocationState.RESIZING
        assert seen.resize_started == datetime(2026, 11, 22, 2, 0, 0, 123456, tzinfo=UTC)
        assert seen.resize_errors == (
            ResizeError(code="AllocationTimedout", message="late", details=(("Reason", "why"),)),
        )
        assert (seen.target_dedicated, seen.target_spot, seen.current_dedicated, seen.etag) == (3, 1, 2, ETAG)

    def test_a_pool_without_anything_is_read(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(Answer(body={"id": POOL_ID, "name": "p"}))
        seen = hook.pool(*WHERE)
        assert seen is not None
        assert (seen.current_total, seen.autoscale, seen.resize_errors, seen.start_task) == (0, False, (), None)

    def test_ports_that_lead_to_nodes_are_counted(self, wire: Wire, hook: BatchHook) -> None:
        ports = {"endpointConfiguration": {"inboundNatPools": [{"name": "ssh"}, {"name": "rdp"}]}}
        wire.script(Answer(body=pool(networkConfiguration=ports)))
        seen = hook.pool(*WHERE)
        assert seen is not None
        assert seen.inbound_nat_pools == 2

    def test_a_missing_pool_is_none(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(refusal(404, "PoolNotFound"))
        assert hook.pool(*WHERE) is None

    def test_a_missing_resource_group_is_refused(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(refusal(404, "ResourceGroupNotFound"))
        with pytest.raises(AzureRefusedError, match="resource group's name in the spec"):
            hook.pool(*WHERE)

    def test_all_pages_are_listed(self, wire: Wire, hook: BatchHook) -> None:
        first = {"value": [pool()], "nextLink": "http://localhost:8070/next?page=2"}
        wire.script(Answer(body=first), Answer(body={"value": [{**pool(), "name": "q"}]}))
        assert [seen.name for seen in hook.pools("batch", "acc")] == ["p", "q"]

    def test_vm_sizes_survive_unknown_capabilities(self, wire: Wire, hook: BatchHook) -> None:
        end = "2027-01-12T00:00:00Z"
        skus = [
            {"name": "Standard_D2s_v5", "familyName": "f", "capabilities": [{"name": "vCPUsAvailable", "value": "2"}]},
            {"name": "Standard_Odd", "batchSupportEndOfLife": end},
        ]
        wire.script(Answer(body={"value": skus}))
        sizes = hook.vm_sizes("westeurope")
        assert (sizes["standard_d2s_v5"].vcpus, sizes["standard_odd"].vcpus) == (2, 0)
        assert sizes["standard_odd"].batch_support_ends == datetime(2027, 1, 12, tzinfo=UTC)

    def test_null_quotas_of_a_user_subscription_account_are_read(self, wire: Wire, hook: BatchHook) -> None:
        properties = {"poolAllocationMode": "UserSubscription", "dedicatedCoreQuota": None}
        wire.script(Answer(body={"id": "/a", "name": "acc", "location": "West Europe", "properties": properties}))
        account = hook.account("batch", "acc")
        assert (account.allocation_mode, account.dedicated_core_quota) == ("UserSubscription", None)
        assert account.location == "westeurope"


class TestDataPlane:
    @pytest.fixture
    def hook(self, wire: Wire) -> BatchHook:
        extra = {"arm_endpoint": "http://localhost:8070", "batch_endpoint": "http://localhost:8070/{account}"}
        connection = AzureConnection.parse("c", extra=extra)
        return BatchHook("c", SUBSCRIPTION, connection=connection, transport=wire.transport)

    def test_states_of_nodes_are_counted_by_kind(self, wire: Wire, hook: BatchHook) -> None:
        counts = {
            "poolId": "p",
            "dedicated": {"idle": 2, "startTaskFailed": 1, "upgradingOS": 0, "total": 3},
            "lowPriority": {"preempted": 4, "total": 4},
        }
        wire.script(Answer(body={"value": [counts]}))
        nodes = hook.node_counts("batch", "acc")["p"]
        assert nodes.dedicated.by_state == {"idle": 2, "starttaskfailed": 1}
        assert (nodes.dedicated.ready, nodes.dedicated.failed, nodes.spot.total) == (2, 1, 4)

    def test_errors_of_the_data_plane_have_their_own_shape(self, wire: Wire, hook: BatchHook) -> None:
        message = {"lang": "en-us", "value": "Server failed to authenticate.\nRequestId:1\nTime:2"}
        values = [{"key": "AuthenticationErrorDetail", "value": "no AAD"}]
        wire.script(Answer(403, {"code": "AuthenticationFailed", "message": message, "values": values}))
        with pytest.raises(AzureRefusedError) as caught:
            hook.supported_images("batch", "acc")
        assert caught.value.answer == (
            "HTTP 403 AuthenticationFailed: Server failed to authenticate. RequestId:1 Time:2 "
            "(AuthenticationErrorDetail=no AAD)"
        )
        assert "Azure Batch Data Contributor" in caught.value.advice


class TestCreate:
    def test_the_body_says_everything_and_no_nodes(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(Answer(body=pool()))
        task = PoolStartTask(command_line="/bin/true", elevated=True, wait_for_success=True, environment={"A": "b"})
        whole = replace(SETTINGS, start_task=task, subnet_id=SUBNET, public_addresses=False, identities=(IDENTITY,))
        hook.create_pool(*WHERE, whole)
        assert wire.requests[0].headers["If-None-Match"] == "*"
        assert wire.body() == {
            "tags": {"run": "1"},
            "identity": {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}},
            "properties": {
                "vmSize": "Standard_D2s_v5",
                "taskSlotsPerNode": 1,
                "interNodeCommunication": "Disabled",
                "deploymentConfiguration": {
                    "virtualMachineConfiguration": {
                        "imageReference": {"id": "/version"},
                        "nodeAgentSkuId": "batch.node.ubuntu 22.04",
                    }
                },
                "scaleSettings": {"fixedScale": {"targetDedicatedNodes": 0, "targetLowPriorityNodes": 0}},
                "networkConfiguration": {
                    "subnetId": SUBNET,
                    "publicIPAddressConfiguration": {"provision": "NoPublicIPAddresses"},
                },
                "metadata": [{"name": "team", "value": "data"}],
                "startTask": {
                    "commandLine": "/bin/true",
                    "userIdentity": {"autoUser": {"scope": "Pool", "elevationLevel": "Admin"}},
                    "waitForSuccess": True,
                    "maxTaskRetryCount": 0,
                    "environmentSettings": [{"name": "A", "value": "b"}],
                },
            },
        }

    def test_nodes_can_come_at_once(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(Answer(body=pool()))
        hook.create_pool(*WHERE, SETTINGS, targets=Targets(dedicated=2, spot=1), timeout=timedelta(minutes=30))
        assert wire.body()["properties"]["scaleSettings"] == {
            "fixedScale": {"targetDedicatedNodes": 2, "targetLowPriorityNodes": 1, "resizeTimeout": "PT30M"}
        }

    def test_a_pool_without_public_addresses_needs_no_subnet(self, wire: Wire, hook: BatchHook) -> None:
        """No spec says so, but a pool that is put back as it was may be one."""
        wire.script(Answer(body=pool()))
        hook.create_pool(*WHERE, replace(SETTINGS, public_addresses=False))
        network = {"publicIPAddressConfiguration": {"provision": "NoPublicIPAddresses"}}
        assert wire.body()["properties"]["networkConfiguration"] == network

    def test_settings_follow_from_the_spec(self) -> None:
        spec = Pool(
            resource_group="batch",
            account="goldenbatch",
            vm_size="Standard_D4s_v5",
            node_agent_sku="batch.node.ubuntu 22.04",
            targets=Targets(dedicated=2),
            start_task=StartTask(command_line="/bin/true", max_retries=2),
            network=Network(subnet_id=SUBNET, public_addresses=False),
            metadata={"team": "data"},
            task_slots_per_node=4,
            inter_node_communication=True,
        )
        made = PoolSettings.of(spec, image_id="/v", metadata={"golden_pools_run": "r"}, tags={"a": "b"})
        assert made == PoolSettings(
            vm_size="Standard_D4s_v5",
            image_id="/v",
            node_agent_sku="batch.node.ubuntu 22.04",
            task_slots_per_node=4,
            inter_node_communication=True,
            start_task=PoolStartTask(command_line="/bin/true", wait_for_success=True, max_retries=2),
            subnet_id=SUBNET,
            public_addresses=False,
            metadata={"team": "data", "golden_pools_run": "r"},
            tags={"a": "b"},
        )

    @pytest.mark.parametrize(
        "answer", [refusal(412, "ConditionNotMet"), refusal(409, "PoolExists")], ids=["412", "409"]
    )
    def test_an_existing_pool_is_never_touched(self, wire: Wire, hook: BatchHook, answer: Answer) -> None:
        """Which of the two Batch says is not documented."""
        wire.script(answer)
        with pytest.raises(OwnershipError) as caught:
            hook.create_pool(*WHERE, SETTINGS)
        assert caught.value.resource == POOL_ID
        assert caught.value.advice

    def test_a_used_up_pool_quota_is_no_race(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(refusal(409, "PoolQuotaReached"))
        with pytest.raises(AzureRefusedError, match="quota"):
            hook.create_pool(*WHERE, SETTINGS)

    def test_same_id_while_deleting_is_waited_for(self, wire: Wire, hook: BatchHook) -> None:
        """nextflow 2110: the same pool id cannot be made again while it is being deleted."""
        wire.script(refusal(409, "PoolBeingDeleted"))
        with pytest.raises(AzureBusyError):
            hook.create_pool(*WHERE, SETTINGS)


class TestPatch:
    def test_a_resize_sends_nothing_but_the_scale(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(Answer(body=pool(resizeOperationStatus={"startTime": "2026-11-22T02:00:00Z"})))
        answer = hook.resize_pool(*WHERE, dedicated=3, spot=1, timeout=timedelta(minutes=15), etag=ETAG)
        assert [(request.method, request.headers["If-Match"]) for request in wire.requests] == [("PATCH", ETAG)]
        assert wire.body() == {
            "properties": {
                "scaleSettings": {
                    "fixedScale": {
                        "targetDedicatedNodes": 3,
                        "targetLowPriorityNodes": 1,
                        "resizeTimeout": "PT15M",
                    }
                }
            }
        }
        assert answer.resize_started == datetime(2026, 11, 22, 2, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("option", "wanted"),
        [
            (Deallocation.REQUEUE, "Requeue"),
            (Deallocation.TERMINATE, "Terminate"),
            (Deallocation.TASK_COMPLETION, "TaskCompletion"),
        ],
    )
    def test_a_shrink_says_what_happens_to_tasks(
        self, wire: Wire, hook: BatchHook, option: Deallocation, wanted: str
    ) -> None:
        wire.script(Answer(body=pool()))
        hook.resize_pool(*WHERE, dedicated=0, spot=0, timeout=timedelta(hours=2), etag=ETAG, deallocation=option)
        scale = wire.body()["properties"]["scaleSettings"]["fixedScale"]
        assert (scale["nodeDeallocationOption"], scale["resizeTimeout"]) == (wanted, "PT120M")

    def test_a_resize_that_goes_on_is_busy(self, wire: Wire, hook: BatchHook) -> None:
        """terraform-azurerm 7316."""
        wire.script(refusal(409, "PoolBeingResized"))
        with pytest.raises(AzureBusyError):
            hook.resize_pool(*WHERE, dedicated=1, spot=0, timeout=timedelta(minutes=15), etag=ETAG)

    def test_another_image_keeps_what_the_spec_does_not_speak_of(self, wire: Wire, hook: BatchHook) -> None:
        machine = {
            "imageReference": {"id": "/old"},
            "nodeAgentSkuId": "old",
            "securityProfile": {"encryptionAtHost": True},
            "licenseType": None,
        }
        ports = {"endpointConfiguration": {"inboundNatPools": []}}
        present = pool(
            deploymentConfiguration={"virtualMachineConfiguration": machine},
            networkConfiguration={"subnetId": "/old", **ports},
        )
        wire.script(Answer(body=present), Answer(body=pool()))
        hook.update_pool_image(*WHERE, SETTINGS, etag=ETAG)
        assert wire.requests[1].headers["If-Match"] == ETAG
        assert wire.body() == {
            "properties": {
                "vmSize": "Standard_D2s_v5",
                "taskSlotsPerNode": 1,
                "interNodeCommunication": "Disabled",
                "deploymentConfiguration": {
                    "virtualMachineConfiguration": {
                        "imageReference": {"id": "/version"},
                        "nodeAgentSkuId": "batch.node.ubuntu 22.04",
                        "securityProfile": {"encryptionAtHost": True},
                    }
                },
                "networkConfiguration": ports,
                "metadata": [{"name": "team", "value": "data"}],
            }
        }

    @pytest.mark.parametrize(
        ("present", "wanted"),
        [
            (None, None),
            ({"publicIPAddressConfiguration": {"provision": "NoPublicIPAddresses"}}, {}),
            ({"publicIPAddressConfiguration": {"provision": "UserManaged"}}, None),
        ],
        ids=["none", "spec wants addresses", "foreign addresses stay"],
    )
    def test_the_network_is_sent_only_where_it_differs(
        self, wire: Wire, hook: BatchHook, present: Any, wanted: Any
    ) -> None:
        wire.script(Answer(body=pool(networkConfiguration=present)), Answer(body=pool()))
        hook.update_pool_image(*WHERE, SETTINGS, etag=ETAG)
        assert wire.body()["properties"].get("networkConfiguration") == wanted

    @pytest.mark.parametrize(
        ("has", "wants", "sent"),
        [
            ((), (), None),
            ((IDENTITY.upper(),), (IDENTITY,), None),
            ((), (IDENTITY,), {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}),
            ((IDENTITY,), (), {"type": "None"}),
        ],
        ids=["none", "same", "added", "removed"],
    )
    def test_identities_are_sent_only_where_they_differ(
        self, wire: Wire, hook: BatchHook, has: tuple[str, ...], wants: tuple[str, ...], sent: Any
    ) -> None:
        identity = {"type": "UserAssigned", "userAssignedIdentities": {name: {} for name in has}}
        wire.script(Answer(body={**pool(), "identity": identity}), Answer(body=pool()))
        hook.update_pool_image(*WHERE, replace(SETTINGS, identities=wants), etag=ETAG)
        assert wire.body().get("identity") == sent

    def test_settings_with_nodes_in_the_pool_leave_the_machine_alone(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(Answer(body=pool()))
        hook.update_pool_settings(*WHERE, SETTINGS, etag=ETAG)
        assert wire.body() == {"properties": {"metadata": [{"name": "team", "value": "data"}]}}

    def test_a_start_task_that_left_the_spec_is_removed(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(Answer(body=pool(startTask={"commandLine": "old"})), Answer(body=pool()))
        hook.update_pool_settings(*WHERE, SETTINGS, etag=ETAG)
        assert wire.body()["properties"]["startTask"] == {}

    def test_metadata_are_sent_whole_and_alone(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(Answer(body=pool(metadata=[{"name": "a", "value": "b"}])))
        assert hook.set_metadata(*WHERE, {"a": "b"}, etag=ETAG).metadata == {"a": "b"}
        assert [(request.method, request.headers["If-Match"]) for request in wire.requests] == [("PATCH", ETAG)]
        assert wire.body() == {"properties": {"metadata": [{"name": "a", "value": "b"}]}}

    def test_another_size_is_sent_alone(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(Answer(body=pool(vmSize="Standard_D4as_v5")))
        assert hook.update_vm_size(*WHERE, "Standard_D4as_v5", etag=ETAG).vm_size == "Standard_D4as_v5"
        assert [(request.method, request.headers["If-Match"]) for request in wire.requests] == [("PATCH", ETAG)]
        assert wire.body() == {"properties": {"vmSize": "Standard_D4as_v5"}}

    def test_a_formula_is_switched_off(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(Answer(body=pool(scaleSettings={"fixedScale": {"targetDedicatedNodes": 2}})))
        assert not hook.disable_autoscale(*WHERE).autoscale
        assert asked(wire) == [f"POST {POOL_ID}/disableAutoScale"]

    def test_an_image_is_refused_while_there_are_nodes(self, wire: Wire, hook: BatchHook) -> None:
        """Azure/Batch 85."""
        wire.script(Answer(body=pool()), refusal(409, "PropertyCannotBeUpdated"))
        with pytest.raises(AzureRefusedError) as caught:
            hook.update_pool_image(*WHERE, SETTINGS, etag=ETAG)
        assert caught.value.code == "PropertyCannotBeUpdated"
        assert "shrink it to zero" in caught.value.advice


class TestStopResize:
    def test_the_resize_that_was_seen_is_stopped(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(Answer(body=pool(allocationState="Resizing")), Answer(body=pool(allocationState="Stopping")))
        assert hook.stop_resize(*WHERE, etag=ETAG).allocation_state is AllocationState.STOPPING
        assert asked(wire) == [f"GET {POOL_ID}", f"POST {POOL_ID}/stopResize"]

    def test_another_resize_goes_on(self, wire: Wire, hook: BatchHook) -> None:
        wire.script(Answer(body=pool(allocationState="Resizing") | {"etag": "other"}))
        with pytest.raises(OwnershipError):
            hook.stop_resize(*WHERE, etag=ETAG)
        assert asked(wire) == [f"GET {POOL_ID}"]

    @pytest.mark.parametrize("state", ["Steady", "Stopping"])
    def test_what_has_stopped_needs_no_stop(self, wire: Wire, hook: BatchHook, state: str) -> None:
        wire.script(Answer(body=pool(allocationState=state) | {"etag": "other"}))
        assert hook.stop_resize(*WHERE, etag=ETAG).allocation_state == state
        assert asked(wire) == [f"GET {POOL_ID}"]


class TestDelete:
    def test_a_deletion_is_only_begun(self, wire: Wire, hook: BatchHook) -> None:
        before = set(threading.enumerate())
        wire.script(Answer(202, headers={"Location": "http://localhost:8070/x", "Retry-After": "15"}))
        hook.delete_pool(*WHERE)
        assert asked(wire) == [f"DELETE {POOL_ID}"]
        assert set(threading.enumerate()) == before

    @pytest.mark.parametrize(
        "answer", [Answer(204), refusal(404, "PoolNotFound"), refusal(409, "PoolBeingDeleted")], ids=str
    )
    def test_it_is_safe_to_do_twice(self, wire: Wire, hook: BatchHook, answer: Answer) -> None:
        wire.script(answer)
        hook.delete_pool(*WHERE)
        assert asked(wire) == [f"DELETE {POOL_ID}"]

    @pytest.mark.parametrize(
        ("answer", "advice"),
        [
            (refusal(409, "ScopeLocked"), "a lock stands on"),
            (refusal(404, "ResourceGroupNotFound"), "resource group's name"),
        ],
        ids=["locked", "wrong group"],
    )
    def test_a_pool_that_stays_is_told(self, wire: Wire, hook: BatchHook, answer: Answer, advice: str) -> None:
        wire.script(answer)
        with pytest.raises(AzureRefusedError) as refused:
            hook.delete_pool(*WHERE)
        assert advice in refused.value.advice


class TestSharedPoll:
    async def test_one_request_a_page_with_only_what_a_wait_looks_at(
        self, wire: Wire, connection: AzureConnection
    ) -> None:
        wire.script(Answer(body={"value": [pool(allocationState="Resizing")]}))
        async with AsyncBatchHook("c", SUBSCRIPTION, connection=connection, transport=wire.async_transport) as hook:
            pools = await hook.pools("batch", "acc")
        assert [seen.allocation_state for seen in pools] == [AllocationState.RESIZING]
        assert len(wire.requests) == 1
        assert "$select=" in wire.requests[0].url
        assert "startTask" not in wire.requests[0].url

    async def test_an_outage_is_told_as_busy(self, wire: Wire, connection: AzureConnection) -> None:
        wire.script(refusal(503, "ServerBusy"))
        async with AsyncBatchHook("c", SUBSCRIPTION, connection=connection, transport=wire.async_transport) as hook:
            with pytest.raises(AzureBusyError):
                await hook.node_counts("batch", "acc")
