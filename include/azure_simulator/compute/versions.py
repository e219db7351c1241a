"""The rules of image versions: sources, regions, replicas, deletion."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from pydantic import JsonValue

from include.azure_simulator.compute.galleries import VERSION_TYPE, ImageDefinition, ImageVersion
from include.azure_simulator.compute.replicas import Replica
from include.azure_simulator.compute.replication import PublishingBody, Replication
from include.azure_simulator.compute.store import (
    EnvelopeBody,
    ProvisioningState,
    RequestBody,
    Store,
    TagsBody,
    Written,
    begin_delete,
    checked_location,
    concurrent_request,
    invalid_parameter,
    not_allowed,
    parent_not_found,
    property_change,
)
from include.azure_simulator.compute.version_sources import VersionSource, VersionStorageBody, resolve_source
from include.azure_simulator.errors import ArmError
from include.azure_simulator.operations import Operation, OperationFamily, scripted_failure
from include.azure_simulator.resources import JsonObject, ResourceId, merged
from include.azure_simulator.wire import parse_body

if TYPE_CHECKING:
    from include.azure_simulator.world import World

_NUMBER = re.compile(r"^\d{1,10}\.\d{1,10}\.\d{1,10}$")
_INT32_MAX = 2_147_483_647


class SafetyBody(RequestBody):
    """What protects a version."""

    read_only: ClassVar[frozenset[str]] = frozenset({"reportedForPolicyViolation", "policyViolations"})

    allow_deletion_of_replicated_locations: bool = True
    block_deletion_before_end_of_life: bool = False


class VersionPropertiesBody(RequestBody):
    """The properties of a version in a PUT."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {"provisioningState", "replicationStatus", "validationsProfile", "imageMetadataProfiles"}
    )

    storage_profile: VersionStorageBody
    publishing_profile: PublishingBody = PublishingBody()
    safety_profile: SafetyBody = SafetyBody()
    security_profile: JsonValue = None
    restore: JsonValue = None


class VersionBody(EnvelopeBody):
    """A version in a PUT."""

    properties: VersionPropertiesBody


