"""Waiting for an operation that another process started."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError
from golden_pools.errors import AzureBusyError, AzureRefusedError
from golden_pools.hooks.compute import ComputeHook
from golden_pools.hooks.connection import AzureConnection
from golden_pools.hooks.operations import AsyncOperations, PendingOperation

from .wire import SUBSCRIPTION, Answer, Wire

OPERATION = "http://localhost:8070/operations/1"
SNAPSHOT_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Compute/snapshots/s"


def state(status: str, **more: Any) -> Answer:
    return Answer(body={"status": status, **more}, headers={"Retry-After": "3"})


def resource(provisioning: str) -> Answer:
    return Answer(body={"id": SNAPSHOT_ID, "name": "s", "properties": {"provisioningState": provisioning}})


def busy(status: int = 429) -> Answer:
    return Answer(status, {"error": {"code": "TooManyRequests", "message": "later"}}, {"Retry-After": "40"})


@pytest.fixture
def started(wire: Wire, connection: AzureConnection) -> PendingOperation:
    """A snapshot that was begun by a synchronous client, as it comes out of the task's state."""
    headers = {"Azure-AsyncOperation": OPERATION, "Location": OPERATION, "Retry-After": "1"}
    wire.script(Answer(202, {"name": "s", "properties": {"provisioningState": "Updating"}}, headers))
    hook = ComputeHook("c", SUBSCRIPTION, connection=connection, transport=wire.transport)
    pending = hook.begin_snapshot("images", "s", location="westeurope", source_id="/d", tags={})
    assert len(wire.requests) == 1, "starting must not poll"
    wire.requests.clear()
    return PendingOperation.from_dict(json.loads(json.dumps(pending.to_dict())))


@pytest.fixture
def hook(wire: Wire, connection: AzureConnection) -> AsyncOperations:
    return AsyncOperations("c", SUBSCRIPTION, connection=connection, transport=wire.async_transport)


async def test_polls_the_operation_at_azures_pace_until_it_succeeded(
    wire: Wire, hook: AsyncOperations, started: PendingOperation
) -> None:
    wire.script(state("InProgress"), state("InProgress"), state("Succeeded"), resource("Succeeded"))
    await hook.finish(started)
    assert [request.url for request in wire.requests[:3]] == 3 * [OPERATION]
    assert wire.pauses == [3, 3]


def snapshot(**properties: Any) -> Answer:
    return Answer(body={"id": SNAPSHOT_ID, "name": "s", "properties": {"provisioningState": "Succeeded", **properties}})


async def test_a_copy_in_the_background_is_waited_for(
    wire: Wire, hook: AsyncOperations, started: PendingOperation, no_sleep: list[float]
) -> None:
    halfway = {"completionPercent": 40.5, "snapshotAccessState": "Pending"}
    states = [snapshot(**halfway), snapshot(**halfway), snapshot(snapshotAccessState="Pending"), snapshot()]
    wire.script(state("Succeeded"), snapshot(), *states)
    await hook.finish(replace(started, copies=True))
    assert [request.url.partition("?")[0].endswith(SNAPSHOT_ID) for request in wire.requests[1:]] == 5 * [True]
    assert no_sleep[-3:] == [15, 15, 15]


async def test_a_copy_in_the_background_that_fails_is_refused_with_azures_code(
    wire: Wire, hook: AsyncOperations, started: PendingOperation
) -> None:
    failure = {"errorCode": "CopySourceNotFound", "errorMessage": "The source is gone."}
    wire.script(state("Succeeded"), snapshot(), snapshot(completionPercent=7, copyCompletionError=failure))
    with pytest.raises(AzureRefusedError) as caught:
        await hook.finish(replace(started, copies=True))
    assert caught.value.code == "CopySourceNotFound"
    assert caught.value.answer == "CopySourceNotFound: The source is gone."
    assert caught.value.advice


async def test_a_failed_operation_is_refused_with_azures_code(
    wire: Wire, hook: AsyncOperations, started: PendingOperation
) -> None:
    wire.script(state("Failed", error={"code": "QuotaExceeded", "message": "No more."}))
    with pytest.raises(AzureRefusedError) as caught:
        await hook.finish(started)
    assert (caught.value.code, caught.value.status) == ("QuotaExceeded", 0)
    assert caught.value.answer == "QuotaExceeded: No more."
    assert caught.value.what == "Could not make snapshot s"
    assert "quota" in caught.value.advice


async def test_a_failed_operation_that_a_repeat_may_cure_is_busy(
    wire: Wire, hook: AsyncOperations, started: PendingOperation
) -> None:
    wire.script(state("Failed", error={"code": "InternalServerError", "message": "m"}))
    with pytest.raises(AzureBusyError):
        await hook.finish(started)


