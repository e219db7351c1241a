"""What is repeated, what may leave in a plan-only run, and what is logged."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from golden_pools.errors import AzureBusyError, AzureRefusedError, OwnershipError, ReadOnlyError
from golden_pools.hooks.batch import AsyncBatchHook, BatchHook, PoolSettings
from golden_pools.hooks.batch_work import BatchWorkHook
from golden_pools.hooks.compute import ComputeHook
from golden_pools.hooks.connection import AzureConnection
from golden_pools.hooks.restore_points import RestorePointHook
from golden_pools.rules.facts import Job, JobSchedule, JobState
from golden_pools.rules.origin import Origin
from golden_pools.rules.source import System
from golden_pools.spec.model import Deallocation, MoveTasks

from .wire import SUBSCRIPTION, Answer, Wire

RESIZING = {"provisioningState": "Succeeded", "allocationState": "Resizing"}
POOL = {"id": "/p", "name": "p", "etag": "e", "properties": RESIZING}
VERSION = {"id": "/v", "properties": {"publishingProfile": {"targetRegions": []}, "storageProfile": {}}}
SETTINGS = PoolSettings(vm_size="Standard_D2s_v5", image_id="/v", node_agent_sku="batch.node.ubuntu 22.04")
GALLERY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.Compute/galleries/g"
DEFINITION_ID = f"{GALLERY}/images/d"
VERSION_ID = f"{DEFINITION_ID}/versions/1.2.3"


@pytest.fixture
def batch(wire: Wire, connection: AzureConnection) -> BatchHook:
    return BatchHook("azure_default", SUBSCRIPTION, connection=connection, transport=wire.transport)


def busy(status: int = 503, **headers: str) -> Answer:
    return Answer(status, {"error": {"code": "Busy", "message": "later"}}, headers)


class TestRepeats:
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_a_read_is_asked_again(self, wire: Wire, batch: BatchHook, status: int) -> None:
        wire.script(busy(status), Answer(body=POOL))
        assert batch.pool("batch", "acc", "p") is not None
        assert len(wire.requests) == 2

    def test_three_repeats_are_enough(self, wire: Wire, batch: BatchHook) -> None:
        wire.script(busy())
        with pytest.raises(AzureBusyError):
            batch.pool("batch", "acc", "p")
        assert len(wire.requests) == 4

    def test_pauses_grow(self, wire: Wire, batch: BatchHook) -> None:
        wire.script(busy())
        with pytest.raises(AzureBusyError):
            batch.pool("batch", "acc", "p")
        assert wire.pauses == sorted(wire.pauses)
        assert len(wire.pauses) == 2  # the first repeat follows at once

    def test_retry_after_is_honoured(self, wire: Wire, batch: BatchHook) -> None:
        wire.script(busy(429, **{"Retry-After": "7"}), Answer(body=POOL))
        batch.pool("batch", "acc", "p")
        assert wire.pauses == [7]

    def test_a_worker_does_not_sit_out_a_long_retry_after(self, wire: Wire, batch: BatchHook) -> None:
        wire.script(busy(429, **{"Retry-After": "1700"}))
        with pytest.raises(AzureBusyError) as caught:
            batch.pool("batch", "acc", "p")
        assert caught.value.retry_after_seconds == 1700
        assert (len(wire.requests), wire.pauses) == (1, [])

    def test_a_refusal_is_not_asked_again_even_with_retry_after(self, wire: Wire, batch: BatchHook) -> None:
        """The SDK repeats every answer from 400 up that has the header."""
        wire.script(busy(400, **{"Retry-After": "1"}))
        with pytest.raises(AzureRefusedError):
            batch.pool("batch", "acc", "p")
        assert len(wire.requests) == 1

    def test_a_conditional_write_is_repeated_after_429(self, wire: Wire, batch: BatchHook) -> None:
        wire.script(busy(429), Answer(body=POOL))
        batch.create_pool("batch", "acc", "p", SETTINGS)
        assert len(wire.requests) == 2

    @pytest.mark.parametrize(
        "answer",
        [busy(503), busy(500), Answer(error=ServiceResponseError("connection lost"))],
        ids=["503", "500", "lost reply"],
    )
    def test_lost_reply_to_a_conditional_write_is_not_repeated(
        self, wire: Wire, batch: BatchHook, answer: Answer
    ) -> None:
        """A second try would meet the first one's pool or ETag and call this run a stranger."""
        wire.script(answer, Answer(412, {"error": {"code": "ConditionNotMet", "message": "m"}}))
        with pytest.raises(AzureBusyError):
            batch.create_pool("batch", "acc", "p", SETTINGS)
        assert len(wire.requests) == 1

    def test_a_patch_is_not_repeated_after_503(self, wire: Wire, batch: BatchHook) -> None:
        wire.script(busy(503), Answer(412, {"error": {"code": "ConditionNotMet", "message": "m"}}))
        with pytest.raises(AzureBusyError):
            resize(batch)
        assert len(wire.requests) == 1

    def test_429_on_snapshot_does_not_make_two(self, wire: Wire, connection: AzureConnection) -> None:
        """velero 8932: each repeat made another snapshot; here the name is the same, so PUT says the same again."""
        compute = ComputeHook("c", SUBSCRIPTION, connection=connection, transport=wire.transport)
        wire.script(busy(429), Answer(200, {"id": "/s", "name": "s", "properties": {"provisioningState": "Succeeded"}}))
        compute.begin_snapshot("g", "s", location="l", source_id="/d", tags={})
        assert [(request.method, request.url) for request in wire.requests] == 2 * [("PUT", wire.requests[0].url)]

    def test_a_lost_connection_is_tried_again_for_a_read(self, wire: Wire, batch: BatchHook) -> None:
        wire.script(Answer(error=ServiceRequestError("no route")), Answer(body=POOL))
        assert batch.pool("batch", "acc", "p") is not None

    async def test_the_asynchronous_client_repeats_the_same(self, wire: Wire, connection: AzureConnection) -> None:
        hook = AsyncBatchHook("c", SUBSCRIPTION, connection=connection, transport=wire.async_transport)
        wire.script(busy(429, **{"Retry-After": "7"}), Answer(body={"value": [POOL]}))
        assert [pool.name for pool in await hook.pools("batch", "acc")] == ["p"]
        assert wire.pauses == [7]

    def test_no_resource_provider_is_registered_behind_our_back(self, wire: Wire, batch: BatchHook) -> None:
        """The SDK's own pipeline would POST .../register and then sleep without end."""
        message = "The subscription is not registered to use namespace 'Microsoft.Batch'."
        wire.script(Answer(409, {"error": {"code": "MissingSubscriptionRegistration", "message": message}}))
        with pytest.raises(AzureRefusedError, match="az provider register"):
            batch.pool("batch", "acc", "p")
        assert [request.method for request in wire.requests] == ["GET"]

    def test_a_redirect_is_not_followed(self, wire: Wire, batch: BatchHook) -> None:
        wire.script(Answer(307, headers={"Location": "https://evil.example"}))
        with pytest.raises(AzureRefusedError):
            batch.pool("batch", "acc", "p")
        assert len(wire.requests) == 1


