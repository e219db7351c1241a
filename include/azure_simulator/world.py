"""The simulated world: everything that exists, read from a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from include.azure_simulator.batch.world import BatchWorld
from include.azure_simulator.clock import Clock
from include.azure_simulator.compute.world import ComputeSection, ComputeWorld
from include.azure_simulator.errors import ArmError
from include.azure_simulator.faults import Faults
from include.azure_simulator.identity import TokenAuthority
from include.azure_simulator.network.section import NetworkSection
from include.azure_simulator.network.world import NetworkWorld
from include.azure_simulator.operations import Operations
from include.azure_simulator.resources import JsonObject
from include.azure_simulator.settings import SimulatorSettings
from include.azure_simulator.storage.accounts import StorageSection, StorageWorld
from include.azure_simulator.throttling import Throttling
from include.azure_simulator.traffic import TrafficLog

SAMPLE_WORLD = Path(__file__).with_name("world.yaml")


class _FileModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TenantSection(_FileModel):
    """The Entra tenant and the one application that may sign in."""

    id: str
    client_id: str
    client_secret: str


class GroupSection(_FileModel):
    """A resource group."""

    name: str
    location: str
    tags: dict[str, str] = Field(default_factory=dict)


class SubscriptionSection(_FileModel):
    """A subscription with its resource groups."""

    id: str
    display_name: str
    resource_groups: list[GroupSection]


class RegionSection(_FileModel):
    """A region: its name, as in ``westeurope``, and what people call it."""

    name: str
    display_name: str


class WorldFile(_FileModel):
    """A world file. The first subscription and the first Batch account are those that ``--describe`` names."""

    tenant: TenantSection
    subscriptions: list[SubscriptionSection] = Field(min_length=1)
    regions: list[RegionSection] = Field(min_length=1)
    networks: list[NetworkSection] = Field(default_factory=list)
    compute: ComputeSection
    storage: StorageSection = StorageSection()
    batch: JsonObject = Field(default_factory=dict, description="read by the Batch part")

    @model_validator(mode="after")
    def _regions_and_sizes_exist(self) -> Self:
        regions = {region.name for region in self.regions}
        sizes = {size.name.lower() for size in self.compute.vm_sizes}
        placed = [
            *((group.name, group.location) for section in self.subscriptions for group in section.resource_groups),
            *((network.name, network.location) for network in self.networks),
            *self.compute.places(),
            *((account.name, account.location) for account in self.storage.accounts),
        ]
        problems = [f"{name}: no region '{location}'" for name, location in placed if location not in regions]
        problems += [
            f"{machine.name}: no VM size '{machine.size}'"
            for machine in self.compute.virtual_machines
            if machine.size.lower() not in sizes
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self


@dataclass(slots=True)
class ResourceGroup:
    """A resource group; ``name`` keeps the case it was made with."""

    name: str
    location: str
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Subscription:
    """A subscription; ``groups`` by lower-case name."""

    id: str
    display_name: str
    groups: dict[str, ResourceGroup]


class World:
    """Everything that exists, and the clock that moves it. Routes reach it as ``request.app.state.world``.

    Models read ``settings`` anew each time, since it is replaced as a whole when somebody changes a setting.

    :param file: what exists at the beginning.
    :param clock: simulated time; the default runs 60 times faster than real time.
    :param settings: durations, rates and switches.
    """

    def __init__(
        self, file: WorldFile, *, clock: Clock | None = None, settings: SimulatorSettings | None = None
    ) -> None:
        self.clock = clock or Clock()
        self.settings = settings or SimulatorSettings()
        self.operations = Operations(self.clock)
        self.faults = Faults()
        self.throttling = Throttling(self.clock)
        self.traffic = TrafficLog()
        self.tenant = file.tenant
        self.tokens = TokenAuthority(self)
        self.regions = {region.name: region.display_name for region in file.regions}
        self.subscriptions = {section.id.lower(): _subscription(section) for section in file.subscriptions}
        self.network = NetworkWorld(self)
        for network in file.networks:
            self.network.add_section(network)
        self.storage = StorageWorld(file.storage, self)
        self.compute = ComputeWorld.from_section(file.compute, self)
        self.compute.populate(self)
        self.batch = BatchWorld.from_section(file.batch, self)

    @classmethod
    def load(
        cls, path: Path = SAMPLE_WORLD, *, clock: Clock | None = None, settings: SimulatorSettings | None = None
    ) -> World:
        """The world of a YAML or JSON file; the default is the sample world.

        :raises OSError: when the file cannot be read.
        :raises ValueError: when it is not YAML or not a valid world (``pydantic.ValidationError`` is a ValueError).
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"not YAML: {error}") from error
        return cls(WorldFile.model_validate(content), clock=clock, settings=settings)

    def require_subscription(self, subscription: str) -> Subscription:
        """The subscription with this id.

        :raises ArmError: 404 ``SubscriptionNotFound``.
        """
        found = self.subscriptions.get(subscription.lower())
        if found is None:
            raise ArmError(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
        return found

    def require_group(self, subscription: str, group: str) -> ResourceGroup:
        """The resource group with this name, ignoring case.

        :raises ArmError: 404 ``SubscriptionNotFound`` or ``ResourceGroupNotFound``.
        """
        found = self.require_subscription(subscription).groups.get(group.lower())
        if found is None:
            raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        return found


def _subscription(section: SubscriptionSection) -> Subscription:
    groups = {
        group.name.lower(): ResourceGroup(group.name, group.location, dict(group.tags))
        for group in section.resource_groups
    }
    return Subscription(section.id, section.display_name, groups)
