"""Every method of the hooks once, with the real SDKs against a live simulator: http, and https with tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from golden_pools.errors import AzureBusyError, AzureRefusedError, OwnershipError
from golden_pools.hooks.batch import AsyncBatchHook, BatchHook, PoolSettings
from golden_pools.hooks.batch_work import BatchWorkHook
from golden_pools.hooks.compute import AsyncComputeHook, ComputeHook
from golden_pools.hooks.connection import AzureConnection
from golden_pools.hooks.operations import AsyncOperations, PendingOperation
from golden_pools.rules.facts import AllocationState, GoldenVm, Pool, PoolStartTask, PowerState
from golden_pools.rules.origin import DiskSource, Origin
from golden_pools.rules.source import System
from golden_pools.spec.model import MoveTasks

from include.azure_simulator.clock import Clock
from include.azure_simulator.describe import describe
from include.azure_simulator.faults import FaultRequest
from include.azure_simulator.tls import TlsFiles, ensure_certificates
from include.azure_simulator.world import World
from tests import simulator

from .wire import FakeAsyncCredential, FakeCredential

WHERE = ("batch", "goldenbatch", "small")


@dataclass
class Cloud:
    """A live simulator whose clock stands until a test moves it, and a connection to it."""

    world: World
    connection: AzureConnection
    subscription: str

    def compute(self, **options: Any) -> ComputeHook:
        return ComputeHook("azure_default", self.subscription, connection=self.connection, **options)

    def batch(self, **options: Any) -> BatchHook:
        return BatchHook("azure_default", self.subscription, connection=self.connection, **options)

    def operations(self) -> AsyncOperations:
        return AsyncOperations("azure_default", self.subscription, connection=self.connection)

    def finish(self, *operations: PendingOperation) -> None:
        """Let an hour pass, then wait for operations as the triggerer does."""

        async def wait() -> None:
            async with self.operations() as hook:
                await asyncio.gather(*(hook.finish(operation) for operation in operations))

        self.world.clock.advance(timedelta(hours=1))
        asyncio.run(wait())

    def fault(self, **fault: Any) -> None:
        self.world.faults.add(FaultRequest(**fault))

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.world.traffic.lines()]


@contextmanager
def serve(tls: TlsFiles | None = None) -> Iterator[Cloud]:
    world = World.load(clock=Clock(speed=0, start=datetime(2026, 11, 22, 2, 0, tzinfo=UTC)))
    with simulator.serve(world, tls) as url:
        known: dict[str, Any] = dict(describe(world, url))
        extra = {"arm_endpoint": url, "poll_seconds": 1}
        if tls:
            extra |= {"login_endpoint": url, "ca_bundle": str(tls.ca), "tenantId": known["tenant"]}
        connection = AzureConnection.parse(
            "azure_default",
            login=known["client_id"] if tls else None,
            password=known["client_secret"] if tls else None,
            extra=extra,
        )
        yield Cloud(world, connection, known["subscription"])


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return ensure_certificates(tmp_path_factory.mktemp("tls"))


def publish(cloud: Cloud) -> str:
    """Golden VM -> snapshots -> managed image -> definition -> version; returns the version's id."""
    with cloud.compute() as hook:
        vm = hook.golden_vm("golden", "golden-vm")
        cloud.finish(hook.begin_deallocate("golden", "golden-vm"))
        assert hook.golden_vm("golden", "golden-vm").power_state is PowerState.DEALLOCATED
        snapshots = take_snapshots(cloud, hook, vm)
        cloud.finish(hook.begin_start("golden", "golden-vm"))
        assert hook.golden_vm("golden", "golden-vm").power_state is PowerState.RUNNING
        image = hook.begin_managed_image(
            "images",
            "image",
            system=System.of_vm(vm),
            origin=Origin(disks=tuple(DiskSource(lun=lun, id=snapshot) for lun, snapshot in snapshots.items())),
            tags={},
        )
        cloud.finish(image)
        gallery = hook.gallery("images", "golden_gallery")
        assert gallery is not None
        definition_id = f"{gallery.id}/images/golden"
        assert hook.definition(definition_id) is None
        definition = hook.begin_definition(
            definition_id,
            system=System.of_vm(vm),
            publisher="GoldenPools",
            offer="golden",
            sku="golden",
            tags={},
        )
        cloud.finish(definition)
        version_id = f"{definition_id}/versions/2026.1122.20000"
        assert hook.image_version(version_id) is None
        version = hook.begin_image_version(
            version_id,
            location=vm.location,
            origin=Origin(image_id=image.resource_id),
            target_regions={"westeurope": 1, "northeurope": 1},
            tags={},
        )
        cloud.finish(version)
    return version_id


