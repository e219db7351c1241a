"""Microsoft.Network as far as clients ask when they show a VM: the network interface that the VM names."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.compute.machines import VirtualMachine
from include.azure_simulator.compute.store import not_found
from include.azure_simulator.rendering import no_route
from include.azure_simulator.resources import JsonObject, ResourceId
from include.azure_simulator.wire import CaseInsensitiveRoute, json_response
from include.azure_simulator.world import World

router = APIRouter(route_class=CaseInsensitiveRoute)

_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network"


@router.get(f"{_GROUP}/networkInterfaces/{{name}}")
async def get_network_interface(request: Request, subscription: str, group: str, name: str) -> Response:
    """The interface of a VM, without addresses: ``az vm show -d`` reads it on its way to the power state."""
    world: World = request.app.state.world
    world.require_group(subscription, group)
    wanted = ResourceId(subscription, group, "Microsoft.Network", ("networkInterfaces",), (name,))
    for machine in world.compute.machines.within(subscription, group):
        if machine.nic_id.lower() == wanted.key:
            return json_response(_interface(machine))
    raise not_found(wanted)


@router.get(f"{_GROUP}/{{rest:path}}")
async def get_anything_else(request: Request, subscription: str, group: str) -> Response:
    """There are no networks: whatever is asked for does not exist."""
    world: World = request.app.state.world
    world.require_group(subscription, group)
    try:
        wanted = ResourceId.parse(request.url.path)
    except ValueError as error:
        raise no_route(request, 404) from error
    raise not_found(wanted)


def _interface(machine: VirtualMachine) -> JsonObject:
    configurations: list[JsonValue] = []
    return {
        "id": machine.nic_id,
        "name": machine.nic_id.rsplit("/", 1)[-1],
        "type": "Microsoft.Network/networkInterfaces",
        "location": machine.location,
        "properties": {
            "provisioningState": "Succeeded",
            "ipConfigurations": configurations,
            "primary": True,
            "virtualMachine": {"id": machine.id},
        },
    }
