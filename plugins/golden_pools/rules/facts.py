"""What was observed in Azure, as plain values: hooks make them, rules judge them.

Ids are full ARM ids as Azure spelled them; regions are normalised (``westeurope``); times are aware UTC; a value that
Azure did not send is ``None``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class PowerState(StrEnum):
    """Power state of a VM (``PowerState/...`` in the instance view)."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPED = "stopped"
    STOPPING = "stopping"
    DEALLOCATED = "deallocated"
    DEALLOCATING = "deallocating"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class PurchasePlan:
    """Marketplace plan of a VM, a disk or a gallery definition."""

    name: str
    publisher: str
    product: str


@dataclass(frozen=True, kw_only=True)
class Disk:
    """One disk of the golden VM: its entry in the VM and, for a managed disk, the disk resource itself."""

    name: str
    id: str | None  # None: unmanaged (a VHD in a storage account)
    lun: int | None  # None: the OS disk
    size_gib: int | None = None
    sku: str | None = None
    caching: str | None = None
    os_type: str | None = None
    location: str | None = None
    hyper_v_generation: str | None = None
    architecture: str | None = None
    security_type: str | None = None
    encryption_type: str | None = None
    ade_enabled: bool = False
    ephemeral: bool = False
    controller_types: tuple[str, ...] = ()
    purchase_plan: PurchasePlan | None = None
    disk_state: str | None = None
    provisioning_state: str | None = None
    unique_id: str | None = None
    write_accelerator: bool = False
    max_shares: int = 1  # VMs that may attach it at a time
    last_used: datetime | None = None  # last attached, detached, or its VM started or deallocated


@dataclass(frozen=True, kw_only=True)
class BaseImage:
    """Marketplace or custom image that the golden VM was made from."""

    publisher: str | None = None
    offer: str | None = None
    sku: str | None = None
    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class GoldenVm:
    """The golden VM with its disks and instance view."""

    id: str
    name: str
    location: str
    power_state: PowerState
    flagged_generalized: bool
    provisioning_state: str | None
    vm_size: str | None
    os_type: str | None
    security_type: str | None
    disk_controller: str | None
    encryption_at_host: bool
    hyper_v_generation: str | None
    os_disk: Disk
    data_disks: tuple[Disk, ...] = ()
    extensions: tuple[str, ...] = ()
    plan: PurchasePlan | None = None
    base_image: BaseImage | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    zones: tuple[str, ...] = ()  # availability zones; empty: regional
    vm_id: str | None = None  # Azure's own id of the machine: another VM of the same name has another

    @property
    def disks(self) -> tuple[Disk, ...]:
        """The OS disk, then the data disks by LUN."""
        return (self.os_disk, *sorted(self.data_disks, key=lambda disk: disk.lun or 0))

    @property
    def generation(self) -> str:
        """``V1`` or ``V2``; a disk without the property is V1."""
        return self.os_disk.hyper_v_generation or self.hyper_v_generation or "V1"

    @property
    def architecture(self) -> str:
        """``x64`` or ``Arm64``; a disk without the property is x64."""
        return self.os_disk.architecture or "x64"


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """An Azure Compute Gallery."""

    id: str
    name: str
    location: str


@dataclass(frozen=True, kw_only=True)
class GalleryDefinition:
    """An image definition; most of it can never change."""

    id: str
    name: str
    location: str
    os_type: str
    os_state: str
    hyper_v_generation: str
    architecture: str
    publisher: str
    offer: str
    sku: str
    security_type: str | None  # value of the feature ``SecurityType``
    features: Mapping[str, str] = field(default_factory=dict)
    purchase_plan: PurchasePlan | None = None

    @property
    def disk_controllers(self) -> str:
        """What the feature ``DiskControllerTypes`` says, such as ``SCSI, NVMe``; empty: SCSI alone."""
        return {name.casefold(): value for name, value in self.features.items()}.get("diskcontrollertypes", "")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A snapshot of one disk."""

    id: str
    name: str
    location: str
    source_id: str | None
    provisioning_state: str
    completion_percent: float | None
    size_gib: int | None
    copy_error: str | None = None
    created: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether nobody is making it any more."""
        return self.provisioning_state in ("Succeeded", "Failed", "Canceled", "Deleting")

    @property
    def has_failed(self) -> bool:
        """Whether it will never be of use."""
        return self.provisioning_state in ("Failed", "Canceled") or self.copy_error is not None

    @property
    def is_complete(self) -> bool:
        """Whether it can be used: of some kinds of disk Azure copies the data when the snapshot is there already."""
        copied = self.completion_percent is None or self.completion_percent >= 100
        return self.provisioning_state == "Succeeded" and self.copy_error is None and copied


