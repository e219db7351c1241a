"""Routes of virtual networks, subnets and network interfaces."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.compute.answers import deleted, listed, world_of, written
from include.azure_simulator.compute.store import not_found
from include.azure_simulator.network.interface_bodies import InterfaceBody
from include.azure_simulator.network.networks import network_id
from include.azure_simulator.network.world import NetworkWorld
from include.azure_simulator.rendering import no_route
from include.azure_simulator.resources import ResourceId
from include.azure_simulator.wire import CaseInsensitiveRoute, json_response, parse_body, read_object

router = APIRouter(route_class=CaseInsensitiveRoute)

_SUBSCRIPTION = "/subscriptions/{subscription}/providers/Microsoft.Network"
_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network"
_NETWORK = f"{_GROUP}/virtualNetworks/{{name}}"
_INTERFACE = f"{_GROUP}/networkInterfaces/{{name}}"


@router.get(f"{_SUBSCRIPTION}/virtualNetworks")
@router.get(f"{_GROUP}/virtualNetworks")
async def list_networks(request: Request, subscription: str, group: str | None = None) -> Response:
    """The virtual networks of a subscription or a resource group."""
    network = _scope(request, subscription, group)
    return listed([network.rendered_network(found) for found in network.networks.within(subscription, group)])


@router.get(_NETWORK)
async def get_network(request: Request, subscription: str, group: str, name: str) -> Response:
    """One virtual network."""
    network = _scope(request, subscription, group)
    found = network.networks.require(network_id(subscription, group, "virtualNetworks", name))
    return json_response(network.rendered_network(found))


@router.get(f"{_NETWORK}/subnets")
async def list_subnets(request: Request, subscription: str, group: str, name: str) -> Response:
    """The subnets of a virtual network."""
    network = _scope(request, subscription, group)
    found = network.networks.require(network_id(subscription, group, "virtualNetworks", name))
    return listed([network.rendered_subnet(subnet) for subnet in network.subnets.children(found.rid)])


@router.get(f"{_NETWORK}/subnets/{{subnet}}")
async def get_subnet(request: Request, subscription: str, group: str, name: str, subnet: str) -> Response:
    """One subnet."""
    network = _scope(request, subscription, group)
    parent = network.networks.require(network_id(subscription, group, "virtualNetworks", name))
    return json_response(network.rendered_subnet(network.subnets.require(parent.rid.child("subnets", subnet))))


@router.get(f"{_SUBSCRIPTION}/networkInterfaces")
@router.get(f"{_GROUP}/networkInterfaces")
async def list_interfaces(request: Request, subscription: str, group: str | None = None) -> Response:
    """The network interfaces of a subscription or a resource group."""
    interfaces = _scope(request, subscription, group).interfaces
    return listed([interface.render() for interface in interfaces.within(subscription, group)])


@router.get(_INTERFACE)
async def get_interface(request: Request, subscription: str, group: str, name: str) -> Response:
    """One network interface."""
    interfaces = _scope(request, subscription, group).interfaces
    return json_response(interfaces.require(network_id(subscription, group, "networkInterfaces", name)).render())


@router.put(_INTERFACE)
async def put_interface(request: Request, subscription: str, group: str, name: str) -> Response:
    """Create or change a network interface."""
    interfaces = _scope(request, subscription, group).interfaces
    body = parse_body(InterfaceBody, await read_object(request))
    outcome = interfaces.put(network_id(subscription, group, "networkInterfaces", name), body)
    status = 201 if outcome.created else 200
    return written(request, outcome.resource.render, outcome.operation, status=status)


@router.delete(_INTERFACE)
async def delete_interface(request: Request, subscription: str, group: str, name: str) -> Response:
    """Delete a network interface."""
    interfaces = _scope(request, subscription, group).interfaces
    return deleted(request, interfaces.delete(network_id(subscription, group, "networkInterfaces", name)))


@router.get(f"{_GROUP}/{{rest:path}}")
async def get_anything_else(request: Request, subscription: str, group: str) -> Response:
    """There are no other network resources: whatever is asked for does not exist."""
    _scope(request, subscription, group)
    try:
        wanted = ResourceId.parse(request.url.path)
    except ValueError as error:
        raise no_route(request, 404) from error
    raise not_found(wanted)


def _scope(request: Request, subscription: str, group: str | None) -> NetworkWorld:
    """The networks, when the subscription and the resource group exist."""
    world = world_of(request)
    if group is None:
        world.require_subscription(subscription)
    else:
        world.require_group(subscription, group)
    return world.network