def take_snapshots(cloud: Cloud, hook: ComputeHook, vm: GoldenVm) -> dict[int | None, str]:
    operations = {}
    for disk in vm.disks:
        assert disk.id is not None
        operations[disk.lun] = hook.begin_snapshot(
            "images", f"copy-{disk.lun}", location=vm.location, source_id=disk.id, tags={"run": "1"}
        )
    cloud.finish(*operations.values())
    return {lun: operation.resource_id for lun, operation in operations.items()}


def settle(cloud: Cloud, hook: BatchHook) -> Pool:
    cloud.world.clock.advance(timedelta(hours=1))
    pool = hook.pool(*WHERE)
    assert pool is not None
    assert pool.allocation_state is AllocationState.STEADY
    return pool


def settings(version_id: str) -> PoolSettings:
    return PoolSettings(
        vm_size="Standard_D2s_v5",
        image_id=version_id,
        node_agent_sku="batch.node.ubuntu 24.04",
        start_task=PoolStartTask(command_line="/bin/true", wait_for_success=True),
        metadata={"team": "data"},
        tags={"run": "1"},
    )


def resize(hook: BatchHook, pool: Pool, dedicated: int, spot: int = 0) -> Pool:
    return hook.resize_pool(*WHERE, dedicated=dedicated, spot=spot, timeout=timedelta(minutes=15), etag=pool.etag)


def test_an_image_is_built_from_a_golden_vm(cloud: Cloud) -> None:
    version_id = publish(cloud)
    with cloud.compute() as hook:
        snapshot = hook.snapshot("images", "copy-None")
        image = hook.managed_image("images", "image")
        version = hook.image_version(version_id)
    assert snapshot is not None
    assert (snapshot.provisioning_state, snapshot.tags) == ("Succeeded", {"run": "1"})
    assert image is not None
    assert [name.rpartition("/")[2] for name in image.snapshot_ids] == ["copy-None", "copy-0", "copy-1"]
    assert version is not None
    assert version.ready_in("northeurope")
    assert version.target_regions == {"westeurope": 1, "northeurope": 1}


def test_a_pool_lives_through_its_whole_life(cloud: Cloud) -> None:
    version_id = publish(cloud)
    with cloud.batch() as hook:
        assert hook.pool(*WHERE) is None
        made = hook.create_pool(*WHERE, settings(version_id))
        assert (made.image_id, made.start_task is not None, made.tags) == (version_id, True, {"run": "1"})

        cloud.world.clock.advance(timedelta(minutes=1))
        growing = resize(hook, made, 2, 1)
        assert (growing.allocation_state, growing.resize_target_dedicated) == (AllocationState.RESIZING, 2)
        assert growing.resize_started != made.resize_started
        grown = settle(cloud, hook)
        assert (grown.current_dedicated, grown.current_spot) == (2, 1)
        nodes = hook.node_counts("batch", "goldenbatch")["small"]
        assert (nodes.dedicated.ready, nodes.spot.ready) == (2, 1)

        changed = hook.update_pool_settings(
            *WHERE, replace(settings(version_id), start_task=None, metadata={"team": "ops"}), etag=grown.etag
        )
        assert (changed.metadata, changed.start_task) == ({"team": "ops"}, None)

        resize(hook, changed, 0)
        empty = settle(cloud, hook)
        bigger = replace(settings(version_id), vm_size="Standard_D4s_v5", task_slots_per_node=2)
        updated = hook.update_pool_image(*WHERE, bigger, etag=empty.etag)
        assert (updated.vm_size.lower(), updated.task_slots_per_node) == ("standard_d4s_v5", 2)


def test_the_loser_of_a_race_is_told(cloud: Cloud) -> None:
    with cloud.batch() as hook:
        made = hook.create_pool(*WHERE, settings(publish(cloud)))
        resize(hook, made, 1)
        settle(cloud, hook)
        with pytest.raises(OwnershipError) as late:
            resize(hook, made, 2)
        with pytest.raises(OwnershipError) as second:
            hook.create_pool(*WHERE, settings("/x"))
    assert "412 ConditionNotMet" in late.value.answer
    assert second.value.resource.endswith("/pools/small")


def test_a_second_resize_at_once_is_busy(cloud: Cloud) -> None:
    with cloud.batch() as hook:
        growing = resize(hook, hook.create_pool(*WHERE, settings(publish(cloud))), 1)
        with pytest.raises(AzureBusyError, match="PoolBeingResized"):
            resize(hook, growing, 2)