def resize(hook: BatchHook) -> None:
    hook.resize_pool("batch", "acc", "p", dedicated=1, spot=0, timeout=timedelta(minutes=15), etag='W/"0x1"')


SYSTEM = System(location="l", os_type="Linux", generation="V2")

COMPUTE_WRITES: dict[str, Callable[[RestorePointHook], object]] = {
    "begin_deallocate": lambda hook: hook.begin_deallocate("g", "vm"),
    "begin_power_off": lambda hook: hook.begin_power_off("g", "vm"),
    "begin_start": lambda hook: hook.begin_start("g", "vm"),
    "begin_disk": lambda hook: hook.begin_disk("g", "d", location="l", sku=None, source_id="/s", tags={}),
    "begin_network_card": lambda hook: hook.begin_network_card("g", "n", location="l", subnet_id="/s", tags={}),
    "begin_machine": lambda hook: hook.begin_machine(
        "g", "vm", system=SYSTEM, vm_size="s", disks={None: "/d"}, tags={}
    ),
    "put_collection": lambda hook: hook.put_collection("g", "c", location="l", vm_id="/vm", tags={}),
    "begin_point": lambda hook: hook.begin_point("g", "c", "p"),
    "begin_restored_disk": lambda hook: hook.begin_restored_disk(
        "g", "d", location="l", sku=None, source_id="/s", tags={}
    ),
    "begin_script": lambda hook: hook.begin_script("g", "vm", script="true", windows=False),
    "generalize": lambda hook: hook.generalize("g", "vm"),
    "begin_delete": lambda hook: hook.begin_delete("/subscriptions/s/providers/Microsoft.Compute/disks/d"),
    "begin_snapshot": lambda hook: hook.begin_snapshot("g", "s", location="l", source_id="/d", tags={}),
    "begin_managed_image": lambda hook: hook.begin_managed_image(
        "g", "i", system=SYSTEM, origin=Origin(vm_id="/vm"), tags={}
    ),
    "begin_definition": lambda hook: hook.begin_definition(
        DEFINITION_ID,
        system=SYSTEM,
        publisher="p",
        offer="o",
        sku="s",
        tags={},
    ),
    "begin_image_version": lambda hook: hook.begin_image_version(
        VERSION_ID, location="l", origin=Origin(image_id="/i"), target_regions={"l": 1}, tags={}
    ),
    "mark_version": lambda hook: hook.mark_version(VERSION_ID, tags={"a": "b"}, exclude_from_latest=True),
    "begin_regions": lambda hook: hook.begin_regions(VERSION_ID, {"l": 1}),
}
AT_ONCE = {name: write for name, write in COMPUTE_WRITES.items() if name not in ("mark_version", "begin_regions")}
"""Writes that nothing is read for."""

