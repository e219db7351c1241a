"""Durations, rates and switches of the simulator, each with its reason.

A settings file (YAML or JSON) and ``PATCH /_simulator/settings`` take the same tree. Durations are simulated time, as
ISO 8601 (``PT90S``) or as seconds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from include.azure_simulator.batch.settings import BatchSettings
from include.azure_simulator.resources import JsonObject, merged

Duration = Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(days=30))]


class SettingsModel(BaseModel):
    """Base of every settings model: unknown keys are an error, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BucketSettings(SettingsModel):
    """A token bucket: ``size`` calls at once, ``per_second`` more for every simulated second."""

    size: int = Field(ge=1)
    per_second: float = Field(gt=0)


def _bucket(size: int, per_second: float, description: str) -> BucketSettings:
    settings: BucketSettings = Field(default=BucketSettings(size=size, per_second=per_second), description=description)
    return settings


class ThrottlingSettings(SettingsModel):
    """Limits of ARM and of the Compute provider. Limits that Microsoft does not publish have no bucket."""

    enabled: bool = Field(default=True, description="Whether calls are limited at all")
    reads: BucketSettings = _bucket(250, 25, "ARM reads per subscription and principal")
    writes: BucketSettings = _bucket(200, 10, "ARM writes per subscription and principal")
    deletes: BucketSettings = _bucket(200, 10, "ARM deletes per subscription and principal")
    vm_get: BucketSettings = _bucket(36, 12 / 60, "Compute: GET of one VM")
    vm_update: BucketSettings = _bucket(12, 4 / 60, "Compute: PUT, PATCH and actions of one VM")
    vm_deallocate: BucketSettings = _bucket(12, 4 / 60, "Compute: deallocate of one VM")
    vm_list: BucketSettings = _bucket(900, 300 / 60, "Compute: lists of VMs in one subscription")
    operation_get: BucketSettings = _bucket(45, 15 / 60, "Compute: status of one operation")