def test_the_image_stays_while_there_are_nodes(cloud: Cloud) -> None:
    with cloud.batch() as hook:
        version_id = publish(cloud)
        resize(hook, hook.create_pool(*WHERE, settings(version_id)), 1)
        grown = settle(cloud, hook)
        with pytest.raises(AzureRefusedError) as caught:
            hook.update_pool_image(*WHERE, settings(version_id), etag=grown.etag)
    assert caught.value.code == "PropertyCannotBeUpdated"
    assert "PropertyName=" in caught.value.answer


def test_preflights_look_ups_answer(cloud: Cloud) -> None:
    with cloud.compute(read_only=True) as compute, cloud.batch(read_only=True) as batch:
        assert compute.vm_sizes("westeurope")["standard_d2s_v5"].vcpus == 2
        assert batch.vm_sizes("westeurope")["standard_d2s_v5"].generations == ("V1", "V2")
        account = batch.account("batch", "goldenbatch")
        assert (account.pool_quota, account.location) == (100, "westeurope")
        assert account.family_quotas["standarddsv5family"] == 6000
        agents = {image.node_agent_sku for image in batch.supported_images("batch", "goldenbatch")}
        assert "batch.node.ubuntu 24.04" in agents
        assert batch.pools("batch", "goldenbatch") == []


async def test_the_shared_poll_sees_what_the_worker_sees(cloud: Cloud) -> None:
    version_id = await asyncio.to_thread(publish, cloud)
    with cloud.batch() as hook:
        resize(hook, hook.create_pool(*WHERE, settings(version_id)), 2)
        grown = settle(cloud, hook)
    async with AsyncBatchHook("c", cloud.subscription, connection=cloud.connection) as shared:
        [seen] = await shared.pools("batch", "goldenbatch")
        nodes = await shared.node_counts("batch", "goldenbatch")
    fields = ("name", "current_dedicated", "target_dedicated", "resize_started", "resize_errors", "image_id")
    assert [getattr(seen, name) for name in fields] == [getattr(grown, name) for name in fields]
    assert nodes["small"].dedicated.ready == 2


async def test_triggers_see_the_replication(cloud: Cloud) -> None:
    version_id = await asyncio.to_thread(publish, cloud)
    async with AsyncComputeHook("c", cloud.subscription, connection=cloud.connection) as hook:
        version = await hook.image_version(version_id)
    assert version is not None
    assert version.aggregated_state == "Completed"


class TestWaits:
    """Waiting for an operation while Azure misbehaves."""

    def snapshot(self, cloud: Cloud) -> PendingOperation:
        with cloud.compute() as hook:
            disk = hook.golden_vm("golden", "golden-vm").os_disk
            assert disk.id is not None
            return hook.begin_snapshot("images", "copy", location="westeurope", source_id=disk.id, tags={})

    def test_a_failed_operation_tells_its_code(self, cloud: Cloud) -> None:
        cloud.fault(method="PUT", path="/snapshots/", operation_error={"code": "SnapshotCountExceeded"})
        with pytest.raises(AzureRefusedError) as caught:
            cloud.finish(self.snapshot(cloud))
        assert (caught.value.code, caught.value.status) == ("SnapshotCountExceeded", 0)
        assert "delete old ones" in caught.value.advice

    @pytest.mark.usefixtures("no_sleep")
    @pytest.mark.parametrize(
        "fault",
        [
            {"status": 429, "code": "TooManyRequests", "retry_after_seconds": 120},
            {"status": 503, "code": "ServerBusy", "retry_after_seconds": 40},
        ],
        ids=["throttling", "outage"],
    )
    def test_throttling_in_mid_wait_is_outlived(self, cloud: Cloud, fault: dict[str, Any]) -> None:
        operation = self.snapshot(cloud)
        cloud.fault(path="operations", count=5, **fault)
        cloud.finish(operation)
        with cloud.compute() as hook:
            snapshot = hook.snapshot("images", "copy")
        assert snapshot is not None
        assert snapshot.provisioning_state == "Succeeded"

    def test_a_dropped_connection_in_mid_wait_is_outlived(self, cloud: Cloud) -> None:
        operation = self.snapshot(cloud)
        cloud.fault(path="operations", drop=True)
        cloud.finish(operation)

    def test_a_lost_token_is_made_up_for(self, cloud: Cloud) -> None:
        cloud.finish(replace(self.snapshot(cloud), token=None))

    def test_lost_reply_to_the_put_makes_no_second_snapshot(self, cloud: Cloud) -> None:
        cloud.fault(method="PUT", path="/snapshots/", lose_reply=True)
        cloud.finish(self.snapshot(cloud))
        with cloud.compute() as hook:
            names = [snapshot.name for snapshot in hook.compute_client().snapshots.list()]
        assert names == ["copy"]


