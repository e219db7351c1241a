"""The network configuration of a pool: endpoints are checked as the API files say, the rest is taken as it is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Annotated

from pydantic import Field, JsonValue, field_validator, model_validator

from include.azure_simulator.batch.wire import Wire, WireEnum

RESERVED_BEFORE_2024_07 = frozenset({22, 3389})
"""Backend ports that api-versions before 2024-07-01 map by themselves and keep for that."""
NODES_PER_PUBLIC_ADDRESS = 100

_RESERVED_BACKEND = frozenset({29876, 29877})
_RESERVED_FRONTEND = range(50000, 55001)
_FEWEST_PORTS = 40
_MOST_RULES = 25


class Protocol(WireEnum):
    """The protocol of an endpoint."""

    TCP = "TCP"
    UDP = "UDP"


class Access(WireEnum):
    """What a rule does with traffic."""

    ALLOW = "Allow"
    DENY = "Deny"


class Provision(WireEnum):
    """Where the public addresses of nodes come from."""

    BATCH_MANAGED = "BatchManaged"
    USER_MANAGED = "UserManaged"
    NO_PUBLIC_ADDRESSES = "NoPublicIPAddresses"


class SecurityRule(Wire):
    """A rule of the network security group of an endpoint."""

    priority: Annotated[int, Field(ge=150, le=4096)]
    access: Access
    source_address_prefix: str
    source_port_ranges: list[str] | None = None


class InboundNatPool(Wire):
    """Ports outside that lead to one port of every node."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,75}[A-Za-z0-9_])?$")]
    protocol: Protocol
    backend_port: Annotated[int, Field(ge=1, le=65535)]
    frontend_port_range_start: Annotated[int, Field(ge=1, le=65534)]
    frontend_port_range_end: Annotated[int, Field(ge=1, le=65534)]
    network_security_group_rules: list[SecurityRule] | None = None

    @property
    def ports(self) -> range:
        """The ports outside."""
        return range(self.frontend_port_range_start, self.frontend_port_range_end + 1)

    @field_validator("backend_port")
    @classmethod
    def _free(cls, value: int) -> int:
        if value in _RESERVED_BACKEND:
            raise ValueError(f"The backend port {value} is reserved.")
        return value

    @model_validator(mode="after")
    def _range(self) -> InboundNatPool:
        if len(self.ports) < _FEWEST_PORTS:
            raise ValueError(f"A range of frontend ports must contain at least {_FEWEST_PORTS} ports.")
        if _overlap(self.ports, _RESERVED_FRONTEND):
            raise ValueError("The frontend ports from 50000 to 55000 are reserved.")
        return self


class EndpointConfiguration(Wire):
    """The endpoints of the nodes of a pool."""

    inbound_nat_pools: Annotated[list[InboundNatPool], Field(max_length=5)]

    @model_validator(mode="after")
    def _distinct(self) -> EndpointConfiguration:
        pools = self.inbound_nat_pools
        rules = [rule.priority for rule in chain(*(pool.network_security_group_rules or [] for pool in pools))]
        if len(rules) > _MOST_RULES:
            raise ValueError(f"The endpoints of a pool can have at most {_MOST_RULES} network security group rules.")
        distinct: dict[str, Sequence[str | int]] = {
            "names": [pool.name for pool in pools],
            "backend ports": [pool.backend_port for pool in pools],
            "priorities": rules,
        }
        for what, values in distinct.items():
            if len(set(values)) < len(values):
                raise ValueError(f"The {what} of the endpoints of a pool must be unique.")
        ranges = sorted((pool.ports for pool in pools), key=lambda ports: ports.start)
        if any(_overlap(one, other) for one, other in pairwise(ranges)):
            raise ValueError("The ranges of frontend ports of a pool cannot overlap.")
        return self


class PublicAddressConfiguration(Wire):
    """The public addresses of the nodes of a pool."""

    provision: Provision | None = None
    ip_address_ids: list[str] | None = None
    ip_families: JsonValue = None
    ip_tags: JsonValue = None


class NetworkConfiguration(Wire):
    """The network of a pool. There are no networks here: a subnet and addresses are taken as they are."""

    subnet_id: str | None = None
    dynamic_vnet_assignment_scope: str | None = None
    endpoint_configuration: EndpointConfiguration | None = None
    public_ip_address_configuration: PublicAddressConfiguration | None = Field(
        default=None, alias="publicIPAddressConfiguration"
    )
    enable_accelerated_networking: bool | None = None

    @model_validator(mode="after")
    def _reachable(self) -> NetworkConfiguration:
        addresses = self.public_ip_address_configuration
        hidden = addresses is not None and addresses.provision is Provision.NO_PUBLIC_ADDRESSES
        if hidden and self.endpoint_configuration is not None:
            raise ValueError("A pool without public IP addresses cannot have an endpoint configuration.")
        return self

    @property
    def nat_pools(self) -> list[InboundNatPool]:
        """The inbound NAT pools."""
        return self.endpoint_configuration.inbound_nat_pools if self.endpoint_configuration is not None else []

    @property
    def public_addresses(self) -> int | None:
        """How many public addresses the pool brings along; ``None`` when Batch provides them."""
        addresses = self.public_ip_address_configuration
        return len(addresses.ip_address_ids) if addresses is not None and addresses.ip_address_ids else None


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop
