"""What a user may say about a pool (API 2025-06-01), in ARM's shape: bodies of both planes end up here."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import Field, JsonValue, field_validator, model_validator

from include.azure_simulator.batch.pool_network import NetworkConfiguration
from include.azure_simulator.batch.wire import Wire, WireEnum
from include.azure_simulator.resources import JsonObject

MINIMUM_RESIZE_TIMEOUT = timedelta(minutes=5)
DEFAULT_RESIZE_TIMEOUT = timedelta(minutes=15)
MINIMUM_EVALUATION_INTERVAL = timedelta(minutes=5)
MAXIMUM_EVALUATION_INTERVAL = timedelta(hours=168)
POOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

_GALLERY_IMAGE = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/galleries/[^/]+/images/[^/]+"
    r"(?P<version>/versions/[^/]+)?",
    re.IGNORECASE,
)
_MANAGED_IMAGE = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/images/[^/]+", re.IGNORECASE
)


class NodeDeallocationOption(WireEnum):
    """What becomes of the tasks on nodes that leave."""

    REQUEUE = "Requeue"
    TERMINATE = "Terminate"
    TASK_COMPLETION = "TaskCompletion"
    RETAINED_DATA = "RetainedData"


class InterNodeCommunication(WireEnum):
    """Whether nodes of a pool may talk to each other."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class NodeFillType(WireEnum):
    """How tasks are spread over nodes."""

    SPREAD = "Spread"
    PACK = "Pack"


class JobDefaultOrder(WireEnum):
    """Order of jobs of the same priority."""

    NONE = "None"
    CREATION_TIME = "CreationTime"


class FixedScale(Wire):
    """A fixed number of nodes."""

    resize_timeout: timedelta = DEFAULT_RESIZE_TIMEOUT
    target_dedicated_nodes: Annotated[int, Field(ge=0)] | None = None
    target_low_priority_nodes: Annotated[int, Field(ge=0)] | None = None
    node_deallocation_option: NodeDeallocationOption | None = None

    @model_validator(mode="after")
    def _check(self) -> FixedScale:
        if self.resize_timeout < MINIMUM_RESIZE_TIMEOUT:
            raise ValueError("The minimum value of resizeTimeout is 5 minutes.")
        if self.target_dedicated_nodes is None and self.target_low_priority_nodes is None:
            raise ValueError("At least one of targetDedicatedNodes and targetLowPriorityNodes must be set.")
        return self


class AutoScale(Wire):
    """A number of nodes that a formula sets at an interval."""

    formula: str
    evaluation_interval: timedelta = timedelta(minutes=15)

    @field_validator("evaluation_interval")
    @classmethod
    def _interval(cls, value: timedelta) -> timedelta:
        if not MINIMUM_EVALUATION_INTERVAL <= value <= MAXIMUM_EVALUATION_INTERVAL:
            raise ValueError("The evaluation interval must be between 5 minutes and 168 hours.")
        return value


class ScaleSettings(Wire):
    """Fixed or automatic, never both; neither is a fixed scale of no nodes."""

    fixed_scale: FixedScale | None = None
    auto_scale: AutoScale | None = None

    @model_validator(mode="after")
    def _exclusive(self) -> ScaleSettings:
        if self.fixed_scale is not None and self.auto_scale is not None:
            raise ValueError("fixedScale and autoScale are mutually exclusive.")
        return self


class ImageReference(Wire):
    """The image of the nodes: a marketplace image or a Compute Gallery image."""

    publisher: str | None = None
    offer: str | None = None
    sku: str | None = None
    version: str | None = None
    id: str | None = None
    shared_gallery_image_id: str | None = None
    community_gallery_image_id: str | None = None

    @model_validator(mode="after")
    def _check(self) -> ImageReference:
        ids = [value for value in (self.id, self.shared_gallery_image_id, self.community_gallery_image_id) if value]
        if self.publisher is None:
            for name in ("version", "offer", "sku"):
                if getattr(self, name) is not None:
                    raise ValueError(f"Specified property {name} can only have a value when publisher is set.")
            if len(ids) != 1:
                raise ValueError("Exactly one of publisher and an image id must be set.")
        elif ids:
            raise ValueError("publisher and an image id are mutually exclusive.")
        elif not self.offer or not self.sku:
            raise ValueError("offer and sku are required when publisher is set.")
        if self.id is not None and not (_GALLERY_IMAGE.fullmatch(self.id) or self.is_managed_image):
            raise ValueError("The image id is not a valid Azure Resource Manager image id.")
        return self

    @property
    def is_managed_image(self) -> bool:
        """Whether this is the id of a Microsoft.Compute/images resource."""
        return self.id is not None and _MANAGED_IMAGE.fullmatch(self.id) is not None

    @property
    def pins_a_version(self) -> bool:
        """Whether a gallery image is named with its version; without one the latest is meant."""
        match = _GALLERY_IMAGE.fullmatch(self.id or "")
        return match is not None and match["version"] is not None


class ManagedDisk(Wire):
    """How a disk of a node is stored."""

    storage_account_type: str | None = None
    security_profile: JsonObject | None = None
    disk_encryption_set: JsonObject | None = None


class DataDisk(Wire):
    """An empty disk beside those that the image brings."""

    lun: Annotated[int, Field(ge=0, le=63)]
    caching: str | None = None
    disk_size_gb: Annotated[int, Field(alias="diskSizeGB", gt=0)]
    managed_disk: ManagedDisk | None = None


class SecurityType(WireEnum):
    """What nodes boot as when it is nothing standard."""

    TRUSTED_LAUNCH = "trustedLaunch"
    CONFIDENTIAL_VM = "confidentialVM"


