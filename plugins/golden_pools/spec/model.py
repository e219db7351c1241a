"""The pool spec: one YAML file per pool, ``include/pools/<pool>.yaml``.

This model is the single source: it validates the file, makes the JSON schema for editors and the README's table of
fields. Name rules: "Naming rules and restrictions for Azure resources"; node limits: "Batch service quotas and
limits" and "Use a managed image to create a custom image pool".
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

POOL_NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?$"
"""Batch allows 1 to 64 letters, digits, ``-`` and ``_``; snapshots and images, which carry the pool's name, may not
begin with a sign nor end with a dash."""

NODES_PER_REPLICA = 300
"""Batch wants at least one replica per 300 nodes ("Use the Azure Compute Gallery to create a custom image pool")."""

ResourceGroupName = Annotated[str, StringConstraints(pattern=r"^[\w().-]{0,89}[\w()-]$")]
ComputeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([\w.-]{0,78}\w)?$")]
ImageStem = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,51}$")]
GalleryName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.]{0,78}[A-Za-z0-9])?$")]
BatchAccountName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{3,24}$")]
SubscriptionId = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$", to_lower=True)
]
ImageVersionName = Annotated[str, StringConstraints(pattern=r"^\d{1,10}\.\d{1,10}\.\d{1,10}$")]


class Part(BaseModel):
    """A part of the spec: unknown keys are faults, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Capture(StrEnum):
    """In which state the golden VM's disks are copied."""

    DEALLOCATED = "deallocated"
    RUNNING = "running"


class GoldenVm(Part):
    """The VM whose disks become the image."""

    resource_group: ResourceGroupName = Field(description="Resource group of the VM.")
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([\w.-]{0,62}\w)?$")] = Field(
        description="Name of the VM."
    )
    generalized: bool = Field(
        default=False,
        description=(
            "You assert that the guest is generalized (sysprep, waagent -deprovision+user). ARM cannot see it; without "
            "this, Azure's own flag or the tag `golden.generalized=true` on the VM, preflight refuses."
        ),
    )
    capture: Capture = Field(
        default=Capture.DEALLOCATED,
        description=(
            "`deallocated` stops a running VM for the snapshots and starts it again: all disks show one moment. "
            "`running` leaves it alone: each disk is crash-consistent by itself only."
        ),
    )
    allowed_extensions: tuple[str, ...] = Field(
        default=(), description="Names of VM extensions that preflight tolerates; Batch may clash with any."
    )


class Publish(StrEnum):
    """Where the pool takes its image from."""

    GALLERY = "gallery"
    MANAGED_IMAGE = "managed_image"


class TargetRegion(Part):
    """One region that gets replicas of the image version."""

    name: str = Field(min_length=1, description="Region, such as `westeurope`.")
    replicas: Literal["auto"] | Annotated[int, Field(ge=1, le=100)] = Field(
        default="auto", description="Replicas in this region; `auto` is one per 300 nodes of the pool's targets."
    )


class Image(Part):
    """The managed image and the gallery version made from it."""

    resource_group: ResourceGroupName = Field(
        description="Resource group of the snapshots, the managed image and the gallery."
    )
    name: ImageStem | None = Field(
        default=None, description="Stem of the snapshots' and managed images' names; the pool's name if absent."
    )
    publish: Publish = Field(
        default=Publish.GALLERY,
        description="`gallery`, or `managed_image`: the direct pool that Azure retired on 2026-03-31.",
    )
    legacy_direct_pool: bool = Field(
        default=False, description="Must be true for `publish: managed_image`, so that nobody takes that road unawares."
    )
    gallery: GalleryName | None = Field(default=None, description="Azure Compute Gallery; it must exist.")
    definition: ComputeName | None = Field(
        default=None, description="Image definition; made with explicit generation and security type if missing."
    )
    publisher: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,128}$")] = Field(
        default="GoldenPools", description="Publisher of a definition that has to be made."
    )
    target_regions: tuple[TargetRegion, ...] = Field(
        default=(), description="Regions besides the golden VM's own, which always gets replicas."
    )
    replicas: Literal["auto"] | Annotated[int, Field(ge=1, le=100)] = Field(
        default="auto", description="Replicas in the golden VM's own region; `auto` is one per 300 nodes."
    )

    @field_validator("target_regions")
    @classmethod
    def _regions_once(cls, regions: tuple[TargetRegion, ...]) -> tuple[TargetRegion, ...]:
        names = [normal_region(region.name) for region in regions]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"each region once, but {', '.join(twice)} stands more than once")
        return regions

    @model_validator(mode="after")
    def _route_is_complete(self) -> Image:
        if self.publish is Publish.GALLERY:
            missing = [name for name in ("gallery", "definition") if getattr(self, name) is None]
            if missing:
                raise ValueError(f"publish: gallery needs {' and '.join(missing)}")
            if self.legacy_direct_pool:
                raise ValueError("legacy_direct_pool only goes with publish: managed_image")
        elif not self.legacy_direct_pool:
            raise ValueError(
                "Azure retired pools made directly from a managed image on 2026-03-31; "
                "use publish: gallery, or say legacy_direct_pool: true if your account still takes them"
            )
        return self


class Targets(Part):
    """How many nodes the pool should have."""

    dedicated: int = Field(default=0, ge=0, description="Dedicated nodes.")
    spot: int = Field(default=0, ge=0, description="Spot nodes (low priority in Batch-service accounts).")

    @property
    def total(self) -> int:
        """All nodes."""
        return self.dedicated + self.spot

    @property
    def replicas(self) -> int:
        """Image replicas that so many nodes need, at least one."""
        return max(1, math.ceil(self.total / NODES_PER_REPLICA))


