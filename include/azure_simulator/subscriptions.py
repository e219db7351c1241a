"""Subscriptions, resource groups and provider registrations."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.errors import ArmError
from include.azure_simulator.resources import JsonObject, normalise_region
from include.azure_simulator.wire import CaseInsensitiveRoute, empty_response, json_response, parse_body, read_object
from include.azure_simulator.world import ResourceGroup, Subscription, World

router = APIRouter(route_class=CaseInsensitiveRoute)

_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
_NAMESPACES = ("Microsoft.Batch", "Microsoft.Compute", "Microsoft.Network", "Microsoft.Resources", "Microsoft.Storage")


class GroupBody(BaseModel):
    """A resource group as a client sends it."""

    model_config = ConfigDict(extra="ignore")

    location: str
    tags: dict[str, str] = Field(default_factory=dict)


def _world(request: Request) -> World:
    world: World = request.app.state.world
    return world


@router.get("/subscriptions")
async def list_subscriptions(request: Request) -> Response:
    """All subscriptions."""
    world = _world(request)
    found = [_subscription(world, subscription) for subscription in world.subscriptions.values()]
    return json_response({"value": [*found], "count": {"type": "Total", "value": len(found)}})


@router.get("/tenants")
async def list_tenants(request: Request) -> Response:
    """The one tenant."""
    tenant = _world(request).tenant.id
    return json_response({"value": [{"id": f"/tenants/{tenant}", "tenantId": tenant, "tenantCategory": "Home"}]})


@router.get("/subscriptions/{subscription}")
async def get_subscription(request: Request, subscription: str) -> Response:
    """One subscription."""
    world = _world(request)
    return json_response(_subscription(world, world.require_subscription(subscription)))


@router.get("/subscriptions/{subscription}/locations")
async def list_locations(request: Request, subscription: str) -> Response:
    """The regions of the simulated world."""
    world = _world(request)
    found = world.require_subscription(subscription)
    return json_response(
        {
            "value": [
                {
                    "id": f"/subscriptions/{found.id}/locations/{name}",
                    "name": name,
                    "displayName": display,
                    "regionalDisplayName": display,
                    "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
                }
                for name, display in world.regions.items()
            ]
        }
    )


@router.get("/subscriptions/{subscription}/providers/{namespace}")
async def get_provider(request: Request, subscription: str, namespace: str) -> Response:
    """A registered provider."""
    found = _world(request).require_subscription(subscription)
    return json_response(_provider(found, _known_namespace(namespace)))


@router.post("/subscriptions/{subscription}/providers/{namespace}/register")
async def register_provider(request: Request, subscription: str, namespace: str) -> Response:
    """Register a provider; all known ones are registered already."""
    found = _world(request).require_subscription(subscription)
    return json_response(_provider(found, _known_namespace(namespace)))


@router.get("/subscriptions/{subscription}/resourceGroups")
async def list_groups(request: Request, subscription: str) -> Response:
    """The resource groups of a subscription."""
    found = _world(request).require_subscription(subscription)
    return json_response({"value": [_group(found, group) for group in found.groups.values()]})


@router.get(_GROUP)
async def get_group(request: Request, subscription: str, group: str) -> Response:
    """One resource group."""
    world = _world(request)
    found = world.require_group(subscription, group)
    return json_response(_group(world.require_subscription(subscription), found))


@router.head(_GROUP)
async def group_exists(request: Request, subscription: str, group: str) -> Response:
    """204 when the resource group exists, else 404."""
    found = _world(request).require_subscription(subscription).groups.get(group.lower())
    return empty_response(404 if found is None else 204)


@router.put(_GROUP)
async def put_group(request: Request, subscription: str, group: str) -> Response:
    """Create a resource group or change its tags."""
    world = _world(request)
    owner = world.require_subscription(subscription)
    body = parse_body(GroupBody, await read_object(request))
    location = normalise_region(body.location)
    if location not in world.regions:
        regions = ",".join(world.regions)
        text = (
            f"The provided location '{body.location}' is not available for resource group. "
            f"List of available regions is '{regions}'."
        )
        raise ArmError(400, "LocationNotAvailableForResourceGroup", text)
    existing = owner.groups.get(group.lower())
    if existing is not None and normalise_region(existing.location) != location:
        text = (
            f"Invalid resource group location '{location}'. "
            f"The Resource group already exists in location '{existing.location}'."
        )
        raise ArmError(409, "InvalidResourceGroupLocation", text)
    saved = existing or owner.groups.setdefault(group.lower(), ResourceGroup(group, location))
    saved.tags = body.tags
    return json_response(_group(owner, saved), status=201 if existing is None else 200)


def _subscription(world: World, subscription: Subscription) -> JsonObject:
    return {
        "id": f"/subscriptions/{subscription.id}",
        "subscriptionId": subscription.id,
        "tenantId": world.tenant.id,
        "displayName": subscription.display_name,
        "state": "Enabled",
        "authorizationSource": "RoleBased",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    }


def _group(subscription: Subscription, group: ResourceGroup) -> JsonObject:
    return {
        "id": f"/subscriptions/{subscription.id}/resourceGroups/{group.name}",
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "tags": {**group.tags},
        "properties": {"provisioningState": "Succeeded"},
    }


def _known_namespace(namespace: str) -> str:
    for known in _NAMESPACES:
        if known.lower() == namespace.lower():
            return known
    raise ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")


def _provider(subscription: Subscription, namespace: str) -> JsonObject:
    return {
        "id": f"/subscriptions/{subscription.id}/providers/{namespace}",
        "namespace": namespace,
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationRequired",
        "resourceTypes": [],
    }
