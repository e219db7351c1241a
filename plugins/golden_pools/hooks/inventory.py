"""What there is: whole lists, page by page, for those who compare (drift, retention). It writes nothing.

What Azure pages, the SDK follows; a list of a resource that is not there is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from azure.core.exceptions import HttpResponseError

from golden_pools.hooks import batch_facts, compute_facts
from golden_pools.hooks.azure import AzureHook
from golden_pools.hooks.failures import azure_errors, is_absent
from golden_pools.rules import facts

Fact = TypeVar("Fact")


class InventoryHook(AzureHook):
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

    def definitions(self, group: str, gallery: str) -> list[str]:
        """Return the ids of a gallery's image definitions."""
        return self._all(
            "image definitions",
            f"{self._group(group)}/providers/Microsoft.Compute/galleries/{gallery}",
            lambda: self.compute_client().gallery_images.list_by_gallery(group, gallery),
            lambda definition: str(definition["id"]),
        )

    def versions(self, definition_id: str) -> list[facts.ImageVersion]:
        """Return the versions of a definition, in any subscription; a list does not tell their replication."""
        from azure.mgmt.core.tools import parse_resource_id

        parts = parse_resource_id(definition_id)
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
                return [fact(item.as_dict()) for item in pages()]
            except HttpResponseError as error:
                if not is_absent(error):
                    raise
                return []