class StartTask(Part):
    """What every node runs before it takes work."""

    command_line: str = Field(min_length=1, description="Command line, run without a shell.")
    elevated: bool = Field(default=False, description="Run as administrator.")
    wait_for_success: bool = Field(default=True, description="The node takes work only after the task succeeded.")
    max_retries: int = Field(default=0, ge=-1, le=100, description="Retries on a node; -1 is without end.")
    environment: dict[str, str] = Field(default_factory=dict, description="Environment variables; never a secret.")


class Network(Part):
    """Where the nodes' network cards are."""

    subnet_id: Annotated[
        str,
        StringConstraints(
            pattern=r"(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+$"
        ),
    ] = Field(description="Full ARM id of the subnet.")
    public_addresses: bool = Field(default=True, description="Nodes get public IP addresses from Batch.")


class Pool(Part):
    """The Batch pool; its id is the spec file's name."""

    resource_group: ResourceGroupName = Field(description="Resource group of the Batch account.")
    account: BatchAccountName = Field(description="Batch account.")
    vm_size: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]+_\w+$")] = Field(
        description="VM size of the nodes, such as `Standard_D4s_v5`."
    )
    node_agent_sku: str = Field(
        min_length=1, description="Node agent that fits the golden VM's system, such as `batch.node.ubuntu 22.04`."
    )
    targets: Targets = Field(description="Node counts that the run brings the pool to.")
    start_task: StartTask | None = Field(default=None, description="Start task of every node.")
    network: Network | None = Field(default=None, description="Subnet; Batch's own network if absent.")
    identities: tuple[
        Annotated[
            str,
            StringConstraints(
                pattern=r"(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ManagedIdentity/userAssignedIdentities/[^/]+$"
            ),
        ],
        ...,
    ] = Field(default=(), description="Full ARM ids of user-assigned identities of the nodes.")
    metadata: dict[str, str] = Field(default_factory=dict, description="Metadata of the pool, beside our own.")
    task_slots_per_node: int = Field(default=1, ge=1, le=256, description="Tasks that a node runs at a time.")
    inter_node_communication: bool = Field(default=False, description="Nodes may talk to each other (MPI).")

    @field_validator("metadata")
    @classmethod
    def _metadata_not_ours(cls, metadata: dict[str, str]) -> dict[str, str]:
        if ours := sorted(name for name in metadata if name.startswith("golden_pools_")):
            raise ValueError(f"names that begin with golden_pools_ are written by the run itself: {', '.join(ours)}")
        return metadata


class Strategy(StrEnum):
    """How a pool gets onto a new image version."""

    IN_PLACE = "in_place"


class Deallocation(StrEnum):
    """What happens to running tasks when the pool shrinks (Batch ``nodeDeallocationOption``)."""

    REQUEUE = "requeue"
    TERMINATE = "terminate"
    TASK_COMPLETION = "task_completion"


class Refresh(Part):
    """How the pool gets onto the new image version."""

    strategy: Strategy = Field(
        default=Strategy.IN_PLACE, description="`in_place`: shrink to zero, change the image, grow."
    )
    deallocation: Deallocation = Field(
        default=Deallocation.TASK_COMPLETION, description="What happens to running tasks when the pool shrinks."
    )
    drain_minutes: int = Field(
        default=60, ge=5, le=10080, description="Longest wait for the pool to be empty, for all attempts together."
    )


class Resize(Part):
    """How hard a run tries to bring the pool to its targets."""

    timeout_minutes: int | None = Field(
        default=None,
        ge=5,
        le=10080,
        description=(
            "Time for one attempt; Azure refuses less than 5. If absent: 15 per 1,000 nodes, "
            "at least 15, and at least 30 above 300 nodes."
        ),
    )
    attempts: int = Field(default=3, ge=1, le=20, description="Resizes in one run, the first one included.")
    back_off_minutes: int = Field(
        default=2, ge=0, le=240, description="Pause before a resize that failed for lack of capacity is asked again."
    )
    smallest_acceptable_share: float = Field(
        default=1.0, gt=0, le=1, description="Share of the targets that has to be ready for the run to succeed."
    )
    ready_minutes: int = Field(
        default=30, ge=1, le=1440, description="Time for allocated nodes to become ready (idle or running)."
    )


class Schedule(Part):
    """When the run starts by itself."""

    cron: str = Field(description="Cron expression with five fields, such as `0 2 * * *`.")
    timezone: str = Field(
        default="UTC", description="IANA zone; the run starts at this wall-clock time in summer and winter."
    )

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError("no such IANA timezone")
        return zone

    @field_validator("cron")
    @classmethod
    def _cron_is_valid(cls, cron: str) -> str:
        from croniter import croniter  # comes with Airflow, which uses it for the same question

        if len(cron.split()) != 5 or not croniter.is_valid(cron):
            raise ValueError("not a cron expression with five fields (minute hour day month weekday)")
        return cron


class PoolSpec(Part):
    """Everything a team says about one pool."""

    connection: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$")] = Field(
        default="azure_default", description="Airflow connection of type `azure`."
    )
    subscription: SubscriptionId = Field(description="Subscription of the golden VM, the image and the Batch account.")
    owner: str = Field(default="data-team", min_length=1, description="Owner shown in Airflow.")
    golden_vm: GoldenVm
    image: Image
    pool: Pool
    refresh: Refresh = Refresh()
    resize: Resize = Resize()
    schedule: Schedule | None = Field(default=None, description="Absent: the DAG runs by hand only.")


def normal_region(name: str) -> str:
    """Return a region's name as Azure compares it: ``West Europe`` and ``westeurope`` are one."""
    return name.replace(" ", "").lower()
