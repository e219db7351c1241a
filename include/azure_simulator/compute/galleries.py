"""Galleries, image definitions and image versions: state, and how ARM shows it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from include.azure_simulator.clock import Clock
from include.azure_simulator.compute.replicas import Replica
from include.azure_simulator.compute.store import ProvisioningState, Resource
from include.azure_simulator.resources import JsonObject, normalise_region, timestamp

GALLERY_TYPE = "Microsoft.Compute/galleries"
DEFINITION_TYPE = "Microsoft.Compute/galleries/images"
VERSION_TYPE = "Microsoft.Compute/galleries/images/versions"

OsState = Literal["Generalized", "Specialized"]


@dataclass(slots=True)
class Gallery(Resource):
    """A Compute Gallery."""

    properties: JsonObject = field(default_factory=dict)
    unique_name: str = field(default_factory=lambda: str(uuid.uuid4()))

    def render(self) -> JsonObject:
        """The gallery as ARM shows it."""
        body = self.envelope()
        subscription = self.rid.subscription.replace("-", "")
        body["properties"] = {
            **self.properties,
            "identifier": {"uniqueName": f"{subscription}-{self.rid.name.upper()}"},
            "provisioningState": self.provisioning_state.value,
        }
        return body


@dataclass(slots=True)
class ImageDefinition(Resource):
    """An image definition. ``properties`` are those that no rule looks at."""

    os_type: str
    os_state: OsState
    hyper_v_generation: str
    architecture: str
    features: dict[str, str]
    identifier: tuple[str, str, str]
    allow_update_image: bool
    properties: JsonObject

    @property
    def security_type(self) -> str:
        """The feature ``SecurityType``; a definition without it is ``Standard``."""
        return self.features.get("SecurityType", "Standard")

    def render(self) -> JsonObject:
        """The definition as ARM shows it."""
        publisher, offer, sku = self.identifier
        body = self.envelope()
        properties: JsonObject = {
            **self.properties,
            "osType": self.os_type,
            "osState": self.os_state,
            "hyperVGeneration": self.hyper_v_generation,
            "architecture": self.architecture,
            "identifier": {"publisher": publisher, "offer": offer, "sku": sku},
            "provisioningState": self.provisioning_state.value,
        }
        if self.features:
            properties["features"] = [{"name": name, "value": value} for name, value in self.features.items()]
        if self.allow_update_image:
            properties["allowUpdateImage"] = True
        body["properties"] = properties
        return body


@dataclass(slots=True)
class ImageVersion(Resource):
    """An image version of a gallery.

    ``source_ids`` are the resources that it was made from, the OS disk first; ``data_disks`` are sizes in GiB by LUN;
    ``replicas`` are by normalised region. ``base_image`` is the marketplace image that the machine behind it was made
    from: publisher, offer and SKU in lower case, where the sources told. ``origins`` are the images and versions that
    it was made from, down to their snapshots: their ids in lower case. ``boots`` is false when a VHD behind it holds
    something else than the definition says, ``guest_generalized`` when its system was never deprovisioned.
    """

    definition: ImageDefinition
    clock: Clock
    source_ids: list[str]
    storage_profile: JsonObject
    os_disk_gib: int
    data_disks: dict[int, int]
    replicas: dict[str, Replica]
    published: datetime
    replica_count: int
    storage_account_type: str
    replication_mode: str
    exclude_from_latest: bool
    end_of_life: datetime | None
    block_deletion_before_end_of_life: bool
    allow_deletion_of_replicated_locations: bool
    validated_at: datetime | None = None
    base_image: tuple[str, str, str] | None = None
    origins: frozenset[str] = frozenset()
    boots: bool = True
    guest_generalized: bool = True

    @property
    def disk_controllers(self) -> frozenset[str]:
        """``SCSI`` and ``NVME``, from the feature ``DiskControllerTypes``; a definition without it means SCSI."""
        named = self.definition.features.get("DiskControllerTypes", "SCSI")
        return frozenset(name.strip().upper() for name in named.split(","))

    @property
    def published_once(self) -> bool:
        """Whether the version has been made: an update leaves it in use, a failure or a deletion does not."""
        return self.provisioning_state in (ProvisioningState.SUCCEEDED, ProvisioningState.UPDATING)

    @property
    def regions_ready(self) -> set[str]:
        """Normalised names of the regions where replication has completed by now."""
        if self.provisioning_state is ProvisioningState.DELETING:
            return set()
        now = self.clock.now()
        return {region for region, replica in self.replicas.items() if replica.ready(now)}

    @property
    def data_disk_luns(self) -> list[int]:
        """The LUNs of the data disks."""
        return list(self.data_disks)

    @property
    def os_state(self) -> str:
        """``Generalized`` or ``Specialized``, from the definition."""
        return self.definition.os_state

    @property
    def os_type(self) -> str:
        """``Linux`` or ``Windows``, from the definition."""
        return self.definition.os_type

    @property
    def hyper_v_generation(self) -> str:
        """``V1`` or ``V2``, from the definition."""
        return self.definition.hyper_v_generation

    @property
    def architecture(self) -> str:
        """``x64`` or ``Arm64``, from the definition."""
        return self.definition.architecture

    @property
    def security_type(self) -> str:
        """The feature ``SecurityType`` of the definition."""
        return self.definition.security_type

    @property
    def number(self) -> tuple[int, ...]:
        """The version number, for comparisons."""
        return tuple(int(part) for part in self.rid.name.split("."))

    def counts_as_latest(self, region: str | None) -> bool:
        """Whether this version may be the latest one, in a region if one is named."""
        if self.exclude_from_latest or not self.published_once:
            return False
        if region is None:
            return True
        replica = self.replicas.get(normalise_region(region))
        return replica is not None and not replica.exclude_from_latest

    def render(self, *, with_replication_status: bool = False, regions_shown: bool = True) -> JsonObject:
        """The version as ARM shows it.

        :param with_replication_status: whether the client asked for ``$expand=ReplicationStatus``.
        :param regions_shown: whether regions have states of their own while the version is made.
        """
        body = self.envelope()
        properties: JsonObject = {
            "publishingProfile": self._publishing_profile(),
            "storageProfile": self.storage_profile,
            "safetyProfile": {
                "reportedForPolicyViolation": False,
                "allowDeletionOfReplicatedLocations": self.allow_deletion_of_replicated_locations,
                "blockDeletionBeforeEndOfLife": self.block_deletion_before_end_of_life,
            },
            "provisioningState": self.provisioning_state.value,
        }
        if self.validated_at is not None:
            properties["validationsProfile"] = self._validations(self.validated_at)
        if with_replication_status:
            shown = regions_shown or self.provisioning_state is not ProvisioningState.CREATING
            properties["replicationStatus"] = self._replication_status(list(self.replicas.values()) if shown else [])
        body["properties"] = properties
        return body

    def _publishing_profile(self) -> JsonObject:
        profile: JsonObject = {
            "targetRegions": [replica.render() for replica in self.replicas.values()],
            "replicaCount": self.replica_count,
            "excludeFromLatest": self.exclude_from_latest,
            "publishedDate": timestamp(self.published),
            "storageAccountType": self.storage_account_type,
            "replicationMode": self.replication_mode,
        }
        if self.end_of_life is not None:
            profile["endOfLifeDate"] = timestamp(self.end_of_life)
        return profile

    def _replication_status(self, replicas: list[Replica]) -> JsonObject:
        now = self.clock.now()
        states = [replica.state(now) for replica in self.replicas.values()]
        summary: list[JsonValue] = [
            {
                "region": replica.display_name,
                "state": replica.state(now),
                "details": replica.details(now),
                "progress": replica.progress(now),
            }
            for replica in replicas
        ]
        done = "Completed" if all(state == "Completed" for state in states) else "InProgress"
        return {"aggregatedState": "Failed" if "Failed" in states else done, "summary": summary}

    def _validations(self, validated_at: datetime) -> JsonObject:
        done = self.clock.now() >= validated_at and self.provisioning_state is not ProvisioningState.FAILED
        return {
            "executedValidations": [
                {
                    "type": "TrustedLaunch",
                    "status": "Succeeded" if done else "Unknown",
                    "version": "0.0.2",
                    "executionTime": timestamp(min(validated_at, self.clock.now())),
                }
            ]
        }