async def test_a_canceled_operation_is_a_failure(wire: Wire, hook: AsyncOperations, started: PendingOperation) -> None:
    wire.script(state("Canceled"))
    with pytest.raises(AzureRefusedError):
        await hook.finish(started)


async def test_throttling_and_outages_in_mid_wait_are_outlived(
    wire: Wire, hook: AsyncOperations, started: PendingOperation, no_sleep: list[float]
) -> None:
    outage = Answer(error=ServiceRequestError("no route"))
    wire.script(
        state("InProgress"), *3 * [busy()], *8 * [outage], state("InProgress"), busy(), state("Succeeded"),
        resource("Succeeded"),
    )  # fmt: skip
    await hook.finish(started)
    assert all(40 <= pause <= 48 for pause in no_sleep[:3]), "Retry-After, with some jitter"


async def test_pauses_between_failures_grow(
    wire: Wire, hook: AsyncOperations, started: PendingOperation, no_sleep: list[float]
) -> None:
    wire.script(Answer(503, {"error": {"code": "X", "message": "m"}}))
    with pytest.raises(AzureBusyError):
        await hook.finish(started, patience=8)
    expected = [2, 4, 8, 16, 32, 60, 60, 60]
    assert all(least <= pause <= 1.2 * least for least, pause in zip(expected, no_sleep, strict=True))


async def test_patience_ends(
    wire: Wire, hook: AsyncOperations, started: PendingOperation, no_sleep: list[float]
) -> None:
    wire.script(busy())
    with pytest.raises(AzureBusyError) as caught:
        await hook.finish(started, patience=2)
    assert len(wire.requests) == 3
    assert caught.value.retry_after_seconds == 40


async def test_a_refused_poll_ends_the_wait_at_once(
    wire: Wire, hook: AsyncOperations, started: PendingOperation, no_sleep: list[float]
) -> None:
    wire.script(Answer(403, {"error": {"code": "AuthorizationFailed", "message": "m"}}))
    with pytest.raises(AzureRefusedError) as caught:
        await hook.finish(started)
    assert caught.value.status == 403
    assert no_sleep == []


async def test_an_operation_that_azure_has_forgotten_is_judged_by_its_resource(
    wire: Wire, hook: AsyncOperations, started: PendingOperation
) -> None:
    wire.script(Answer(404, {"error": {"code": "NotFound", "message": "m"}}), resource("Succeeded"))
    await hook.finish(started)
    assert wire.requests[-1].url == f"http://localhost:8070{SNAPSHOT_ID}?api-version=2026-03-02"


class TestWithoutToken:
    """A worker died between the write and saving the token."""

    pending = PendingOperation(what="make snapshot s", resource_id=SNAPSHOT_ID)

    async def test_the_resource_is_watched(self, wire: Wire, hook: AsyncOperations, no_sleep: list[float]) -> None:
        wire.script(resource("Updating"), resource("Updating"), resource("Succeeded"))
        await hook.finish(self.pending)
        assert no_sleep == [15, 15]

    @pytest.mark.parametrize("ending", ["Failed", "Canceled"])
    async def test_a_failed_resource_is_refused(self, wire: Wire, hook: AsyncOperations, ending: str) -> None:
        wire.script(resource(ending))
        with pytest.raises(AzureRefusedError) as caught:
            await hook.finish(self.pending)
        assert caught.value.code == f"Provisioning{ending}"
        assert "Activity log" in caught.value.advice

    async def test_throttling_is_outlived(self, wire: Wire, hook: AsyncOperations, no_sleep: list[float]) -> None:
        wire.script(busy(), busy(), resource("Succeeded"))
        await hook.finish(self.pending)
        assert len(wire.requests) == 3

    async def test_a_resource_that_is_not_there_is_refused(self, wire: Wire, hook: AsyncOperations) -> None:
        wire.script(Answer(404, {"error": {"code": "ResourceNotFound", "message": "m"}}))
        with pytest.raises(AzureRefusedError) as caught:
            await hook.finish(self.pending)
        assert caught.value.code == "ResourceNotFound"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("virtualMachines", "virtual_machines"),
        ("images", "images"),
        ("snapshots", "snapshots"),
        ("galleries", "gallery_image_versions"),
    ],
)
def test_the_api_versions_are_those_of_the_sdk(wire: Wire, connection: AzureConnection, kind: str, name: str) -> None:
    hook = ComputeHook("c", SUBSCRIPTION, connection=connection, transport=wire.transport)
    operations = getattr(hook.compute_client(), name)
    wire.script(Answer(body={}))
    operations.get("g", "n", "d", "1.2.3") if kind == "galleries" else operations.get("g", "n")
    pending = PendingOperation(
        what="", resource_id=f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/{kind}/n"
    )
    assert wire.requests[0].url.endswith(f"api-version={pending.api_version}")
