"""Deletions by a resource's id alone: what may be deleted, and what counts as gone."""

from __future__ import annotations

import pytest
from golden_pools.errors import AzureRefusedError
from golden_pools.hooks.arm import DELETABLE, RemovalHook
from golden_pools.hooks.connection import AzureConnection

from .wire import SUBSCRIPTION, Answer, Wire

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers"
COMPUTE = f"{GROUP}/Microsoft.Compute"
THINGS = {
    "virtualmachines": f"{COMPUTE}/virtualMachines/clone",
    "disks": f"{COMPUTE}/disks/d",
    "networkinterfaces": f"{GROUP}/Microsoft.Network/networkInterfaces/clone-nic",
    "snapshots": f"{COMPUTE}/snapshots/s",
    "images": f"{COMPUTE}/images/i",
    "galleries/images/versions": f"{COMPUTE}/galleries/g/images/d/versions/1.0.0",
    "restorepointcollections": f"{COMPUTE}/restorePointCollections/c",
    "restorepointcollections/restorepoints": f"{COMPUTE}/restorePointCollections/c/restorePoints/p",
}


@pytest.fixture
def removal(wire: Wire, connection: AzureConnection) -> RemovalHook:
    return RemovalHook("c", SUBSCRIPTION, connection=connection, transport=wire.transport)


@pytest.mark.parametrize("kind", sorted(DELETABLE))
def test_what_runs_make_is_deleted_and_waited_for_until_it_is_gone(wire: Wire, removal: RemovalHook, kind: str) -> None:
    wire.script(Answer(status=202, headers={"Location": "http://localhost:8070/later"}))
    operation = removal.begin_delete(THINGS[kind])
    assert operation.removes
    assert operation.token
    assert operation.api_version
    [request] = wire.requests
    assert request.method == "DELETE"
    assert f"{THINGS[kind]}?api-version={operation.api_version}" in request.url


@pytest.mark.parametrize(
    "resource_id",
    [
        f"{COMPUTE}/galleries/g",
        f"{COMPUTE}/galleries/g/images/d",
        f"{GROUP}/Microsoft.Network/virtualNetworks/n",
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Batch/batchAccounts/a",
    ],
)
def test_nothing_else_ever_leaves_the_machine_to_be_deleted(wire: Wire, removal: RemovalHook, resource_id: str) -> None:
    with pytest.raises(ValueError, match="is ever deleted"):
        removal.begin_delete(resource_id)
    assert wire.requests == []


def test_what_is_gone_already_is_no_failure(wire: Wire, removal: RemovalHook) -> None:
    wire.script(Answer(status=404, body={"error": {"code": "ParentResourceNotFound", "message": "no gallery"}}))
    operation = removal.begin_delete(THINGS["galleries/images/versions"])
    assert (operation.token, operation.removes) == (None, True)


def test_a_refusal_says_what_azure_answered(wire: Wire, removal: RemovalHook) -> None:
    wire.script(Answer(status=409, body={"error": {"code": "ScopeLocked", "message": "a lock"}}))
    with pytest.raises(AzureRefusedError) as refused:
        removal.begin_delete(THINGS["disks"])
    assert refused.value.what == "Could not delete d"
    assert "a lock stands" in refused.value.advice
