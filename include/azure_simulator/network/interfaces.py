"""Network interfaces: a virtual machine has one or more, each with an address in a subnet."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address
from itertools import islice
from typing import TYPE_CHECKING

from include.azure_simulator.compute.store import (
    ProvisioningState,
    Resource,
    Store,
    Written,
    begin_change,
    begin_delete,
    check_name,
    checked_location,
)
from include.azure_simulator.errors import ArmError
from include.azure_simulator.network.interface_bodies import (
    InterfaceBody,
    InterfacePropertiesBody,
    IpConfigurationBody,
    IpPropertiesBody,
)
from include.azure_simulator.network.networks import NAMESPACE, RESERVED_ADDRESSES, Subnet
from include.azure_simulator.operations import Operation, OperationFamily
from include.azure_simulator.resources import JsonObject, ResourceId

if TYPE_CHECKING:
    from include.azure_simulator.world import World

INTERFACE_TYPE = f"{NAMESPACE}/networkInterfaces"

_NAME = r"^[^_\W]([\w\-._]{0,78}\w)?$"


@dataclass(frozen=True, slots=True)
class IpConfiguration:
    """An address of an interface in a subnet."""

    name: str
    subnet: ResourceId
    address: IPv4Address
    static: bool
    primary: bool

    def render(self, interface: ResourceId) -> JsonObject:
        """The configuration as ARM shows it."""
        return {
            "id": str(interface.child("ipConfigurations", self.name)),
            "name": self.name,
            "type": f"{INTERFACE_TYPE}/ipConfigurations",
            "properties": {
                "provisioningState": "Succeeded",
                "privateIPAddress": str(self.address),
                "privateIPAllocationMethod": "Static" if self.static else "Dynamic",
                "privateIPAddressVersion": "IPv4",
                "subnet": {"id": str(self.subnet)},
                "primary": self.primary,
            },
        }


@dataclass(slots=True)
class NetworkInterface(Resource):
    """A network interface; ``attached_to`` is the id of its VM.

    ``reserved_until`` is set when a VM that never came up has let go of it.
    """

    configurations: list[IpConfiguration]
    accelerated: bool = False
    ip_forwarding: bool = False
    attached_to: str | None = None
    primary: bool = False
    reserved_until: datetime | None = None
    guid: str = field(default_factory=lambda: str(uuid.uuid4()))

    def render(self) -> JsonObject:
        """The interface as ARM shows it."""
        properties: JsonObject = {
            "provisioningState": self.provisioning_state.value,
            "resourceGuid": self.guid,
            "ipConfigurations": [configuration.render(self.rid) for configuration in self.configurations],
            "dnsSettings": {"dnsServers": [], "appliedDnsServers": []},
            "enableAcceleratedNetworking": self.accelerated,
            "enableIPForwarding": self.ip_forwarding,
            "vnetEncryptionSupported": False,
            "disableTcpStateTracking": False,
            "hostedWorkloads": [],
            "tapConfigurations": [],
            "nicType": "Standard",
        }
        if self.attached_to is not None:
            properties["primary"] = self.primary
            properties["virtualMachine"] = {"id": self.attached_to}
        body = self.envelope()
        body["properties"] = properties
        return body


class NetworkInterfaces(Store[NetworkInterface]):
    """The network interfaces of the world."""

    def __init__(self, world: World) -> None:
        super().__init__(INTERFACE_TYPE)
        self._world = world

    def put(self, rid: ResourceId, body: InterfaceBody) -> Written[NetworkInterface]:
        """Create or change an interface. An address that it has stays with it.

        :raises ArmError: as Azure refuses.
        """
        check_name(rid.name, _NAME, "networkInterfaceName")
        existing = self.find(rid)
        location = checked_location(self._world, rid, body.location, existing)
        if existing is not None and existing.provisioning_state is ProvisioningState.DELETING:
            raise _in_progress(rid)
        configurations = self._configurations(rid, body.properties, location, existing)
        interface = existing or NetworkInterface(rid, location, {}, ProvisioningState.UPDATING, [])
        interface.configurations = configurations
        interface.tags = dict(body.tags or {})
        interface.accelerated = bool(body.properties.enable_accelerated_networking)
        interface.ip_forwarding = bool(body.properties.enable_ip_forwarding)
        self.add(interface)
        duration = self._world.settings.network.interface_write
        operation = begin_change(self._world, interface, ProvisioningState.UPDATING, OperationFamily.NETWORK, duration)
        return Written(interface, operation, created=existing is None)

    def delete(self, rid: ResourceId) -> Operation | None:
        """Delete an interface; ``None`` when there is none.

        :raises ArmError: 400 ``NicInUse`` while a VM has it, 400 ``NicReservedForAnotherVm`` shortly after one had it
            that never came up.
        """
        self._world.require_group(rid.subscription, rid.group)
        interface = self.find(rid)
        if interface is None:
            return None
        if interface.attached_to is not None:
            raise nic_in_use(interface)
        self.check_not_reserved(interface)
        duration = self._world.settings.network.interface_delete
        return begin_delete(self._world, self, interface, OperationFamily.NETWORK, duration)

    def check_not_reserved(self, interface: NetworkInterface) -> None:
        """Refuse an interface that is kept for a VM whose creation failed.

        :raises ArmError: 400 ``NicReservedForAnotherVm``.
        """
        until = interface.reserved_until
        if until is None or until <= self._world.clock.now():
            return
        text = (
            "Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please provide another nic(s) "
            "or retry after 180 seconds. To learn more about this restriction see aka.ms/deletenic. "
            f"Nic: {interface.id}."
        )
        raise ArmError(400, "NicReservedForAnotherVm", text)

    def used_by(self, subnet: ResourceId) -> list[str]:
        """The ids of the IP configurations in a subnet."""
        return [
            str(interface.rid.child("ipConfigurations", configuration.name))
            for interface in self
            for configuration in interface.configurations
            if configuration.subnet.key == subnet.key
        ]

    def add_to_subnet(self, rid: ResourceId, location: str, subnet: Subnet | None) -> NetworkInterface:
        """Add the interface of a VM of a world file, with an address if its subnet is known."""
        interface = NetworkInterface(rid, location, {}, ProvisioningState.SUCCEEDED, [])
        self.add(interface)
        if subnet is not None:
            address = self._free_address(subnet, interface)
            interface.configurations.append(
                IpConfiguration("ipconfig1", subnet.rid, address, static=False, primary=True)
            )
        return interface

    def _configurations(
        self, rid: ResourceId, body: InterfacePropertiesBody, location: str, existing: NetworkInterface | None
    ) -> list[IpConfiguration]:
        if not body.ip_configurations:
            raise ArmError(400, "InvalidRequestFormat", "Cannot parse the request: an IP configuration is missing.")
        if body.network_security_group is not None:
            raise reference_not_found(body.network_security_group.id, rid)
        names = [configuration.name.lower() for configuration in body.ip_configurations]
        if len(set(names)) != len(names):
            raise ArmError(400, "InvalidRequestFormat", "The names of the IP configurations must be unique.")
        made: list[IpConfiguration] = []
        for number, configuration in enumerate(body.ip_configurations):
            if configuration.properties.public_ip_address is not None:
                raise reference_not_found(configuration.properties.public_ip_address.id, rid)
            subnet = self._subnet(configuration.properties, rid, location)
            made.append(self._configuration(configuration, subnet, existing, made, primary=number == 0))
        if len({configuration.subnet.parent.key for configuration in made}) > 1:
            text = f"The subnets of network interface {rid} are not in the same virtual network."
            raise ArmError(400, "SubnetsNotInSameVnet", text)
        return made

    def _configuration(
        self,
        body: IpConfigurationBody,
        subnet: Subnet,
        existing: NetworkInterface | None,
        others: list[IpConfiguration],
        *,
        primary: bool,
    ) -> IpConfiguration:
        wanted = body.properties.private_ip_address
        static = body.properties.private_ip_allocation_method == "Static"
        for known in existing.configurations if existing else []:
            stays = known.name.lower() == body.name.lower() and known.subnet.key == subnet.rid.key
            if stays and (not static or wanted in (None, known.address)):
                return IpConfiguration(body.name, subnet.rid, known.address, static, primary)
        taken = {configuration.address for configuration in others if configuration.subnet.key == subnet.rid.key}
        if static and wanted is not None:
            self._check_address(wanted, subnet, existing, taken)
            return IpConfiguration(body.name, subnet.rid, wanted, static, primary)
        return IpConfiguration(body.name, subnet.rid, self._free_address(subnet, existing, taken), static, primary)

    def _subnet(self, body: IpPropertiesBody, rid: ResourceId, location: str) -> Subnet:
        if body.subnet is None:
            text = "Cannot parse the request: the subnet of an IP configuration is missing."
            raise ArmError(400, "InvalidRequestFormat", text)
        subnet = self._world.network.subnets.find(body.subnet.id)
        if subnet is None or subnet.location != location:
            raise reference_not_found(body.subnet.id, rid)
        return subnet

    def _check_address(
        self, wanted: IPv4Address, subnet: Subnet, existing: NetworkInterface | None, taken: set[IPv4Address]
    ) -> None:
        if wanted not in subnet.address_prefix:
            text = (
                f"IP configuration private IP address {wanted} does not belong to the range of subnet prefix "
                f"{subnet.address_prefix}."
            )
            raise ArmError(400, "PrivateIPAddressNotInSubnet", text)
        if wanted in self._taken(subnet, existing) | taken:
            text = f"Private IP address {wanted} is already allocated in subnet {subnet.id}."
            raise ArmError(400, "PrivateIPAddressInUse", text)

    def _free_address(
        self, subnet: Subnet, existing: NetworkInterface | None, others: set[IPv4Address] | None = None
    ) -> IPv4Address:
        taken = self._taken(subnet, existing) | (others or set())
        usable = islice(subnet.address_prefix.hosts(), RESERVED_ADDRESSES - 1, None)
        free = next((address for address in usable if address not in taken), None)
        if free is None:
            text = (
                f"Subnet {subnet.rid.name} with address prefix {subnet.address_prefix} does not have enough capacity "
                "for 1 IP addresses."
            )
            raise ArmError(400, "SubnetIsFull", text)
        return free

    def _taken(self, subnet: Subnet, existing: NetworkInterface | None) -> set[IPv4Address]:
        return {
            configuration.address
            for interface in self
            for configuration in interface.configurations
            if interface is not existing and configuration.subnet.key == subnet.rid.key
        }


def nic_in_use(interface: NetworkInterface) -> ArmError:
    """400 ``NicInUse``."""
    text = (
        f"Network Interface {interface.id} is used by existing resource {interface.attached_to}. In order to delete "
        "the network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic."
    )
    return ArmError(400, "NicInUse", text)


def reference_not_found(reference: str, by: ResourceId) -> ArmError:
    """400 ``InvalidResourceReference``: what a resource names does not exist, or not in its region."""
    text = (
        f"Resource {reference} referenced by resource {by} was not found. Please make sure that the referenced "
        "resource exists, and that both resources are in the same region."
    )
    return ArmError(400, "InvalidResourceReference", text, details=[("NotFound", f"Resource {reference} not found.")])


def _in_progress(rid: ResourceId) -> ArmError:
    text = f"Another operation on this or dependent resource is in progress: {rid}."
    return ArmError(409, "AnotherOperationInProgress", text)
