"""What there is: whole lists, page by page, for those who compare (drift, retention). It writes nothing.

What Azure pages, the SDK follows; a list of a resource that is not there is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from azure.core.exceptions import HttpResponseError

from golden_pools.hooks import batch_facts, compute_facts
from golden_pools.hooks.arm import ArmHook
from golden_pools.hooks.failures import azure_errors, is_absent
from golden_pools.rules import facts
from golden_pools.rules.plan import is_made_by_a_run

Fact = TypeVar("Fact")


class InventoryHook(ArmHook):
    """Lists of one subscription.

    Every method raises :class:`AzureRefusedError` or :class:`AzureBusyError` with what Azure answered.
    """

    def accounts(self) -> list[facts.BatchAccount]:
        """Return the Batch accounts of the subscription that the login may read."""
        return self._all(
            "Batch accounts",
            f"/subscriptions/{self.subscription}",
            lambda: self.batch_client().batch_account.list(),
            batch_facts.account,
        )

    def galleries(self) -> list[str]:
        """Return the ids of the subscription's galleries, whichever resource group they are in."""
        return self._all(
            "galleries",
            f"/subscriptions/{self.subscription}",
            lambda: self.compute_client().galleries.list(),
            _id,
        )

    def definitions(self, gallery_id: str) -> list[str]:
        """Return the ids of a gallery's image definitions, in any subscription."""
        parts = _parse(gallery_id)
        return self._all(
            "image definitions",
            gallery_id,
            lambda: self.compute_client(parts["subscription"]).gallery_images.list_by_gallery(
                parts["resource_group"], parts["name"]
            ),
            _id,
        )

    def versions(self, definition_id: str) -> list[facts.ImageVersion]:
        """Return the versions of a definition, in any subscription; a list does not tell their replication."""
        parts = _parse(definition_id)
        return self._all(
            "image versions",
            definition_id,
            lambda: self.compute_client(parts["subscription"]).gallery_image_versions.list_by_gallery_image(
                parts["resource_group"], parts["name"], parts["child_name_1"]
            ),
            compute_facts.image_version,
        )

    def snapshots(self, group: str) -> list[facts.Snapshot]:
        """Return the snapshots of a resource group."""
        return self._all(
            "snapshots",
            self._group(group),
            lambda: self.compute_client().snapshots.list_by_resource_group(group),
            compute_facts.snapshot,
        )

    def managed_images(self, group: str) -> list[facts.ManagedImage]:
        """Return the managed images of a resource group."""
        return self._all(
            "managed images",
            self._group(group),
            lambda: self.compute_client().images.list_by_resource_group(group),
            compute_facts.managed_image,
        )

    def disks(self, group: str) -> list[facts.Resource]:
        """Return the managed disks of a resource group."""
        return self._all(
            "disks",
            self._group(group),
            lambda: self.compute_client().disks.list_by_resource_group(group),
            compute_facts.resource,
        )

    def vms(self, group: str) -> list[facts.Resource]:
        """Return the VMs of a resource group."""
        return self._all(
            "VMs",
            self._group(group),
            lambda: self.compute_client().virtual_machines.list(group),
            compute_facts.resource,
        )

    def network_cards(self, group: str) -> list[facts.Resource]:
        """Return the network cards of a resource group."""
        where = f"{self._group(group)}/providers/Microsoft.Network/networkInterfaces"
        return self._all("network cards", self._group(group), lambda: self._list_raw(where), compute_facts.resource)

    def restore_points(self, group: str) -> list[facts.RestorePointCollection]:
        """Return the collections that runs have made in a resource group, with their restore points."""
        client = self.compute_client().restore_point_collections
        return self._all(
            "restore point collections",
            self._group(group),
            lambda: (
                client.get(group, collection.name, expand="restorePoints")
                for collection in client.list(group)
                if is_made_by_a_run(collection.tags or {})
            ),
            compute_facts.restore_point_collection,
        )

    def _group(self, group: str) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{group}"

    def _all(
        self,
        what: str,
        where: str,
        pages: Callable[[], Iterable[Any]],
        fact: Callable[[Mapping[str, Any]], Fact],
    ) -> list[Fact]:
        with azure_errors(f"Could not list the {what}", where):
            try:
                return [fact(item if isinstance(item, dict) else item.as_dict()) for item in pages()]
            except HttpResponseError as error:
                if not is_absent(error):
                    raise
                return []


def _id(resource: Mapping[str, Any]) -> str:
    return str(resource["id"])


def _parse(resource_id: str) -> dict[str, str]:
    from azure.mgmt.core.tools import parse_resource_id

    return dict(parse_resource_id(resource_id))
