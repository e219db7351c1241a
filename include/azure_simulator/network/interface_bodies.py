"""Network interfaces as a PUT holds them."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from include.azure_simulator.compute.store import EnvelopeBody, Reference, RequestBody


class IpPropertiesBody(RequestBody):
    """The properties of an IP configuration in a PUT."""

    read_only: ClassVar[frozenset[str]] = frozenset({"provisioningState", "privateLinkConnectionProperties"})

    subnet: Reference | None = None
    private_ip_address: IPv4Address | None = Field(default=None, alias="privateIPAddress")
    private_ip_allocation_method: Literal["Static", "Dynamic"] = Field(
        default="Dynamic", alias="privateIPAllocationMethod"
    )
    private_ip_address_version: Literal["IPv4"] = Field(default="IPv4", alias="privateIPAddressVersion")
    primary: bool | None = None
    public_ip_address: Reference | None = Field(default=None, alias="publicIPAddress")


class IpConfigurationBody(RequestBody):
    """An IP configuration in a PUT."""

    read_only: ClassVar[frozenset[str]] = frozenset({"id", "type", "etag"})

    name: str
    properties: IpPropertiesBody = IpPropertiesBody()


class InterfacePropertiesBody(RequestBody):
    """The properties of a network interface in a PUT."""

    read_only: ClassVar[frozenset[str]] = frozenset(
        {
            "provisioningState",
            "resourceGuid",
            "virtualMachine",
            "primary",
            "macAddress",
            "hostedWorkloads",
            "tapConfigurations",
            "vnetEncryptionSupported",
            "defaultOutboundConnectivityEnabled",
            "dscpConfiguration",
            "privateEndpoint",
            "privateLinkService",
        }
    )

    ip_configurations: list[IpConfigurationBody] = Field(default_factory=list)
    enable_accelerated_networking: bool | None = None
    enable_ip_forwarding: bool | None = Field(default=None, alias="enableIPForwarding")
    disable_tcp_state_tracking: JsonValue = None
    network_security_group: Reference | None = None
    dns_settings: JsonValue = None
    nic_type: JsonValue = None
    auxiliary_mode: JsonValue = None
    auxiliary_sku: JsonValue = None
    workload_type: JsonValue = None
    migration_phase: JsonValue = None


class InterfaceBody(EnvelopeBody):
    """A network interface in a PUT."""

    properties: InterfacePropertiesBody = InterfacePropertiesBody()
    extended_location: JsonValue = None
