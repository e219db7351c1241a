"""Storage accounts and their blobs: what a world file says of them, and how ARM shows an account."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from include.azure_simulator.compute.sizes import Generation
from include.azure_simulator.resources import JsonObject, ResourceId, normalise_region, timestamp

if TYPE_CHECKING:
    from include.azure_simulator.world import World

ACCOUNT_TYPE = "Microsoft.Storage/storageAccounts"

Sku = Literal["Standard_LRS", "Standard_ZRS", "Standard_GRS", "Standard_RAGRS", "Premium_LRS"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BlobSection(_Section):
    """A blob. ``os_type`` and ``generation`` are what a VHD really holds: Azure believes whatever a caller says."""

    name: str = Field(min_length=1, max_length=1024)
    type: Literal["page", "block"] = "page"
    size_gib: int = Field(ge=1, le=8_192)
    os_type: Literal["Linux", "Windows"] | None = Field(default=None, description="none: a data disk")
    generation: Generation | None = None


class ContainerSection(_Section):
    """A container of blobs."""

    name: str = Field(pattern=r"^[a-z0-9](-?[a-z0-9]){2,62}$")
    blobs: list[BlobSection] = Field(default_factory=list)


class AccountSection(_Section):
    """A storage account of a world file."""

    name: str = Field(pattern=r"^[a-z0-9]{3,24}$")
    resource_group: str
    location: str
    subscription: str | None = Field(default=None, description="default: the first subscription of the file")
    sku: Sku = "Standard_LRS"
    tags: dict[str, str] = Field(default_factory=dict)
    containers: list[ContainerSection] = Field(default_factory=list)


class StorageSection(_Section):
    """The storage part of a world file."""

    accounts: list[AccountSection] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StorageAccount:
    """A storage account; ``location`` is a normalised region name."""

    rid: ResourceId
    location: str
    section: AccountSection
    created: datetime

    @property
    def blob_endpoint(self) -> str:
        """The URL of the blob service, with a slash at its end."""
        return f"https://{self.rid.name}.blob.core.windows.net/"

    def blob(self, path: str) -> BlobSection | None:
        """The blob at ``container/name``. Names of blobs have a case, unlike those of resources."""
        container, _, name = path.partition("/")
        return next(
            (
                blob
                for known in self.section.containers
                if known.name == container
                for blob in known.blobs
                if blob.name == name
            ),
            None,
        )

    def render(self) -> JsonObject:
        """The account as ARM shows it."""
        body: JsonObject = {
            "id": str(self.rid),
            "name": self.rid.name,
            "type": ACCOUNT_TYPE,
            "location": self.location,
            "tags": {**self.section.tags},
            "kind": "StorageV2",
            "sku": {"name": self.section.sku, "tier": self.section.sku.split("_")[0]},
            "properties": {
                "provisioningState": "Succeeded",
                "creationTime": timestamp(self.created),
                "primaryLocation": self.location,
                "statusOfPrimary": "available",
                "primaryEndpoints": {"blob": self.blob_endpoint},
                "accessTier": "Hot",
                "minimumTlsVersion": "TLS1_2",
                "supportsHttpsTrafficOnly": True,
                "publicNetworkAccess": "Enabled",
            },
        }
        return body


class StorageWorld:
    """The storage accounts, by lower-case id.

    :raises ArmError: when a subscription or resource group does not exist.
    """

    def __init__(self, section: StorageSection, world: World) -> None:
        self._accounts: dict[str, StorageAccount] = {}
        default = next(iter(world.subscriptions.values())).id
        for account in section.accounts:
            subscription = account.subscription or default
            group = world.require_group(subscription, account.resource_group)
            rid = ResourceId(subscription, group.name, "Microsoft.Storage", ("storageAccounts",), (account.name,))
            location = normalise_region(account.location)
            self._accounts[rid.key] = StorageAccount(rid, location, account, world.clock.now())

    def __iter__(self) -> Iterator[StorageAccount]:
        return iter(self._accounts.values())

    def find(self, rid: ResourceId | str) -> StorageAccount | None:
        """The account with this id, or ``None``."""
        return self._accounts.get(str(rid).lower())

    def within(self, subscription: str, group: str | None = None) -> list[StorageAccount]:
        """The accounts of a subscription or of one resource group."""
        return [
            account
            for account in self
            if account.rid.subscription.lower() == subscription.lower()
            and (group is None or account.rid.group.lower() == group.lower())
        ]

    def locate(self, uri: str) -> tuple[StorageAccount, BlobSection] | None:
        """The blob with this URI and the account that holds it; a signature behind the URI says nothing here."""
        parts = urlsplit(uri)
        for account in self:
            if urlsplit(account.blob_endpoint).netloc == parts.netloc.lower():
                blob = account.blob(parts.path.removeprefix("/"))
                return None if blob is None else (account, blob)
        return None