@dataclass(frozen=True, kw_only=True)
class RestorePointCollection:
    """Where the restore points of one VM are; they carry no tags of their own."""

    id: str
    name: str
    vm_id: str
    points: tuple[str, ...]  # names
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RestorePoint:
    """All disks of a VM at one moment."""

    id: str
    name: str
    provisioning_state: str
    created: datetime | None
    disks: Mapping[str, str]  # folded ARM id of a disk -> ARM id of its disk restore point


@dataclass(frozen=True, kw_only=True)
class ManagedImage:
    """A managed image (Microsoft.Compute/images)."""

    id: str
    name: str
    location: str
    provisioning_state: str
    snapshot_ids: tuple[str, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    size_gib: int | None = None  # of all its disks
    data_luns: tuple[int, ...] = ()  # LUNs of its data disks
    os_type: str | None = None
    hyper_v_generation: str | None = None


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What Azure says of any resource that runs make and throw away: whose it is, since when, and how far it is.

    :param created: None: Azure does not say, as of network cards
    :param used_by: ARM id of what it is attached to
    """

    id: str
    name: str
    created: datetime | None
    provisioning_state: str = "Succeeded"
    used_by: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def folded(resource_id: str) -> str:
    """Return an ARM id as Azure compares it."""
    return resource_id.rstrip("/").casefold()


def number_of(version: str) -> tuple[int, ...]:
    """Return the number that a version's name or id ends in, to compare; one that is no number is older than all.

    Text would put ``2026.1101`` before ``2026.902``.
    """
    parts = version.rstrip("/").rpartition("/")[2].split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()


@dataclass(frozen=True, kw_only=True)
class RegionReplication:
    """Replication of an image version in one region."""

    region: str
    state: str
    progress_percent: int
    details: str = ""


@dataclass(frozen=True, kw_only=True)
class ImageVersion:
    """A version of an image definition."""

    id: str
    name: str
    location: str
    provisioning_state: str
    aggregated_state: str | None
    regions: tuple[RegionReplication, ...]
    target_regions: Mapping[str, int]  # normalised region -> replicas
    source_id: str | None
    exclude_from_latest: bool
    tags: Mapping[str, str] = field(default_factory=dict)
    data_luns: tuple[int, ...] = ()  # LUNs of its data disks
    published: datetime | None = None
    end_of_life: datetime | None = None
    size_gib: int | None = None  # of all its disks, once; each replica is as large

    def ready_in(self, region: str) -> bool:
        """Return whether nodes in ``region`` (normalised) can be made from this version.

        An update leaves it in use where it is; one that is being made, or has failed, serves nobody.
        """
        return self.provisioning_state in ("Succeeded", "Updating") and self.is_in(region)

    def is_in(self, region: str) -> bool:
        """Return whether all replicas of ``region`` (normalised) are there."""
        return any(state.region == region and state.state == "Completed" for state in self.regions)

    @property
    def is_busy(self) -> bool:
        """Whether Azure is making or copying it.

        Whether a version is ``Succeeded`` only when the last region has it, or before, is told in both ways.
        """
        return self.provisioning_state in ("Creating", "Updating", "Migrating") or any(
            state.state in ("Replicating", "Unknown") for state in self.regions
        )


@dataclass(frozen=True, kw_only=True)
class BatchAccount:
    """A Batch account with the quotas that preflight reads."""

    id: str
    name: str
    location: str
    endpoint: str  # host of the data plane, without scheme
    allocation_mode: str  # BatchService or UserSubscription
    provisioning_state: str | None
    authentication_modes: tuple[str, ...]  # empty: Azure did not say
    public_network_access: str | None
    dedicated_core_quota: int | None
    low_priority_core_quota: int | None
    family_quotas: Mapping[str, int]  # lower-case family -> cores
    family_quotas_enforced: bool
    pool_quota: int | None


@dataclass(frozen=True, kw_only=True)
class VmSize:
    """A VM size as Batch and Compute describe it."""

    name: str
    family: str
    vcpus: int  # 0: Azure did not say
    generations: tuple[str, ...] = ()  # empty: not known
    architecture: str | None = None
    disk_controllers: tuple[str, ...] = ()
    trusted_launch: bool = True  # whether it can
    premium_disks: bool | None = None  # whether it takes them; None: Azure did not say
    temp_disk: bool | None = None  # whether it has a formatted local disk (SCSI); None: Azure did not say
    batch_support_ends: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class SupportedImage:
    """A base image that a node agent SKU supports (data plane ``list_supported_images``)."""

    node_agent_sku: str
    publisher: str
    offer: str
    sku: str
    os_type: str
    verified: bool
    support_ends: datetime | None = None

    def is_base(self, base: BaseImage) -> bool:
        """Return whether ``base`` is this marketplace image; Azure does not keep the case of such names."""
        ours, theirs = (self.publisher, self.offer, self.sku), (base.publisher, base.offer, base.sku)
        return all(one.casefold() == (other or "").casefold() for one, other in zip(ours, theirs, strict=True))


class AllocationState(StrEnum):
    """Whether a pool is at rest. ``Steady`` does not mean that a resize succeeded."""

    STEADY = "Steady"
    RESIZING = "Resizing"
    STOPPING = "Stopping"


@dataclass(frozen=True, kw_only=True)
class ResizeError:
    """One error of a pool's last resize."""

    code: str
    message: str
    details: tuple[tuple[str, str], ...] = ()  # (name, value)


@dataclass(frozen=True, kw_only=True)
class PoolStartTask:
    """Start task of a pool's nodes, in the words of the spec's start task."""

    command_line: str
    elevated: bool = False
    wait_for_success: bool = False
    max_retries: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A Batch pool as one GET shows it; a list may leave out what stands below ``inter_node_communication``."""

    id: str
    name: str
    etag: str
    provisioning_state: str
    allocation_state: AllocationState
    vm_size: str
    node_agent_sku: str | None
    image_id: str | None
    current_dedicated: int
    current_spot: int
    target_dedicated: int
    target_spot: int
    autoscale: bool
    inter_node_communication: bool = False
    last_modified: datetime | None = None
    resize_started: datetime | None = None  # start of the last resize: tells our errors from old ones
    resize_target_dedicated: int | None = None
    resize_target_spot: int | None = None
    resize_errors: tuple[ResizeError, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    inbound_nat_pools: int = 0  # ports that Batch forwards to the nodes from outside
    task_slots_per_node: int = 1
    start_task: PoolStartTask | None = None
    subnet_id: str | None = None
    public_addresses: bool = True
    identities: tuple[str, ...] = ()  # ids of user-assigned identities
    trusted_launch: bool = False

    @property
    def asked_for(self) -> tuple[int, int]:
        """Dedicated and Spot nodes that the pool was last asked for; what its last resize says is the newest."""
        return (
            self.target_dedicated if self.resize_target_dedicated is None else self.resize_target_dedicated,
            self.target_spot if self.resize_target_spot is None else self.resize_target_spot,
        )

    @property
    def current_total(self) -> int:
        """All nodes that exist, usable or not."""
        return self.current_dedicated + self.current_spot


@dataclass(frozen=True, kw_only=True)
class NodeCounts:
    """Nodes of one kind (dedicated or Spot) of one pool by state, as ``list_pool_node_counts`` says."""

    by_state: Mapping[str, int] = field(default_factory=dict)  # state as Azure spells it, lower case

    READY = frozenset({"idle", "running"})
    FAILED = frozenset({"unusable", "starttaskfailed"})

    @property
    def ready(self) -> int:
        """Nodes that take work: ``idle`` or ``running``."""
        return sum(count for state, count in self.by_state.items() if state in self.READY)

    @property
    def failed(self) -> int:
        """Nodes that will not take work without help."""
        return sum(count for state, count in self.by_state.items() if state in self.FAILED)

    @property
    def total(self) -> int:
        """All nodes of this kind."""
        return sum(self.by_state.values())


@dataclass(frozen=True, kw_only=True)
class PoolNodes:
    """Node counts of one pool."""

    pool: str
    dedicated: NodeCounts = NodeCounts()
    spot: NodeCounts = NodeCounts()


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node, with what Azure says about the cause where it does not take work."""

    id: str
    state: str  # as NodeCounts spells it: lower case
    dedicated: bool
    errors: tuple[str, ...] = ()  # one line each: code, message, values
    start_task_failure: str = ""
    start_task_exit_code: int | None = None
    state_since: datetime | None = None
    image_id: str | None = None  # what the node really booted from
    agent_version: str | None = None


class JobState(StrEnum):
    """States of a job that matter for moving it."""

    ACTIVE = "active"
    DISABLING = "disabling"
    DISABLED = "disabled"
    ENABLING = "enabling"
    TERMINATING = "terminating"
    COMPLETED = "completed"
    DELETING = "deleting"

    @property
    def is_over(self) -> bool:
        """Whether no task of the job will ever run again."""
        return self in (JobState.TERMINATING, JobState.COMPLETED, JobState.DELETING)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job that is bound to a pool by the pool's id."""

    id: str
    state: JobState
    pool: str
    etag: str = ""


@dataclass(frozen=True, kw_only=True)
class JobSchedule:
    """A job schedule, whose future jobs are bound to a pool by the pool's id."""

    id: str
    state: str  # active, disabled, completed, terminating, deleting
    pool: str
    etag: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it makes no more jobs."""
        return self.state in ("completed", "terminating", "deleting")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task of a job."""

    id: str
    state: str  # active, preparing, running, completed
    exit_code: int | None = None
    failure: str = ""  # one line: why it failed other than by its exit code
    service_failed: bool = False  # the failure is Azure's own and not the command's
    node: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the task has ended."""
        return self.state == "completed"
