"""Restore points of a VM, and the disks that are made from them."""

from __future__ import annotations

from collections.abc import Mapping

from golden_pools.hooks import compute_facts
from golden_pools.hooks.failures import azure_errors
from golden_pools.hooks.machines import MachinesHook
from golden_pools.hooks.operations import PendingOperation
from golden_pools.rules import facts


class RestorePointHook(MachinesHook):
    """What ``capture: restore_point`` needs beyond what it has in common with other runs."""

    def collection(self, group: str, name: str) -> facts.RestorePointCollection | None:
        """Return a collection with the names of its restore points."""
        found = self._find(
            "restore point collection",
            self._id(group, "restorePointCollections", name),
            lambda: self.compute_client().restore_point_collections.get(group, name, expand="restorePoints"),
        )
        return compute_facts.restore_point_collection(found) if found else None

    def put_collection(self, group: str, name: str, *, location: str, vm_id: str, tags: Mapping[str, str]) -> None:
        """Make a collection for the restore points of a VM of the same region, or change its tags; done at once."""
        body = {"location": location, "tags": dict(tags), "properties": {"source": {"id": vm_id}}}
        collection_id = self._id(group, "restorePointCollections", name)
        with azure_errors(f"Could not make restore point collection {name}", collection_id):
            self.compute_client().restore_point_collections.create_or_update(group, name, body)

    def point(self, group: str, collection: str, name: str) -> facts.RestorePoint | None:
        """Return a restore point."""
        found = self._find(
            "restore point",
            self._point_id(group, collection, name),
            lambda: self.compute_client().restore_points.get(group, collection, name),
        )
        return compute_facts.restore_point(found) if found else None

    def begin_point(self, group: str, collection: str, name: str) -> PendingOperation:
        """Take a crash-consistent restore point; one of this name must not be there, for then the SDK fails."""
        return self._begin(
            f"take restore point {name}",
            self._point_id(group, collection, name),
            self.compute_client().restore_points.begin_create,
            group,
            collection,
            name,
            {"properties": {"consistencyMode": "CrashConsistent"}},
        )

    def begin_restored_disk(
        self, group: str, name: str, *, location: str, sku: str | None, source_id: str, tags: Mapping[str, str]
    ) -> PendingOperation:
        """Make a disk from the restore point of a disk, in the same region."""
        return self.begin_disk(
            group, name, location=location, sku=sku, source_id=source_id, create_option="Restore", tags=tags
        )

    def _point_id(self, group: str, collection: str, name: str) -> str:
        return f"{self._id(group, 'restorePointCollections', collection)}/restorePoints/{name}"