class Versions(Store[ImageVersion]):
    """The image versions of the world."""

    def __init__(self, world: World) -> None:
        super().__init__(VERSION_TYPE)
        self._world = world
        self.replication = Replication(world)
        self._deleted_at: dict[str, datetime] = {}

    def put(self, rid: ResourceId, body: VersionBody, *, api_version: str) -> Written[ImageVersion]:
        """Create a version, replicate it, or update its regions, replica counts and dates.

        A version that failed is made again, or only copied again where it failed when its own region has it.

        :param api_version: version of the call; a VM as a source needs a newer one.
        :raises ArmError: as Azure refuses.
        """
        _check_number(rid.name)
        definition = self._world.compute.definitions.find(rid.parent)
        if definition is None:
            raise parent_not_found(rid)
        existing = self.find(rid)
        location = checked_location(self._world, rid, body.location, existing)
        if existing is not None and existing.provisioning_state is ProvisioningState.DELETING:
            text = (
                f"Operation 'Update Gallery Image Version' is not allowed on {rid.name} since it is marked for "
                "deletion. You can only retry the Delete operation (or wait for an ongoing one to complete)."
            )
            raise not_allowed(text)
        if definition.provisioning_state is ProvisioningState.DELETING or (existing is not None and existing.busy):
            raise concurrent_request()
        replicas = self.replication.wanted(body.properties.publishing_profile, location)
        if existing is not None and location in existing.regions_ready:
            return self._update(existing, body, replicas)
        if existing is None:
            self.check_room(rid, location, self._world.settings.compute.versions_per_region)
        source = resolve_source(self._world, definition, body.properties.storage_profile, location, api_version)
        self._check_source_free(source)
        return self._create(rid, location, definition, body, source, replicas)

    def patch(self, rid: ResourceId, body: TagsBody, *, api_version: str) -> Written[ImageVersion]:
        """Change tags at once, or publishing and safety profile as a PUT of the merged version would.

        :raises ArmError: 404, and what :meth:`put` refuses.
        """
        if not body.properties:
            return Written(self.patch_tags(rid, body), None)
        if "storageProfile" not in body.properties:
            target = (
                "galleryImageVersion.properties.storageProfile"  # required by the API files, though it cannot change
            )
            raise invalid_parameter(f"Required parameter '{target}' is missing (null).", target)
        version = self.require(rid)
        current = version.render()
        tags: JsonObject = {**(version.tags if body.tags is None else body.tags)}
        change: JsonObject = {"tags": tags, "properties": body.properties}
        return self.put(rid, parse_body(VersionBody, merged(current, change)), api_version=api_version)

    def delete(self, rid: ResourceId) -> Operation | None:
        """Delete a version; ``None`` when there is none.

        :raises ArmError: 409 ``DeleteGalleryImageVersionBlockedBeforeEndOfLife``,
            ``OperationNotAllowedOnVMImageAsVMsBeingProvisioned`` or ``OperationNotAllowed``.
        """
        self._world.require_group(rid.subscription, rid.group)
        version = self.find(rid)
        if version is None:
            return None
        self._check_deletable(version)

        def remember() -> None:
            self._deleted_at[rid.parent.key] = self._world.clock.now()

        duration = self._world.settings.compute.version_delete
        return begin_delete(self._world, self, version, OperationFamily.GALLERY, duration, then=remember)

    def keeps_definition(self, definition: ResourceId) -> bool:
        """Whether a definition still counts a version: an existing one, or one deleted a short time ago."""
        if self.children(definition):
            return True
        deleted = self._deleted_at.get(definition.key)
        lag = self._world.settings.compute.child_delete_lag
        return deleted is not None and self._world.clock.now() < deleted + lag

    def latest(self, definition: ResourceId, region: str | None = None) -> ImageVersion | None:
        """The version that ``latest`` means: the highest number that is Succeeded and not excluded."""
        candidates = [version for version in self.children(definition) if version.counts_as_latest(region)]
        return max(candidates, key=lambda version: version.number, default=None)

    def _create(
        self,
        rid: ResourceId,
        location: str,
        definition: ImageDefinition,
        body: VersionBody,
        source: VersionSource,
        replicas: dict[str, Replica],
    ) -> Written[ImageVersion]:
        publishing, safety = body.properties.publishing_profile, body.properties.safety_profile
        mode = publishing.replication_mode or "Full"
        validated_at = self.replication.begin(rid, location, definition, mode, replicas)
        version = ImageVersion(
            rid,
            location,
            dict(body.tags or {}),
            ProvisioningState.CREATING,
            definition=definition,
            clock=self._world.clock,
            source_ids=source.source_ids,
            storage_profile=source.storage_profile,
            os_disk_gib=source.os_disk_gib,
            data_disks=source.data_disks,
            replicas=replicas,
            published=self._world.clock.now(),
            replica_count=publishing.replica_count or 1,
            storage_account_type=publishing.storage_account_type or "Standard_LRS",
            replication_mode=mode,
            exclude_from_latest=publishing.exclude_from_latest,
            end_of_life=publishing.end_of_life_date,
            block_deletion_before_end_of_life=safety.block_deletion_before_end_of_life,
            allow_deletion_of_replicated_locations=safety.allow_deletion_of_replicated_locations,
            validated_at=validated_at,
            base_image=self._world.compute.base_image(source.source_ids[0]),
            origins=frozenset().union(*map(self._world.compute.origins, source.source_ids)),
            boots=source.boots,
            guest_generalized=self._world.compute.guest_generalized(source.source_ids[0]),
        )
        self.add(version)
        return Written(version, self._begin(version, ProvisioningState.CREATING, list(replicas.values())), created=True)

    def _update(self, version: ImageVersion, body: VersionBody, replicas: dict[str, Replica]) -> Written[ImageVersion]:
        publishing, safety = body.properties.publishing_profile, body.properties.safety_profile
        self._check_unchanged(version, body)
        removed = version.regions_ready - replicas.keys()
        if removed and not version.allow_deletion_of_replicated_locations:
            text = (
                f"Removing the replicated region '{min(removed)}' is not allowed by the safety profile of the version."
            )
            raise not_allowed(text, target="galleryImageVersion.properties.publishingProfile.targetRegions")
        copied = self.replication.change(version, replicas)
        version.replicas = replicas
        version.tags = dict(body.tags or {})
        version.exclude_from_latest = publishing.exclude_from_latest
        version.end_of_life = publishing.end_of_life_date
        version.replica_count = publishing.replica_count or version.replica_count
        version.block_deletion_before_end_of_life = safety.block_deletion_before_end_of_life
        version.allow_deletion_of_replicated_locations = safety.allow_deletion_of_replicated_locations
        return Written(version, self._begin(version, ProvisioningState.UPDATING, copied))

    def _begin(self, version: ImageVersion, state: ProvisioningState, copied: list[Replica]) -> Operation:
        """Start the operation of a write, which ends when the last of the replicas is there or has failed."""
        now = self._world.clock.now()
        shortest = now + self._world.settings.compute.version_update if state is ProvisioningState.UPDATING else now
        has_fault = scripted_failure.get() is not None

        def succeed() -> None:
            version.provisioning_state = ProvisioningState.SUCCEEDED

        def fail() -> None:
            version.provisioning_state = ProvisioningState.FAILED
            for replica in copied if has_fault else ():
                replica.failure = replica.failure or "The operation failed."
                replica.ends = min(replica.ends, self._world.clock.now())

        version.provisioning_state = state
        return self._world.operations.start(
            family=OperationFamily.GALLERY,
            location=version.location,
            subscription=version.rid.subscription,
            duration=self.replication.ends(version.location, copied, shortest) - now,
            resource_id=version.id,
            on_success=succeed,
            on_failure=fail,
            error=self.replication.failure(version.location, copied),
        )

    def _check_source_free(self, source: VersionSource) -> None:
        if not self._world.settings.compute.serialise_source:
            return
        busy = {key.lower() for version in self if version.busy for key in version.source_ids}
        for source_id in source.source_ids:
            if source_id.lower() in busy:
                text = (
                    f"Too many requests on source '{source_id}'. Please reduce the number of requests on the source, "
                    "or wait some time before retrying."
                )
                seconds = self._world.clock.retry_after(timedelta(minutes=1))
                raise ArmError(429, "TooManyRequests", text, headers={"Retry-After": str(seconds)})

    def _check_unchanged(self, version: ImageVersion, body: VersionBody) -> None:
        prefix = "galleryImageVersion.properties"
        asked = body.properties.storage_profile.source_ids()
        known = [source.lower() for source in version.source_ids]
        if asked and [source.lower() for source in asked] != known:  # the CLI leaves the sources out of an update
            raise property_change(f"{prefix}.storageProfile.source.id")
        publishing = body.properties.publishing_profile
        if publishing.storage_account_type not in (None, version.storage_account_type):
            raise property_change(f"{prefix}.publishingProfile.storageAccountType")
        if publishing.replication_mode not in (None, version.replication_mode):
            raise property_change(f"{prefix}.publishingProfile.replicationMode")

    def _check_deletable(self, version: ImageVersion) -> None:
        end, now = version.end_of_life, self._world.clock.now()
        if version.block_deletion_before_end_of_life and end is not None and now < end:
            text = (
                "Deletion of Gallery image version is not allowed because the image is enabled for "
                "blockDeletionBeforeEndOfLife and its endOfLifeDate has not reached yet."
            )
            raise ArmError(409, "DeleteGalleryImageVersionBlockedBeforeEndOfLife", text)
        if self._world.batch.uses_image(version.id):
            text = (
                f"The operation is not allowed on the VM image '{version.id}' as VMs are being provisioned using the "
                "image. Please retry later."
            )
            raise ArmError(409, "OperationNotAllowedOnVMImageAsVMsBeingProvisioned", text)
        reader = self._world.compute.being_made_from(version.rid)
        if reader is not None:
            raise not_allowed(f"The gallery image version cannot be deleted while '{reader}' is being created from it.")


def _check_number(name: str) -> None:
    if not _NUMBER.match(name) or any(int(part) > _INT32_MAX for part in name.split(".")):
        text = (
            f"The gallery image version name '{name}' is invalid. The gallery image version name must follow "
            "Major(int).Minor(int).Patch(int) format, for example: 1.0.0, 2018.12.1 etc."
        )
        raise invalid_parameter(text, "galleryImageVersionName")
