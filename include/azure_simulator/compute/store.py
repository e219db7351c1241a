"""What all compute resources share: identity, state, look-up, and the checks of ARM's envelope."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel

from include.azure_simulator.errors import ArmError
from include.azure_simulator.operations import Operation, OperationFamily
from include.azure_simulator.resources import JsonObject, ResourceId, normalise_region

if TYPE_CHECKING:
    from datetime import timedelta

    from include.azure_simulator.world import World

NAMESPACE = "Microsoft.Compute"

ENTITY_NAME = r"^[^_\W][\w\-._]{0,79}(?<![-.])$"
"""Names of disks, snapshots, images, definitions (the rule that Compute quotes in its error)."""

GALLERY_NAME = r"^[^_\W][\w._]{0,79}(?<![-.])$"
"""Names of galleries: as others, without a dash."""


class ProvisioningState(StrEnum):
    """State of a resource."""

    CREATING = "Creating"
    UPDATING = "Updating"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    DELETING = "Deleting"


@dataclass(slots=True)
class Resource:
    """A tracked resource; ``location`` is a normalised region name."""

    rid: ResourceId
    location: str
    tags: dict[str, str]
    provisioning_state: ProvisioningState

    @property
    def id(self) -> str:
        """The full resource id."""
        return str(self.rid)

    @property
    def busy(self) -> bool:
        """Whether something is being done to the resource."""
        return self.provisioning_state not in (ProvisioningState.SUCCEEDED, ProvisioningState.FAILED)

    def envelope(self) -> JsonObject:
        """The ARM properties around ``properties``."""
        body: JsonObject = {"id": self.id, "name": self.rid.name, "type": self.rid.type, "location": self.location}
        if self.tags:
            body["tags"] = {**self.tags}
        return body


ResourceT = TypeVar("ResourceT", bound=Resource)


@dataclass(frozen=True, slots=True)
class Written(Generic[ResourceT]):
    """The outcome of a write: the resource, the operation that was started if any, and whether it is new."""

    resource: ResourceT
    operation: Operation | None
    created: bool = False


class Store(Generic[ResourceT]):
    """Resources of one type by id, ignoring case.

    :param full_type: such as ``Microsoft.Compute/galleries/images``.
    """

    def __init__(self, full_type: str) -> None:
        self.full_type = full_type
        self._by_key: dict[str, ResourceT] = {}

    def __iter__(self) -> Iterator[ResourceT]:
        return iter(tuple(self._by_key.values()))

    def find(self, rid: ResourceId | str) -> ResourceT | None:
        """The resource with this id, or ``None``."""
        return self._by_key.get(str(rid).lower())

    def require(self, rid: ResourceId) -> ResourceT:
        """The resource with this id.

        :raises ArmError: 404 ``ResourceNotFound``.
        """
        found = self._by_key.get(rid.key)
        if found is None:
            raise not_found(rid)
        return found

    def within(self, subscription: str, group: str | None = None) -> list[ResourceT]:
        """The resources of a subscription or of one resource group."""
        return [
            resource
            for resource in self
            if resource.rid.subscription.lower() == subscription.lower()
            and (group is None or resource.rid.group.lower() == group.lower())
        ]

    def children(self, parent: ResourceId) -> list[ResourceT]:
        """The resources directly below ``parent``."""
        return [resource for resource in self if resource.rid.parent.key == parent.key]

    def patch_tags(self, rid: ResourceId, body: TagsBody) -> ResourceT:
        """Change tags, the only thing that a PATCH changes here.

        :raises ArmError: 404, 409 ``PropertyChangeNotAllowed`` for anything else.
        """
        resource = self.require(rid)
        if body.properties:
            raise property_change(next(iter(body.properties)))
        if body.tags is not None:
            resource.tags = dict(body.tags)
        return resource

    def check_room(self, rid: ResourceId, location: str, limit: int) -> None:
        """Refuse one more resource than a subscription may have in a region. The code is not published.

        :raises ArmError: 409 ``OperationNotAllowed``.
        """
        count = sum(1 for resource in self.within(rid.subscription) if resource.location == location)
        if count >= limit:
            raise not_allowed(
                f"Operation could not be completed as it results in exceeding the quota of {limit} resources of type "
                f"'{self.full_type}' in the subscription and region '{location}'."
            )

    def add(self, resource: ResourceT) -> None:
        """Keep a resource."""
        self._by_key[resource.rid.key] = resource

    def discard(self, rid: ResourceId) -> None:
        """Forget a resource."""
        self._by_key.pop(rid.key, None)


class RequestBody(BaseModel):
    """Base of request bodies: camel case, unknown properties refused, read-only ones sent back dropped."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    read_only: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _without_read_only(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: item for key, item in value.items() if key not in cls.read_only}
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _in_any_case(cls, value: Any, info: ValidationInfo) -> Any:
        """Enumerations are read in any case, as Compute reads them; ``standard_lrs`` stands in the CLI's help."""
        if not isinstance(value, str) or info.field_name is None:
            return value
        known = _literals(cls.model_fields[info.field_name].annotation)
        return next((name for name in known if name.lower() == value.lower()), value)

    def to_json(self) -> JsonObject:
        """The properties that were set, as they stood in the request."""
        dumped: JsonObject = self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
        return dumped


class Reference(RequestBody):
    """A reference to another resource."""

    id: str


class EnvelopeBody(RequestBody):
    """The ARM properties of a PUT around ``properties``."""

    read_only: ClassVar[frozenset[str]] = frozenset({"id", "name", "type", "systemData", "etag", "managedBy"})

    location: str
    tags: dict[str, str] | None = None


