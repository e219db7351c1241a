"""Virtual networks and subnets: they come from the world file and never change."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

from pydantic import JsonValue

from include.azure_simulator.compute.store import Resource
from include.azure_simulator.resources import JsonObject, ResourceId

NAMESPACE = "Microsoft.Network"
NETWORK_TYPE = f"{NAMESPACE}/virtualNetworks"
SUBNET_TYPE = f"{NETWORK_TYPE}/subnets"

RESERVED_ADDRESSES = 4
"""Azure keeps the first four addresses of a subnet, and the last one."""


def network_id(subscription: str, group: str, *pairs: str) -> ResourceId:
    """The id of a network resource from alternating types and names."""
    return ResourceId(subscription, group, NAMESPACE, tuple(pairs[0::2]), tuple(pairs[1::2]))


@dataclass(slots=True)
class Subnet(Resource):
    """A subnet, in the region of its network."""

    address_prefix: IPv4Network

    def render(self, used_by: list[str]) -> JsonObject:
        """The subnet as ARM shows it.

        :param used_by: ids of the IP configurations that have an address of it.
        """
        properties: JsonObject = {
            "provisioningState": self.provisioning_state.value,
            "addressPrefix": str(self.address_prefix),
            "delegations": [],
            "privateEndpointNetworkPolicies": "Disabled",
            "privateLinkServiceNetworkPolicies": "Enabled",
        }
        if used_by:
            properties["ipConfigurations"] = [{"id": configuration} for configuration in used_by]
        return {"id": self.id, "name": self.rid.name, "type": SUBNET_TYPE, "properties": properties}


@dataclass(slots=True)
class VirtualNetwork(Resource):
    """A virtual network."""

    address_space: IPv4Network

    def render(self, subnets: list[JsonObject]) -> JsonObject:
        """The network as ARM shows it.

        :param subnets: its subnets as ARM shows them.
        """
        shown: list[JsonValue] = [*subnets]
        body = self.envelope()
        body["properties"] = {
            "provisioningState": self.provisioning_state.value,
            "addressSpace": {"addressPrefixes": [str(self.address_space)]},
            "subnets": shown,
            "virtualNetworkPeerings": [],
            "enableDdosProtection": False,
        }
        return body
