"""All network resources of the simulated world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.azure_simulator.compute.store import ProvisioningState, Store
from include.azure_simulator.network.interfaces import NetworkInterfaces
from include.azure_simulator.network.networks import NETWORK_TYPE, SUBNET_TYPE, Subnet, VirtualNetwork, network_id
from include.azure_simulator.network.section import NetworkSection
from include.azure_simulator.resources import JsonObject, normalise_region

if TYPE_CHECKING:
    from include.azure_simulator.world import World


class NetworkWorld:
    """Network resources, each type in a store of its own."""

    def __init__(self, world: World) -> None:
        self.networks: Store[VirtualNetwork] = Store(NETWORK_TYPE)
        self.subnets: Store[Subnet] = Store(SUBNET_TYPE)
        self.interfaces = NetworkInterfaces(world)
        self._world = world

    def add_section(self, section: NetworkSection) -> None:
        """Add a network of a world file.

        :raises ArmError: when its subscription or resource group is not in the world.
        """
        subscription = section.subscription or next(iter(self._world.subscriptions.values())).id
        group = self._world.require_group(subscription, section.resource_group)
        rid = network_id(subscription, group.name, "virtualNetworks", section.name)
        location = normalise_region(section.location)
        state = ProvisioningState.SUCCEEDED
        self.networks.add(VirtualNetwork(rid, location, dict(section.tags), state, section.address_space))
        for subnet in section.subnets:
            self.subnets.add(Subnet(rid.child("subnets", subnet.name), location, {}, state, subnet.address_prefix))

    def rendered_network(self, network: VirtualNetwork) -> JsonObject:
        """A network with its subnets as ARM shows it."""
        return network.render([self.rendered_subnet(subnet) for subnet in self.subnets.children(network.rid)])

    def rendered_subnet(self, subnet: Subnet) -> JsonObject:
        """A subnet with what has an address in it as ARM shows it."""
        return subnet.render(self.interfaces.used_by(subnet.rid))
