"""What a client needs to know to use a world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.azure_simulator.resources import JsonObject

if TYPE_CHECKING:
    from include.azure_simulator.world import World


def describe(world: World, url: str) -> JsonObject:
    """The addresses, credentials and names of a world.

    :param url: base URL of the server.
    """
    subscription = next(iter(world.subscriptions.values()))
    vm = next(iter(world.compute.machines), None)
    gallery = next(iter(world.compute.galleries), None)
    account = world.batch.account(None)
    return {
        "arm": url,
        "login": url,
        "batch": url,
        "tenant": world.tenant.id,
        "client_id": world.tenant.client_id,
        "client_secret": world.tenant.client_secret,
        "subscription": subscription.id,
        "location": vm.location if vm else next(iter(world.regions)),
        "resource_group": vm.rid.group if vm else next(iter(subscription.groups.values())).name,
        "vm": vm.rid.name if vm else None,
        "gallery": gallery.rid.name if gallery else None,
        "gallery_resource_group": gallery.rid.group if gallery else None,
        "batch_account": account.name if account else None,
        "batch_resource_group": account.facts.resource_group if account else None,
    }