class ComputeSettings(SettingsModel):
    """How long Compute takes, and what it allows."""

    vm_deallocate: Duration = Field(default=timedelta(seconds=90), description="usually 60 to 120 s")
    vm_power_off: Duration = Field(default=timedelta(seconds=40), description="estimate")
    vm_start: Duration = Field(default=timedelta(seconds=50), description="estimate")
    vm_create: Duration = Field(default=timedelta(seconds=45), description="from disks that exist; estimate")
    vm_delete: Duration = Field(default=timedelta(seconds=40), description="estimate")
    vm_update: Duration = Field(default=timedelta(seconds=5), description="estimate; tags change at once")
    run_command: Duration = Field(default=timedelta(seconds=30), description="the agent alone needs about 20 s")
    disk_create: Duration = Field(default=timedelta(seconds=10), description="estimate")
    disk_delete: Duration = Field(default=timedelta(seconds=5), description="estimate")
    restore_point_create: Duration = Field(default=timedelta(minutes=1), description="estimate")
    restore_point_delete: Duration = Field(default=timedelta(seconds=20), description="estimate")
    restore_point_collection_delete: Duration = Field(
        default=timedelta(seconds=30), description="with all its restore points; estimate"
    )
    restore_points_per_hour: int = Field(
        default=3, ge=1, description="documented limit of a VM, crash consistent and other restore points each"
    )
    restore_point_rate_status: Literal[409, 429] = Field(
        default=429, description="status when that limit is reached; the article says 429"
    )
    restore_points_per_vm: int = Field(default=500, ge=1, description="documented limit, over all collections")
    restore_point_refusal: Literal["at_once", "in_operation"] = Field(
        default="at_once",
        description="whether a concurrent restore point, or one too many, is refused (409) or fails; not published",
    )
    restore_point_again: Literal["refuse", "answer"] = Field(
        default="refuse", description="what a PUT of a restore point that exists comes to; not published"
    )
    restore_point_consistency_input: Literal["crash_only", "any"] = Field(
        default="crash_only",
        description="the API reference says that only `CrashConsistent` is accepted as input, articles name all modes",
    )
    restore_point_unsafe_crash: Literal["allow", "refuse"] = Field(
        default="allow",
        description="crash consistency that Azure does not guarantee: `ReadWrite` caching, v6 and v7 sizes",
    )
    snapshot_create: Duration = Field(default=timedelta(seconds=30), description="10 to 60 s up to 128 GiB")
    snapshot_copy: Duration = Field(
        default=timedelta(minutes=20),
        description="further until a snapshot of a Premium SSD v2 or Ultra Disk is copied in the background; estimate",
    )
    snapshot_delete: Duration = Field(default=timedelta(seconds=10), description="estimate")
    image_create: Duration = Field(default=timedelta(seconds=60), description="30 to 120 s from snapshots")
    image_delete: Duration = Field(default=timedelta(seconds=20), description="estimate")
    gallery_write: Duration = Field(default=timedelta(seconds=10), description="galleries and definitions; estimate")
    gallery_delete: Duration = Field(default=timedelta(seconds=10), description="galleries and definitions; estimate")
    version_home_region: Duration = Field(
        default=timedelta(minutes=10), description="one region takes 5 to 20 min, under load up to 6 h"
    )
    version_extra_region: Duration = Field(
        default=timedelta(minutes=15), description="each further region 10 to 30 min, all in parallel"
    )
    version_region_lag: Duration = Field(
        default=timedelta(0),
        description="how long further regions still replicate when a version is Succeeded; reported as 10 min",
    )
    region_states_while_creating: bool = Field(
        default=True,
        description="whether a version that is still being made shows states of its regions; not published",
    )
    replication_failed_code: str = Field(
        default="ReplicationJobsNotCompleted",
        min_length=1,
        description="code of the operation when a region fails; reported as CrpPirReplicationJobsNotCompleted too",
    )
    version_shallow: Duration = Field(default=timedelta(minutes=1), description="Shallow replication copies nothing")
    version_update: Duration = Field(default=timedelta(seconds=30), description="an update that adds no region")
    version_delete: Duration = Field(default=timedelta(minutes=2), description="replicas go last; estimate")
    trusted_launch_validation: Duration = Field(
        default=timedelta(hours=1), description="TrustedLaunchSupported adds at least 1 h to every version"
    )
    operation_retry_after: Duration = Field(default=timedelta(seconds=10), description="Retry-After of Compute")
    list_page_size: int = Field(
        default=200,
        ge=1,
        description="VMs, disks, snapshots, images, storage accounts on a page of a list; not published",
    )
    gallery_page_size: int = Field(
        default=50, ge=1, description="galleries, definitions and versions on a page of a list; not published"
    )
    incremental_snapshots_per_window: int = Field(
        default=7, ge=1, description="incremental snapshots per disk and window"
    )
    incremental_snapshot_window: Duration = Field(default=timedelta(minutes=5), description="length of that window")
    snapshot_rate_status: Literal[409, 429] = Field(
        default=429, description="status when that limit is reached; Microsoft does not publish it"
    )
    incremental_snapshots_per_disk: int = Field(default=500, ge=1, description="documented limit")
    galleries_per_region: int = Field(default=100, ge=1, description="documented limit of a subscription")
    definitions_per_region: int = Field(default=1_000, ge=1, description="documented limit of a subscription")
    versions_per_region: int = Field(default=10_000, ge=1, description="documented limit of a subscription")
    replicas_per_version: int = Field(default=100, ge=1, description="documented limit")
    image_size_limit_gib: int = Field(default=2048, ge=1, description="all disks of a version, Full replication")
    data_disk_limit_gib: int = Field(default=1024, ge=1, description="one data disk of a version")
    managed_image_os_disk_limit_gib: int = Field(default=1023, ge=1, description="documented for managed images")
    block_blob_code: Literal["IncorrectDiskBlobType", "InvalidParameter"] = Field(
        default="IncorrectDiskBlobType", description="code (400) for a VHD that is a block blob; published for VMs only"
    )
    serialise_source: bool = Field(
        default=True,
        description="a second version from a managed image whose first version is being made is refused (429)",
    )
    child_delete_lag: Duration = Field(
        default=timedelta(0),
        description="how long a definition still counts a deleted version; a delete was seen to return too early",
    )


class NetworkSettings(SettingsModel):
    """How long the network provider takes."""

    interface_write: Duration = Field(default=timedelta(seconds=3), description="estimate")
    interface_delete: Duration = Field(default=timedelta(seconds=5), description="estimate")
    interface_reservation: Duration = Field(
        default=timedelta(seconds=180), description="how long an interface stays reserved for a VM that never came up"
    )


class LogSettings(SettingsModel):
    """Bounds of the request log."""

    max_bytes: int = Field(
        default=4 * 1024 * 1024, ge=1024, description="the oldest lines go first; about 2,000 exchanges, to stay small"
    )
    max_body_chars: int = Field(default=256 * 1024, ge=256, description="longer bodies are cut and marked")


class IdentitySettings(SettingsModel):
    """Tokens."""

    token_lifetime_seconds: int = Field(
        default=3599, ge=60, le=86_400, description="real seconds, as clients count them"
    )


class SimulatorSettings(SettingsModel):
    """All settings of the simulator."""

    compute: ComputeSettings = ComputeSettings()
    network: NetworkSettings = NetworkSettings()
    batch: BatchSettings = BatchSettings()
    throttling: ThrottlingSettings = ThrottlingSettings()
    identity: IdentitySettings = IdentitySettings()
    log: LogSettings = LogSettings()

    def patched(self, change: JsonObject) -> SimulatorSettings:
        """These settings with some of them changed.

        :param change: a tree of the changed settings only.
        :raises pydantic.ValidationError: when the result is not valid.
        """
        return SimulatorSettings.model_validate(merged(self.model_dump(mode="json"), change))