PLACE = ("batch", "acc")
JOB = Job(id="j", state=JobState.DISABLED, pool="p")
SCHEDULE = JobSchedule(id="s", state="active", pool="p")
NO_TIME = timedelta(minutes=5)
BATCH_WRITES: dict[str, Callable[[BatchWorkHook], object]] = {
    "stop_resize": lambda hook: hook.stop_resize(*PLACE, "p", etag="e"),
    "disable_autoscale": lambda hook: hook.disable_autoscale(*PLACE, "p"),
    "delete_pool": lambda hook: hook.delete_pool(*PLACE, "p"),
    "set_metadata": lambda hook: hook.set_metadata(*PLACE, "p", {}, etag="e"),
    "update_vm_size": lambda hook: hook.update_vm_size(*PLACE, "p", "Standard_D4s_v5", etag="e"),
    "disable_job": lambda hook: hook.disable_job(*PLACE, "j", MoveTasks.WAIT),
    "move_job": lambda hook: hook.move_job(*PLACE, JOB, "q"),
    "enable_job": lambda hook: hook.enable_job(*PLACE, "j"),
    "create_job": lambda hook: hook.create_job(*PLACE, "j", pool="p"),
    "delete_job": lambda hook: hook.delete_job(*PLACE, "j"),
    "move_job_schedule": lambda hook: hook.move_job_schedule(*PLACE, SCHEDULE, "q"),
    "add_task": lambda hook: hook.add_task(*PLACE, "j", "t", command_line="/bin/true"),
    "reboot_node": lambda hook: hook.reboot_node(*PLACE, "p", "n"),
    "remove_nodes": lambda hook: hook.remove_nodes(
        *PLACE, "p", ["n"], timeout=NO_TIME, deallocation=Deallocation.REQUEUE
    ),
    "create_pool": lambda hook: hook.create_pool("batch", "acc", "p", SETTINGS),
    "resize_pool": resize,
    "update_pool_image": lambda hook: hook.update_pool_image("batch", "acc", "p", SETTINGS, etag="e"),
    "update_pool_settings": lambda hook: hook.update_pool_settings("batch", "acc", "p", SETTINGS, etag="e"),
}
READS = {
    "account", "pool", "pools", "vm_sizes", "supported_images", "node_counts",
    "jobs", "job", "job_schedules", "tasks", "task_output", "nodes", "start_task_output",
    "golden_vm", "snapshot", "managed_image", "gallery", "definition", "image_version",
    "machine", "disk", "network_card", "point", "collection",
}  # fmt: skip
PLUMBING = {"close", "arm_client", "batch_client", "compute_client", "data_plane_client", "connection"}


