"""The rules of galleries and of image definitions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, JsonValue

from include.azure_simulator.compute.galleries import DEFINITION_TYPE, GALLERY_TYPE, Gallery, ImageDefinition, OsState
from include.azure_simulator.compute.sizes import Architecture, Generation
from include.azure_simulator.compute.store import (
    ENTITY_NAME,
    GALLERY_NAME,
    EnvelopeBody,
    ProvisioningState,
    RequestBody,
    Store,
    Written,
    begin_change,
    begin_delete,
    check_name,
    checked_location,
    concurrent_request,
    invalid_parameter,
    parent_not_found,
    property_change,
)
from include.azure_simulator.errors import ArmError
from include.azure_simulator.operations import Operation, OperationFamily
from include.azure_simulator.resources import JsonObject, ResourceId

if TYPE_CHECKING:
    from include.azure_simulator.world import World

_TRUSTED_LAUNCH_DEFAULT_SINCE = "2025-03-03"
"""From this api-version on a definition without explicit fields is Gen2 and TrustedLaunchSupported."""

_IDENTIFIER_LIMITS = {"publisher": 128, "offer": 64, "sku": 64}
_IDENTIFIER = re.compile(r"^[^_\W][\w\-._]*(?<![-.])$", re.ASCII)
_SECURITY_TYPES = (
    "Standard",
    "TrustedLaunch",
    "TrustedLaunchSupported",
    "ConfidentialVM",
    "ConfidentialVMSupported",
    "TrustedLaunchAndConfidentialVmSupported",
)


class GalleryPropertiesBody(RequestBody):
    """The properties of a gallery in a PUT."""

    read_only: ClassVar[frozenset[str]] = frozenset({"identifier", "provisioningState", "sharingStatus"})

    description: str | None = None
    sharing_profile: JsonValue = None
    soft_delete_policy: JsonValue = None


class GalleryBody(EnvelopeBody):
    """A gallery in a PUT."""

    properties: GalleryPropertiesBody = GalleryPropertiesBody()
    identity: JsonValue = None


class IdentifierBody(RequestBody):
    """What names an image: publisher, offer, SKU."""

    publisher: str
    offer: str
    sku: str


class FeatureBody(RequestBody):
    """A feature of a definition."""

    name: str
    value: str
    starts_at_version: JsonValue = None


class DefinitionPropertiesBody(RequestBody):
    """The properties of a definition in a PUT."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState"})

    os_type: Literal["Linux", "Windows"]
    os_state: OsState
    identifier: IdentifierBody
    hyper_v_generation: Generation | None = Field(default=None, alias="hyperVGeneration")
    architecture: Architecture | None = None
    features: list[FeatureBody] | None = None
    allow_update_image: bool = False
    description: JsonValue = None
    eula: JsonValue = None
    privacy_statement_uri: JsonValue = None
    release_note_uri: JsonValue = None
    end_of_life_date: JsonValue = None
    recommended: JsonValue = None
    disallowed: JsonValue = None
    purchase_plan: JsonValue = None

    def free_properties(self) -> JsonObject:
        """The properties that no rule looks at."""
        ruled = {"osType", "osState", "identifier", "hyperVGeneration", "architecture", "features", "allowUpdateImage"}
        return {name: value for name, value in self.to_json().items() if name not in ruled}


class DefinitionBody(EnvelopeBody):
    """A definition in a PUT."""

    properties: DefinitionPropertiesBody


class Galleries(Store[Gallery]):
    """The galleries of the world."""

    def __init__(self, world: World) -> None:
        super().__init__(GALLERY_TYPE)
        self._world = world

    def put(self, rid: ResourceId, body: GalleryBody) -> Written[Gallery]:
        """Create or update a gallery.

        :raises ArmError: as Azure refuses.
        """
        check_name(rid.name, GALLERY_NAME, "galleryName")
        existing = self.find(rid)
        location = checked_location(self._world, rid, body.location, existing)
        if existing is not None and existing.provisioning_state is ProvisioningState.DELETING:
            raise concurrent_request()
        if existing is None:
            self.check_room(rid, location, self._world.settings.compute.galleries_per_region)
        gallery = existing or Gallery(rid, location, {}, ProvisioningState.CREATING)
        gallery.tags = dict(body.tags or {})
        gallery.properties = body.properties.to_json()
        self.add(gallery)
        state = ProvisioningState.CREATING if existing is None else ProvisioningState.UPDATING
        duration = self._world.settings.compute.gallery_write
        operation = begin_change(self._world, gallery, state, OperationFamily.GALLERY, duration)
        return Written(gallery, operation, created=existing is None)

    def delete(self, rid: ResourceId) -> Operation | None:
        """Delete a gallery; ``None`` when there is none.

        :raises ArmError: 409 ``CannotDeleteResource`` while it has definitions.
        """
        self._world.require_group(rid.subscription, rid.group)
        gallery = self.find(rid)
        if gallery is None:
            return None
        if self._world.compute.definitions.children(rid):
            raise nested_resources(rid)
        duration = self._world.settings.compute.gallery_delete
        return begin_delete(self._world, self, gallery, OperationFamily.GALLERY, duration)


