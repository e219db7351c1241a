"""Durations, rates and switches of the Batch part. Every switch stands for a fact that no public source settles."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from include.azure_simulator.batch.nodes import NodeState

Positive = Annotated[timedelta, Field(gt=timedelta(0))]
NotNegative = Annotated[timedelta, Field(ge=timedelta(0))]


DEFAULT_REBOOT_STATES = (
    NodeState.IDLE,
    NodeState.RUNNING,
    NodeState.OFFLINE,
    NodeState.START_TASK_FAILED,
    NodeState.UNUSABLE,
)


class MissingImageCode(StrEnum):
    """Resize error of a pool whose image is gone or not replicated."""

    ALLOCATION_FAILED = "AllocationFailed"
    DEPENDENT_RESOURCE_NOT_FOUND = "DependentResourceNotFound"


class SpecializedImage(StrEnum):
    """What becomes of a pool on an image that was never generalized, which Batch does not support."""

    REFUSE = "refuse"
    UNUSABLE_NODES = "unusable_nodes"


class GuestNotGeneralized(StrEnum):
    """What becomes of nodes on an image that claims to be generalized although its system was never deprovisioned."""

    UNUSABLE = "unusable"
    FINE = "fine"


class SecurityMismatch(StrEnum):
    """When a pool learns that its image or size does not go with its security type."""

    RESIZE_ERROR = "resize_error"
    REFUSE = "refuse"


class LoweredBy(StrEnum):
    """What the targets of a pool are after nodes were removed by name: so many fewer than it had, or than it wanted."""

    SIZE = "size"
    TARGETS = "targets"


class GoneFilesCode(StrEnum):
    """What the files of a task are when the node that it ran on has left its pool."""

    NODE_NOT_FOUND = "NodeNotFound"
    TASK_FILES_UNAVAILABLE = "TaskFilesUnavailable"


class BatchSettings(BaseModel):
    """Settings of the Batch part. Durations are simulated time, in ISO 8601 (``PT2M``) or seconds.

    The durations are estimates between those that Microsoft documents: 10 + 5 nodes in under a minute in the resize
    event article, "15 minutes is usually long enough" in the sizing article, a pool deletion of minutes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    # -- durations and rates -------------------------------------------------------------------------------------------
    allocation_latency: NotNegative = timedelta(seconds=90)
    """From the resize request to the first node."""
    allocation_rate_nodes_per_minute: Annotated[float, Field(gt=0)] = 60.0
    """A gallery pool of 1,000 nodes has to fit into the 15 minutes that the sizing article asks for."""
    allocation_failure_latency: NotNegative = timedelta(seconds=60)
    """From the resize request to the error, when nothing at all can be allocated."""
    node_creating: NotNegative = timedelta(seconds=45)
    """From the allocation of the VM to its first boot."""
    node_starting: NotNegative = timedelta(seconds=60)
    """From the boot to a node agent that answers; creating and starting together are 1 to 3 minutes."""
    node_start_task: NotNegative = timedelta(seconds=20)
    """How long a start task runs that does not itself say ``sleep N``."""
    node_spread: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Slowest node over fastest node minus 1: boot times differ by node, the same way in every run."""
    node_reboot: NotNegative = timedelta(seconds=60)
    """How long a node stays ``rebooting`` before it starts."""
    node_removal: NotNegative = timedelta(seconds=45)
    """How long a node stays ``leavingpool``."""
    stop_resize: NotNegative = timedelta(seconds=20)
    """How long a pool stays ``Stopping``."""
    pool_delete: NotNegative = timedelta(minutes=2)
    """How long the id of a deleted pool stays taken; usually 1 to 5 minutes."""
    job_disable: NotNegative = timedelta(seconds=5)
    """How long a job without running tasks stays ``disabling``."""
    job_delete: NotNegative = timedelta(seconds=10)
    """How long a job stays ``deleting``."""
    task_duration: NotNegative = timedelta(seconds=60)
    """How long a task runs whose command line does not say ``sleep N``."""
    delete_retry_after: Positive = timedelta(seconds=15)
    """``Retry-After`` of a pool deletion, as in the examples of the API files."""

    # -- limits --------------------------------------------------------------------------------------------------------
    list_page_size: Annotated[int, Field(ge=1, le=1000)] = 1000
    """Items on a page of a list of either plane without ``maxresults``; 1,000 is the documented most."""
    inter_node_limit_batch_service: Annotated[int, Field(ge=0)] = 100
    """Nodes of a pool with inter-node communication, nodes in Microsoft's subscriptions (quota article)."""
    inter_node_limit_user_subscription: Annotated[int, Field(ge=0)] = 80
    """Nodes of a pool with inter-node communication, nodes in the user's subscription (quota article)."""

    custom_image_dedicated_limit: Annotated[int, Field(ge=0)] | None = None
    """Dedicated nodes of all pools on one image or snapshot: 2,000 in the quota article; none in that of galleries."""
    custom_image_low_priority_limit: Annotated[int, Field(ge=0)] | None = None
    """Spot nodes of all pools on one image or snapshot: 1,000 in the quota article."""
    inbound_nat_node_limit: Annotated[int, Field(ge=0)] | None = None
    """Nodes of a pool with inbound NAT pools: the article on custom images says "may be reduced", and no number."""

    # -- switches ------------------------------------------------------------------------------------------------------
    legacy_managed_image_pools: bool = False
    """Behave as before 2026-03-31, when a pool could still be made straight from a managed image."""
    managed_image_refusal_code: str = "InvalidPropertyValue"
    """Code (400) for a pool on a managed image; the service's answer after the retirement is not published."""
    property_cannot_be_updated_status: Annotated[int, Field(ge=400, le=499)] = 409
    """HTTP status of ``PropertyCannotBeUpdated``; reports quote the code without it."""
    same_value_in_patch_is_an_update: bool = True
    """Whether a PATCH that repeats an immutable property's value is refused like one that changes it."""
    arm_pool_being_resized_code: str = "PoolBeingResized"
    """Code (409) of an ARM write during a resize; the data plane says ``PoolBeingResized``."""
    arm_pool_not_found_code: str = "PoolNotFound"
    """Code (404) of ARM for a pool that does not exist: ``PoolNotFound`` or ``ResourceNotFound``."""
    if_none_match_status: Annotated[int, Field(ge=400, le=499)] = 412
    """Status of a PUT with ``If-None-Match: *`` on a pool that exists: 412 or 409."""
    any_patch_refused_during_resize: bool = True
    """Whether a PATCH that leaves the scale alone (metadata, ...) is refused during a resize too."""
    omitted_target_means_zero: bool = False
    """Whether a resize that names one of the two targets sets the other to 0 (or keeps it)."""
    steady_after_resize_request: NotNegative = timedelta(0)
    """For how long reads may still show the pool as it was before a resize request (stale reads)."""
    missing_image_code: MissingImageCode = MissingImageCode.DEPENDENT_RESOURCE_NOT_FOUND
    """Resize error of a growing pool whose image version was deleted; no source names it."""
    specialized_image: SpecializedImage = SpecializedImage.REFUSE
    """Batch takes generalized images only; whether it says so at once or its nodes never come up is not published."""
    guest_not_generalized: GuestNotGeneralized = GuestNotGeneralized.UNUSABLE
    """Nodes on an image whose system was never deprovisioned; the article says that they may be slow or unusable."""
    security_mismatch: SecurityMismatch = SecurityMismatch.RESIZE_ERROR
    """Whether a security type that image or size cannot have is a resize error or refused at once; not published."""
    unfinished_versions_serve: bool = False
    """Whether an image version that is ``Creating`` or ``Failed`` serves pools where it is complete; not published."""
    drain_timeout_code: str = "AllocationTimedout"
    """Resize error when running tasks outlive ``resizeTimeout`` of a shrinking pool: this or ``RemoveNodesFailed``."""
    remove_nodes_lowers: LoweredBy = LoweredBy.SIZE
    """New targets when nodes are removed from a pool below its targets: its ``size`` or ``targets``, less the nodes."""
    reboot_states: tuple[NodeState, ...] = DEFAULT_REBOOT_STATES
    """States that can be rebooted. API reference: idle, running; articles reboot bad nodes; users report refusals."""
    gone_files_code: GoneFilesCode = GoneFilesCode.NODE_NOT_FOUND
    """Code of the files of a task whose node has left: this (404) or ``TaskFilesUnavailable`` (409); not published."""
    low_priority_quota_code: str = "AccountLowPriorityCoreQuotaReached"
    """This or ``AccountSpotCoreQuotaReached``."""
    subscription_quota_code: str = "OperationNotAllowed"
    """Compute's code in the resize error of a user-subscription account beyond its quota, or ``QuotaExceeded``."""
    refuse_removed_properties: bool = True
    """Whether api-version 2025-06-01 refuses properties that it has removed (``certificates``, ...) or ignores them."""