class TestReadOnly:
    @pytest.mark.parametrize("write", BATCH_WRITES.values(), ids=BATCH_WRITES)
    def test_no_write_to_batch_leaves(
        self, wire: Wire, connection: AzureConnection, write: Callable[[BatchWorkHook], object]
    ) -> None:
        known = replace(connection, batch_endpoint="http://localhost:8070")
        hook = BatchWorkHook("c", SUBSCRIPTION, read_only=True, connection=known, transport=wire.transport)
        wire.script(Answer(body=POOL | {"jobSpecification": {"poolInfo": {"poolId": "p"}}}, headers={"ETag": "e"}))
        with pytest.raises(ReadOnlyError) as caught:
            write(hook)
        assert {request.method for request in wire.requests} <= {"GET"}
        assert caught.value.code == "ReadOnly"
        assert "report the defect" in caught.value.advice

    @pytest.mark.parametrize("write", COMPUTE_WRITES.values(), ids=COMPUTE_WRITES)
    def test_no_write_to_compute_leaves(
        self, wire: Wire, connection: AzureConnection, write: Callable[[RestorePointHook], object]
    ) -> None:
        hook = RestorePointHook("c", SUBSCRIPTION, read_only=True, connection=connection, transport=wire.transport)
        wire.script(Answer(body=VERSION))
        with pytest.raises(ReadOnlyError):
            write(hook)
        assert {request.method for request in wire.requests} <= {"GET"}

    @pytest.mark.parametrize("write", AT_ONCE.values(), ids=AT_ONCE)
    def test_no_token_is_fetched_for_a_write(
        self, wire: Wire, monkeypatch: pytest.MonkeyPatch, write: Callable[[RestorePointHook], object]
    ) -> None:
        class NoToken:
            def get_token(self, *scopes: str, **options: object) -> None:
                raise AssertionError("a token was fetched")

        monkeypatch.setattr("golden_pools.hooks.credentials.credential", lambda connection: NoToken())
        secure = AzureConnection(conn_id="c")
        hook = RestorePointHook("c", SUBSCRIPTION, read_only=True, connection=secure, transport=wire.transport)
        with pytest.raises(ReadOnlyError):
            write(hook)

    def test_the_data_plane_is_guarded_too(self, wire: Wire, connection: AzureConnection) -> None:
        hook = BatchHook("c", SUBSCRIPTION, read_only=True, connection=connection, transport=wire.transport)
        with pytest.raises(ReadOnlyError):
            hook.data_plane_client("http://localhost:8070").disable_pool_auto_scale("p")
        assert wire.requests == []

    def test_every_method_of_the_hooks_is_known_as_read_or_write(self) -> None:
        """Who adds a write has to add it above, where it is proved to be stopped."""
        methods = {
            name
            for hook in (BatchWorkHook, RestorePointHook)
            for name, _ in inspect.getmembers(hook)
            if not name.startswith("_")
        }
        assert methods - READS - PLUMBING == {*BATCH_WRITES, *COMPUTE_WRITES}

    def test_reads_go_through(self, wire: Wire, connection: AzureConnection) -> None:
        hook = BatchHook("c", SUBSCRIPTION, read_only=True, connection=connection, transport=wire.transport)
        wire.script(Answer(body=POOL))
        assert hook.pool("batch", "acc", "p") is not None


def test_the_log_shows_no_header_query_or_body(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Token:
        def get_token(self, *scopes: str, **options: object) -> object:
            from azure.core.credentials import AccessToken

            return AccessToken("very-secret-token", 2**31)

    monkeypatch.setattr("golden_pools.hooks.credentials.credential", lambda connection: Token())
    secure = AzureConnection(conn_id="c")
    hook = BatchHook("c", SUBSCRIPTION, connection=secure, transport=wire.transport)
    wire.script(Answer(body={**POOL, "tags": {"hidden": "in-the-body"}}, headers={"x-ms-request-id": "42"}))
    with caplog.at_level(logging.DEBUG):
        hook.pool("batch", "acc", "p")
    assert "pools/p -> 200 (request id 42)" in caplog.text
    assert wire.requests[0].headers["Authorization"] == "Bearer very-secret-token"
    for secret in ("very-secret-token", "in-the-body", "api-version"):
        assert secret not in caplog.text


def test_losing_the_race_for_a_pool_is_an_ownership_error(wire: Wire, batch: BatchHook) -> None:
    wire.script(Answer(412, {"error": {"code": "ConditionNotMet", "message": "The condition is not met."}}))
    with pytest.raises(OwnershipError) as caught:
        resize(batch)
    assert caught.value.answer == "HTTP 412 ConditionNotMet: The condition is not met."
    assert wire.requests[0].headers["If-Match"] == 'W/"0x1"'