def test_lost_reply_to_a_resize_is_no_strangers_resize(cloud: Cloud) -> None:
    with cloud.batch() as hook:
        made = hook.create_pool(*WHERE, settings(publish(cloud)))
        cloud.fault(method="PATCH", lose_reply=True)
        with pytest.raises(AzureBusyError, match="no answer"):
            resize(hook, made, 2)
        seen = hook.pool(*WHERE)
    assert seen is not None
    assert (seen.allocation_state, seen.target_dedicated) == (AllocationState.RESIZING, 2)


class TestTls:
    """Https with the simulator's own authority: real tokens, for both planes, synchronous and asynchronous."""

    @pytest.fixture
    def cloud(self, certificates: TlsFiles) -> Iterator[Cloud]:
        with serve(certificates) as running:
            yield running

    def test_tokens_open_arm_and_data_plane(self, cloud: Cloud) -> None:
        with cloud.batch() as hook:
            assert hook.node_counts("batch", "goldenbatch") == {}
        logins = [entry for entry in cloud.log() if "oauth2" in entry["url"]]
        assert len(logins) == 2, "one token for ARM, one for the data plane"

    def test_plain_requests_carry_the_token_too(self, cloud: Cloud) -> None:
        with BatchWorkHook("azure_default", cloud.subscription, connection=cloud.connection) as hook:
            hook.create_job("batch", "goldenbatch", "work", pool="small")
            hook.disable_job("batch", "goldenbatch", "work", MoveTasks.WAIT)
            hook.delete_job("batch", "goldenbatch", "work")

    async def test_the_triggerer_gets_tokens_too(self, cloud: Cloud) -> None:
        async with AsyncBatchHook("c", cloud.subscription, connection=cloud.connection) as hook:
            assert await hook.pools("batch", "goldenbatch") == []
            assert await hook.node_counts("batch", "goldenbatch") == {}

    def test_an_operation_is_waited_for_over_https(self, cloud: Cloud) -> None:
        with cloud.compute() as hook:
            cloud.finish(hook.begin_deallocate("golden", "golden-vm"))

    def test_a_wrong_secret_says_what_to_check(self, cloud: Cloud) -> None:
        cloud.connection = replace(cloud.connection, client_secret="wrong-but-secret")
        with cloud.compute() as hook, pytest.raises(AzureRefusedError) as caught:
            hook.golden_vm("golden", "golden-vm")
        assert "login, password and tenantId" in caught.value.advice
        assert "wrong-but-secret" not in str(caught.value)


class TestUnknownAuthority:
    """A certificate of an authority that is not in ``ca_bundle``; the token is at hand already."""

    @pytest.fixture
    def cloud(self, certificates: TlsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
        monkeypatch.setattr("golden_pools.hooks.credentials.credential", lambda connection: FakeCredential())
        monkeypatch.setattr("golden_pools.hooks.credentials.async_credential", lambda connection: FakeAsyncCredential())
        other = ensure_certificates(tmp_path / "other")
        with serve(certificates) as running:
            running.connection = replace(running.connection, ca_bundle=str(other.ca))
            yield running
            assert running.log() == [], "the request, and its token, reached the stranger"

    def test_is_not_trusted(self, cloud: Cloud) -> None:
        with cloud.compute() as hook, pytest.raises(AzureRefusedError, match="CERTIFICATE_VERIFY_FAILED") as caught:
            hook.golden_vm("golden", "golden-vm")
        assert "ca_bundle" in caught.value.advice

    async def test_is_not_trusted_in_the_triggerer(self, cloud: Cloud) -> None:
        async with AsyncBatchHook("c", cloud.subscription, connection=cloud.connection) as hook:
            with pytest.raises(AzureRefusedError, match="CERTIFICATE_VERIFY_FAILED"):
                await hook.pools("batch", "goldenbatch")


def test_no_secret_is_logged_and_the_sdk_keeps_quiet(certificates: TlsFiles, caplog: pytest.LogCaptureFixture) -> None:
    with serve(certificates) as cloud:
        with caplog.at_level("DEBUG"), cloud.compute() as hook:
            hook.golden_vm("golden", "golden-vm")
        tokens = {entry["request_headers"].get("authorization", "") for entry in cloud.log()}
    assert len(tokens) > 1, "the calls carried tokens"
    assert "golden_pools.hooks.pipeline" in {record.name for record in caplog.records}
    assert not [record for record in caplog.records if record.name.startswith("azure.")]
    assert "simulator-secret" not in caplog.text
    assert "eyJ" not in caplog.text
