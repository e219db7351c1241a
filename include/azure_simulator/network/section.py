"""Virtual networks as a world file describes them."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SubnetSection(_Section):
    """A subnet; ``address_prefix`` lies within the address space of its network."""

    name: str
    address_prefix: IPv4Network


class NetworkSection(_Section):
    """A virtual network with its subnets."""

    name: str
    resource_group: str
    location: str
    subscription: str | None = Field(default=None, description="default: the first subscription of the file")
    address_space: IPv4Network = IPv4Network("10.0.0.0/16")
    subnets: list[SubnetSection] = Field(min_length=1)
    tags: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _subnets_fit(self) -> Self:
        for number, subnet in enumerate(self.subnets):
            if not subnet.address_prefix.subnet_of(self.address_space):
                raise ValueError(f"{self.name}/{subnet.name}: {subnet.address_prefix} is not in {self.address_space}")
            for other in self.subnets[:number]:
                if subnet.name.lower() == other.name.lower() or subnet.address_prefix.overlaps(other.address_prefix):
                    raise ValueError(f"{self.name}: the subnets '{other.name}' and '{subnet.name}' are not apart")
        return self