class UefiSettings(Wire):
    """What a node with a security type checks when it boots."""

    secure_boot_enabled: bool | None = None
    v_tpm_enabled: bool | None = None


class SecurityProfile(Wire):
    """Trusted launch or confidential nodes."""

    security_type: SecurityType | None = None
    encryption_at_host: bool | None = None
    uefi_settings: UefiSettings | None = None
    proxy_agent_settings: JsonObject | None = None

    @model_validator(mode="after")
    def _check(self) -> SecurityProfile:
        if self.uefi_settings is not None and self.security_type is None:
            raise ValueError("securityType has to be set to enable uefiSettings.")
        return self


class VirtualMachineConfiguration(Wire):
    """What runs on the nodes."""

    image_reference: ImageReference
    node_agent_sku_id: str
    windows_configuration: JsonObject | None = None
    data_disks: list[DataDisk] | None = None
    license_type: str | None = None
    container_configuration: JsonObject | None = None
    disk_encryption_configuration: JsonObject | None = None
    node_placement_configuration: JsonObject | None = None
    extensions: list[JsonObject] | None = None
    os_disk: JsonObject | None = None
    security_profile: SecurityProfile | None = None
    service_artifact_reference: JsonObject | None = None

    @field_validator("data_disks")
    @classmethod
    def _luns(cls, disks: list[DataDisk] | None) -> list[DataDisk] | None:
        if disks is not None and len({disk.lun for disk in disks}) != len(disks):
            raise ValueError("The logical unit numbers of the data disks must be unique.")
        return disks

    @model_validator(mode="after")
    def _encryption_of_confidential_disks(self) -> VirtualMachineConfiguration:
        """It can only be set for confidential VMs, and is required for them."""
        disk = self.os_disk or {}
        managed = disk.get("managedDisk")
        profile = managed.get("securityProfile") if isinstance(managed, dict) else None
        given = isinstance(profile, dict) and profile.get("securityEncryptionType") is not None
        security = self.security_profile.security_type if self.security_profile is not None else None
        if given != (security is SecurityType.CONFIDENTIAL_VM):
            raise ValueError("securityEncryptionType is required for confidential VMs, and can only be set for them.")
        return self


class DeploymentConfiguration(Wire):
    """The one kind of deployment that is left since cloud services are gone."""

    virtual_machine_configuration: VirtualMachineConfiguration


class StartTask(Wire):
    """The task that prepares each node."""

    command_line: Annotated[str, Field(min_length=1)]
    container_settings: JsonObject | None = None
    resource_files: list[JsonObject] | None = None
    environment_settings: list[JsonObject] | None = None
    user_identity: JsonObject | None = None
    max_task_retry_count: Annotated[int, Field(ge=-1)] = 0
    wait_for_success: bool = True


class TaskSchedulingPolicy(Wire):
    """How tasks are spread over nodes."""

    job_default_order: JobDefaultOrder | None = None
    node_fill_type: NodeFillType = NodeFillType.SPREAD


class MetadataItem(Wire):
    """A name and a value that the service does not read."""

    name: str
    value: str


class ApplicationPackage(Wire):
    """A package that is put on each node."""

    id: str
    version: str | None = None


class PoolSpec(Wire):
    """Everything that a user may set on a pool; see :data:`CHANGEABLE_WITH_NODES` for when."""

    display_name: Annotated[str, Field(max_length=1024)] | None = None
    vm_size: Annotated[str, Field(min_length=1)]
    deployment_configuration: DeploymentConfiguration
    scale_settings: ScaleSettings = ScaleSettings()
    inter_node_communication: InterNodeCommunication = InterNodeCommunication.DISABLED
    network_configuration: NetworkConfiguration | None = None
    task_slots_per_node: Annotated[int, Field(ge=1, le=256)] = 1
    task_scheduling_policy: TaskSchedulingPolicy = TaskSchedulingPolicy()
    user_accounts: list[JsonObject] | None = None
    metadata: list[MetadataItem] | None = None
    start_task: StartTask | None = None
    application_packages: Annotated[list[ApplicationPackage], Field(max_length=10)] | None = None
    mount_configuration: list[JsonObject] | None = None
    upgrade_policy: JsonObject | None = None

    @property
    def machine(self) -> VirtualMachineConfiguration:
        """The virtual machine configuration."""
        return self.deployment_configuration.virtual_machine_configuration

    @property
    def network(self) -> NetworkConfiguration:
        """The network configuration; a pool without one has one that says nothing."""
        return self.network_configuration or NetworkConfiguration()

    @property
    def image(self) -> ImageReference:
        """The image of the nodes."""
        return self.machine.image_reference


CHANGEABLE_WITH_NODES = frozenset({"applicationPackages", "metadata", "scaleSettings", "startTask"})
"""What may change while a pool has nodes; everything else asks for size zero (batch-pool-update-properties)."""

READ_ONLY = frozenset(
    {
        "lastModified",
        "creationTime",
        "provisioningState",
        "provisioningStateTransitionTime",
        "allocationState",
        "allocationStateTransitionTime",
        "currentDedicatedNodes",
        "currentLowPriorityNodes",
        "autoScaleRun",
        "resizeOperationStatus",
    }
)
"""ARM properties that a client may send back and that are ignored."""

REMOVED = frozenset(
    {
        "certificates",
        "applicationLicenses",
        "targetNodeCommunicationMode",
        "currentNodeCommunicationMode",
        "resourceTags",
    }
)
"""ARM properties that api-version 2025-06-01 no longer has."""

_SECRETS = frozenset({"password", "accountKey", "sasKey", "sshPrivateKey", "protectedSettings"})


def without_secrets(value: JsonValue) -> JsonValue:
    """A body as the service gives it back: it never returns passwords and keys."""
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items() if key not in _SECRETS}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value
