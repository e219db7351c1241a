"""Routes of storage accounts, which can be read only."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.compute.answers import paged, world_of
from include.azure_simulator.compute.store import not_found
from include.azure_simulator.resources import ResourceId
from include.azure_simulator.storage.accounts import StorageAccount
from include.azure_simulator.wire import CaseInsensitiveRoute, json_response

router = APIRouter(route_class=CaseInsensitiveRoute)

_SUBSCRIPTION = "/subscriptions/{subscription}/providers/Microsoft.Storage/storageAccounts"
_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts"


@router.get(_SUBSCRIPTION)
@router.get(_GROUP)
async def list_accounts(request: Request, subscription: str, group: str | None = None) -> Response:
    """The accounts of a subscription or a resource group."""
    world = world_of(request)
    if group is None:
        world.require_subscription(subscription)
    else:
        world.require_group(subscription, group)
    accounts = world.storage.within(subscription, group)
    return paged(request, accounts, StorageAccount.render, world.settings.compute.list_page_size)


@router.get(f"{_GROUP}/{{name}}")
async def get_account(request: Request, subscription: str, group: str, name: str) -> Response:
    """One account."""
    world = world_of(request)
    world.require_group(subscription, group)
    wanted = ResourceId(subscription, group, "Microsoft.Storage", ("storageAccounts",), (name,))
    found = world.storage.find(wanted)
    if found is None:
        raise not_found(wanted)
    return json_response(found.render())