class Definitions(Store[ImageDefinition]):
    """The image definitions of the world."""

    def __init__(self, world: World) -> None:
        super().__init__(DEFINITION_TYPE)
        self._world = world

    def put(self, rid: ResourceId, body: DefinitionBody, *, api_version: str) -> Written[ImageDefinition]:
        """Create or update a definition.

        :param api_version: version of the call, which decides about the defaults.
        :raises ArmError: as Azure refuses.
        """
        check_name(rid.name, ENTITY_NAME, "galleryImageName")
        gallery = self._world.compute.galleries.find(rid.parent)
        if gallery is None:
            raise parent_not_found(rid)
        existing = self.find(rid)
        location = checked_location(self._world, rid, body.location, existing)
        if location != gallery.location and existing is None:
            text = f"The gallery image must be in the location '{gallery.location}' of its gallery."
            raise invalid_parameter(text, "galleryImage.location")
        if existing is not None and existing.provisioning_state is ProvisioningState.DELETING:
            raise concurrent_request()
        wanted = self._definition(rid, location, body, api_version)
        if existing is not None:
            _check_unchanged(existing, wanted)
        else:
            self.check_room(rid, location, self._world.settings.compute.definitions_per_region)
        self._check_identifier(wanted)
        saved = existing or wanted
        saved.tags, saved.properties, saved.features = wanted.tags, wanted.properties, wanted.features
        saved.allow_update_image = wanted.allow_update_image
        self.add(saved)
        state = ProvisioningState.CREATING if existing is None else ProvisioningState.UPDATING
        duration = self._world.settings.compute.gallery_write
        operation = begin_change(self._world, saved, state, OperationFamily.GALLERY, duration)
        return Written(saved, operation, created=existing is None)

    def delete(self, rid: ResourceId) -> Operation | None:
        """Delete a definition; ``None`` when there is none.

        :raises ArmError: 409 ``CannotDeleteResource`` while it has versions, or had one a short time ago.
        """
        self._world.require_group(rid.subscription, rid.group)
        definition = self.find(rid)
        if definition is None:
            return None
        if self._world.compute.versions.keeps_definition(rid):
            raise nested_resources(rid)
        duration = self._world.settings.compute.gallery_delete
        return begin_delete(self._world, self, definition, OperationFamily.GALLERY, duration)

    def _definition(self, rid: ResourceId, location: str, body: DefinitionBody, api_version: str) -> ImageDefinition:
        properties = body.properties
        modern = api_version[:10] >= _TRUSTED_LAUNCH_DEFAULT_SINCE
        generation = properties.hyper_v_generation or ("V2" if modern else "V1")
        features = {feature.name: feature.value for feature in properties.features or []}
        if modern and generation == "V2" and "SecurityType" not in features:
            features["SecurityType"] = "TrustedLaunchSupported"
        architecture = properties.architecture or "x64"
        _check_features(features, generation, architecture)
        identifier = (properties.identifier.publisher, properties.identifier.offer, properties.identifier.sku)
        return ImageDefinition(
            rid,
            location,
            dict(body.tags or {}),
            ProvisioningState.CREATING,
            os_type=properties.os_type,
            os_state=properties.os_state,
            hyper_v_generation=generation,
            architecture=architecture,
            features=features,
            identifier=identifier,
            allow_update_image=properties.allow_update_image,
            properties=properties.free_properties(),
        )

    def _check_identifier(self, wanted: ImageDefinition) -> None:
        for name, value in zip(_IDENTIFIER_LIMITS, wanted.identifier, strict=True):
            limit = _IDENTIFIER_LIMITS[name]
            if len(value) > limit or not _IDENTIFIER.match(value):
                target = f"galleryImage.properties.identifier.{name}"
                raise invalid_parameter(
                    f"The value '{value}' of parameter '{target}' is invalid (at most {limit} characters).", target
                )
        triple = [part.lower() for part in wanted.identifier]
        for other in self.children(wanted.rid.parent):
            if other.rid.key != wanted.rid.key and [part.lower() for part in other.identifier] == triple:
                text = (
                    f"A gallery image with publisher '{wanted.identifier[0]}', offer '{wanted.identifier[1]}' and "
                    f"sku '{wanted.identifier[2]}' already exists in the gallery: '{other.rid.name}'."
                )
                raise ArmError(409, "Conflict", text, target="galleryImage.properties.identifier")


def nested_resources(rid: ResourceId) -> ArmError:
    """409 ``CannotDeleteResource``."""
    text = f"Can not delete resource before nested resources are deleted. Resource: '{rid}'."
    return ArmError(409, "CannotDeleteResource", text)


def _check_features(features: dict[str, str], generation: str, architecture: str) -> None:
    target = "galleryImage.properties.features"
    security = features.get("SecurityType", "Standard")
    if security not in _SECURITY_TYPES:
        raise invalid_parameter(f"The value '{security}' of feature 'SecurityType' is invalid.", target)
    if security != "Standard" and generation != "V2":
        raise invalid_parameter(f"The security type '{security}' needs Hyper-V generation 'V2'.", target)
    if security.startswith("Confidential") and architecture == "Arm64":
        raise invalid_parameter(f"The security type '{security}' is not supported for architecture 'Arm64'.", target)
    if architecture == "Arm64" and generation != "V2":
        text = "The architecture 'Arm64' needs Hyper-V generation 'V2'."
        raise invalid_parameter(text, "galleryImage.properties.architecture")


def _check_unchanged(existing: ImageDefinition, wanted: ImageDefinition) -> None:
    pairs: dict[str, tuple[object, object]] = {
        "osType": (existing.os_type, wanted.os_type),
        "osState": (existing.os_state, wanted.os_state),
        "hyperVGeneration": (existing.hyper_v_generation, wanted.hyper_v_generation),
        "architecture": (existing.architecture, wanted.architecture),
        "identifier": (existing.identifier, wanted.identifier),
    }
    if not (existing.allow_update_image or wanted.allow_update_image):
        pairs["features"] = (existing.features, wanted.features)
    for name, (old, new) in pairs.items():
        if old != new:
            raise property_change(f"galleryImage.properties.{name}")