class TagsBody(RequestBody):
    """A PATCH: tags, and other properties if a client sends some."""

    tags: dict[str, str] | None = None
    properties: JsonObject | None = None


def _literals(annotation: Any) -> tuple[str, ...]:
    """The words of a ``Literal``, or of the one in a union."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(word for part in get_args(annotation) if get_origin(part) is Literal for word in get_args(part))


def compute_id(subscription: str, group: str, *pairs: str) -> ResourceId:
    """The id of a compute resource from alternating types and names."""
    return ResourceId(subscription, group, NAMESPACE, tuple(pairs[0::2]), tuple(pairs[1::2]))


def not_found(rid: ResourceId) -> ArmError:
    """404 ``ResourceNotFound``."""
    kind = f"{rid.namespace}/{'/'.join(f'{kind}/{name}' for kind, name in zip(rid.types, rid.names, strict=True))}"
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}' under resource group '{rid.group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def parent_not_found(rid: ResourceId) -> ArmError:
    """404 ``ParentResourceNotFound`` for a resource whose parent does not exist."""
    names = "/".join(rid.parent.names)
    return ArmError(
        404,
        "ParentResourceNotFound",
        f"Can not perform requested operation on nested resource. Parent resource '{names}' not found.",
    )


def invalid_parameter(message: str, target: str) -> ArmError:
    """400 ``InvalidParameter``."""
    return ArmError(400, "InvalidParameter", message, target=target)


def not_allowed(message: str, *, target: str | None = None) -> ArmError:
    """409 ``OperationNotAllowed``."""
    return ArmError(409, "OperationNotAllowed", message, target=target)


def property_change(name: str) -> ArmError:
    """409 ``PropertyChangeNotAllowed``."""
    return ArmError(409, "PropertyChangeNotAllowed", f"Changing property '{name}' is not allowed.", target=name)


def concurrent_request() -> ArmError:
    """409 ``Conflict``: another operation works on the resource."""
    text = (
        "The request failed due to conflict with a concurrent request. To resolve it, please refer to "
        "https://aka.ms/activitylog to get more details on the conflicting requests."
    )
    return ArmError(409, "Conflict", text)


def too_many_requests(world: World, status: int, message: str, wait: timedelta) -> ArmError:
    """Too many of something in a time: 429 with ``Retry-After``, or 409 without."""
    if status != 429:
        return ArmError(status, "OperationNotAllowed", message)
    return ArmError(
        429,
        "OperationNotAllowed",
        message,
        details=[("TooManyRequests", "The rate of these requests is limited.")],
        headers={"Retry-After": str(world.clock.retry_after(wait))},
    )


def check_name(name: str, pattern: str, target: str) -> None:
    """Refuse a name that breaks the rule.

    :raises ArmError: 400 ``InvalidParameter``.
    """
    if not re.match(pattern, name, re.ASCII):
        text = f"The entity name '{name}' is invalid according to its validation rule: {pattern}."
        raise invalid_parameter(text, target)


def checked_location(world: World, rid: ResourceId, location: str, existing: Resource | None) -> str:
    """The normalised region of a PUT.

    :raises ArmError: 404 for an unknown subscription or group, 400 ``LocationNotAvailableForResourceType``,
        409 ``InvalidResourceLocation`` when the resource exists elsewhere.
    """
    world.require_group(rid.subscription, rid.group)
    region = normalise_region(location)
    if region not in world.regions:
        text = (
            f"The provided location '{location}' is not available for resource type '{rid.type}'. "
            f"List of available regions for the resource type is '{','.join(world.regions)}'."
        )
        raise ArmError(400, "LocationNotAvailableForResourceType", text)
    if existing is not None and existing.location != region:
        text = (
            f"The resource '{rid.name}' already exists in location '{existing.location}' in resource group "
            f"'{rid.group}'. A resource with the same name cannot be created in location '{region}'. "
            "Please select a new resource name."
        )
        raise ArmError(409, "InvalidResourceLocation", text)
    return region


def begin_change(
    world: World,
    resource: Resource,
    state: ProvisioningState,
    family: OperationFamily,
    duration: timedelta,
) -> Operation:
    """Put a resource into ``state`` and start the operation that ends in ``Succeeded`` or ``Failed``."""

    def ends_in(final: ProvisioningState) -> None:
        resource.provisioning_state = final

    resource.provisioning_state = state
    return world.operations.start(
        family=family,
        location=resource.location,
        subscription=resource.rid.subscription,
        duration=duration,
        resource_id=resource.id,
        on_success=lambda: ends_in(ProvisioningState.SUCCEEDED),
        on_failure=lambda: ends_in(ProvisioningState.FAILED),
    )


def begin_delete(
    world: World,
    store: Store[ResourceT],
    resource: ResourceT,
    family: OperationFamily,
    duration: timedelta,
    *,
    then: Callable[[], None] = lambda: None,
) -> Operation:
    """Start the deletion of a resource; while it runs the resource is ``Deleting``, when it fails as it was.

    :param then: done when the resource is gone.
    """
    before = resource.provisioning_state

    def finish() -> None:
        store.discard(resource.rid)
        then()

    def undo() -> None:
        resource.provisioning_state = before

    resource.provisioning_state = ProvisioningState.DELETING
    return world.operations.start(
        family=family,
        location=resource.location,
        subscription=resource.rid.subscription,
        duration=duration,
        resource_id=resource.id,
        on_success=finish,
        on_failure=undo,
    )
