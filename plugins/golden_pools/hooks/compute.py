"""Microsoft.Compute: the golden VM, snapshots, managed images, galleries.

Reads return facts, or None where the resource is not there. Writes return a :class:`PendingOperation` as soon as Azure
has taken the order; nothing waits here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from azure.core.exceptions import HttpResponseError

from golden_pools.hooks import compute_facts
from golden_pools.hooks.azure import AzureHook
from golden_pools.hooks.failures import azure_errors, is_absent
from golden_pools.hooks.operations import GALLERY_API, AsyncOperations, PendingOperation, StartOnly
from golden_pools.rules import facts
from golden_pools.rules.origin import DiskSource, Origin
from golden_pools.rules.source import System
from golden_pools.spec.part import normal_region

CHANGEABLE_PROFILE = frozenset({"targetRegions", "replicaCount", "excludeFromLatest", "endOfLifeDate"})
"""Parts of a version's publishing profile that an update may hold ("Azure Compute Gallery", updating versions)."""


class Keep(Enum):
    """What a write leaves alone, where None means something else."""

    AS_IT_IS = "as it is"


class ComputeHook(AzureHook):
    """What a run reads and makes in Microsoft.Compute.

    Every method raises :class:`AzureRefusedError` or :class:`AzureBusyError` with what Azure answered.
    """

    def golden_vm(self, group: str, name: str) -> facts.GoldenVm:
        """Return the golden VM with instance view, extensions and all its managed disks."""
        vm_id = self._id(group, "virtualMachines", name)
        with azure_errors("Could not read the golden VM", vm_id):
            client = self.compute_client()
            vm = client.virtual_machines.get(group, name, expand="instanceView").as_dict()
            disks = {}
            for disk_id in compute_facts.disk_ids(vm):
                parts = _parse(disk_id)
                disks[disk_id.lower()] = client.disks.get(parts["resource_group"], parts["name"]).as_dict()
        return compute_facts.golden_vm(vm, disks)

    def begin_deallocate(self, group: str, name: str) -> PendingOperation:
        """Stop a VM and give its machine back to Azure; its disks come to rest."""
        operations = self.compute_client().virtual_machines
        return self._begin(
            f"stop VM {name}", self._id(group, "virtualMachines", name), operations.begin_deallocate, group, name
        )

    def begin_power_off(self, group: str, name: str) -> PendingOperation:
        """Shut a VM's guest down and stop the VM, which keeps its machine; its disks come to rest."""
        operations = self.compute_client().virtual_machines
        return self._begin(
            f"power off VM {name}", self._id(group, "virtualMachines", name), operations.begin_power_off, group, name
        )

    def begin_start(self, group: str, name: str) -> PendingOperation:
        """Start a VM."""
        operations = self.compute_client().virtual_machines
        return self._begin(
            f"start VM {name}", self._id(group, "virtualMachines", name), operations.begin_start, group, name
        )

    def snapshot(self, group: str, name: str) -> facts.Snapshot | None:
        """Return a snapshot."""
        found = self._find(
            "snapshot",
            self._id(group, "snapshots", name),
            lambda: self.compute_client().snapshots.get(group, name),
        )
        return compute_facts.snapshot(found) if found else None

    def begin_snapshot(
        self,
        group: str,
        name: str,
        *,
        location: str,
        source_id: str,
        tags: Mapping[str, str],
        disk: str = "",
    ) -> PendingOperation:
        """Copy a disk of the same region, as an incremental snapshot: only what changed is stored and billed.

        :param source_id: ARM id of the disk, in the same subscription
        :param disk: name of the disk for messages
        """
        body = {
            "location": location,
            "sku": {"name": "Standard_LRS"},  # the snapshots of one disk share it, so it never changes
            "tags": dict(tags),
            "properties": {
                "creationData": {"createOption": "Copy", "sourceResourceId": source_id},
                "incremental": True,
            },
        }
        start = self.compute_client().snapshots.begin_create_or_update
        what = f"make snapshot {name} of disk {disk}" if disk else f"make snapshot {name}"
        return self._begin(what, self._id(group, "snapshots", name), start, group, name, body)

    def managed_image(self, group: str, name: str) -> facts.ManagedImage | None:
        """Return a managed image."""
        found = self._find(
            "managed image", self._id(group, "images", name), lambda: self.compute_client().images.get(group, name)
        )
        return compute_facts.managed_image(found) if found else None

    def begin_managed_image(
        self,
        group: str,
        name: str,
        *,
        system: System,
        origin: Origin,
        tags: Mapping[str, str],
    ) -> PendingOperation:
        """Make a managed image of disks or of a VM.

        The system is declared generalized: managed images know nothing else, and Azure does not look. The OS disk is
        cached for reading and writing, which Batch recommends for quick provisioning.
        """
        properties: dict[str, Any] = {"hyperVGeneration": system.generation}
        if origin.vm_id:
            properties["sourceVirtualMachine"] = {"id": origin.vm_id}
        else:
            os_disk, *data_disks = origin.disks
            properties["storageProfile"] = {
                "osDisk": {
                    "osType": system.os_type,
                    "osState": "Generalized",
                    **_image_disk(os_disk),
                    "caching": "ReadWrite",
                },
                "dataDisks": [{"lun": disk.lun, **_image_disk(disk)} for disk in data_disks],
            }
        body = {"location": system.location, "tags": dict(tags), "properties": properties}
        start = self.compute_client().images.begin_create_or_update
        return self._begin(f"make managed image {name}", self._id(group, "images", name), start, group, name, body)

    def gallery(self, group: str, name: str) -> facts.Gallery | None:
        """Return a gallery."""
        found = self._find(
            "gallery", self._id(group, "galleries", name), lambda: self.compute_client().galleries.get(group, name)
        )
        return compute_facts.gallery(found) if found else None

    def definition(self, definition_id: str) -> facts.GalleryDefinition | None:
        """Return an image definition, by its full ARM id."""
        parts = _parse(definition_id)
        found = self._find(
            "image definition",
            definition_id,
            lambda: self.compute_client(parts["subscription"]).gallery_images.get(
                parts["resource_group"], parts["name"], parts["child_name_1"]
            ),
        )
        return compute_facts.definition(found) if found else None

    def begin_definition(
        self,
        definition_id: str,
        *,
        system: System,
        publisher: str,
        offer: str,
        sku: str,
        tags: Mapping[str, str],
    ) -> PendingOperation:
        """Make an image definition for generalized images.

        Generation, architecture and security type are always sent: since API 2025-03-03 Azure would take V2 and
        ``TrustedLaunchSupported`` for what is missing, and none of it can change later.
        """
        parts = _parse(definition_id)
        properties: dict[str, Any] = {
            "osType": system.os_type,
            "osState": "Generalized",
            "hyperVGeneration": system.generation,
            "architecture": system.architecture,
            "identifier": {"publisher": publisher, "offer": offer, "sku": sku},
            "features": [{"name": name, "value": value} for name, value in system.features.items()],
        }
        if system.purchase_plan:
            properties["purchasePlan"] = {
                "name": system.purchase_plan.name,
                "publisher": system.purchase_plan.publisher,
                "product": system.purchase_plan.product,
            }
        return self._begin(
            f"make image definition {parts['child_name_1']}",
            definition_id,
            self.compute_client(parts["subscription"]).gallery_images.begin_create_or_update,
            parts["resource_group"],
            parts["name"],
            parts["child_name_1"],
            {"location": system.location, "tags": dict(tags), "properties": properties},
        )

    def image_version(self, version_id: str) -> facts.ImageVersion | None:
        """Return an image version with its replication, by its full ARM id."""
        parts = _parse(version_id)
        found = self._find(
            "image version",
            version_id,
            lambda: self.compute_client(parts["subscription"]).gallery_image_versions.get(
                parts["resource_group"],
                parts["name"],
                parts["child_name_1"],
                parts["child_name_2"],
                expand="ReplicationStatus",
            ),
        )
        return compute_facts.image_version(found) if found else None

    def begin_image_version(
        self,
        version_id: str,
        *,
        location: str,
        origin: Origin,
        target_regions: Mapping[str, int],
        tags: Mapping[str, str],
        exclude_from_latest: bool = False,
    ) -> PendingOperation:
        """Make an image version; the operation ends when it is replicated.

        :param location: home region: that of the source, and one of the targets
        :param target_regions: region -> replicas
        :param exclude_from_latest: who asks for the newest version does not get this one
        """
        parts = _parse(version_id)
        profile: dict[str, Any] = {
            "excludeFromLatest": exclude_from_latest,
            "targetRegions": [
                {"name": region, "regionalReplicaCount": replicas} for region, replicas in target_regions.items()
            ],
        }
        return self._begin(
            f"publish image version {parts['child_name_2']}",
            version_id,
            self.compute_client(parts["subscription"]).gallery_image_versions.begin_create_or_update,
            parts["resource_group"],
            parts["name"],
            parts["child_name_1"],
            parts["child_name_2"],
            {
                "location": location,
                "tags": dict(tags),
                "properties": {"publishingProfile": profile, "storageProfile": _version_storage(origin)},
            },
        )

    def mark_version(
        self,
        version_id: str,
        *,
        tags: Mapping[str, str],
        exclude_from_latest: bool | None = None,
        end_of_life: datetime | Keep | None = Keep.AS_IT_IS,
    ) -> PendingOperation | None:
        """Tag an image version, and say whether "latest" may mean it; None where there is nothing to wait for.

        Tags alone do not touch the publishing profile, which may be changing: a region that is being added would be
        taken out again.

        :param tags: those to set; none is ever taken away, since it is not documented whether an update could
        :param exclude_from_latest: None: as it is
        :param end_of_life: when it is of no more use; None takes the date away
        :raises AzureRefusedError: there is no such version, among others
        """
        parts = _parse(version_id)
        client = self.compute_client(parts["subscription"]).gallery_image_versions
        where = (parts["resource_group"], parts["name"], parts["child_name_1"], parts["child_name_2"])
        what = f"mark image version {where[3]}"
        with azure_errors("Could not read the image version", version_id):
            found = client.get(*where).as_dict()
        present, profile = found.get("tags") or {}, found["properties"]["publishingProfile"]
        changes: dict[str, Any] = {}
        if exclude_from_latest not in (None, bool(profile.get("excludeFromLatest"))):
            changes["excludeFromLatest"] = exclude_from_latest
        if end_of_life not in (Keep.AS_IT_IS, compute_facts.moment(profile.get("endOfLifeDate"))):
            changes["endOfLifeDate"] = end_of_life.isoformat() if isinstance(end_of_life, datetime) else None
        body: dict[str, Any] = {"tags": {**present, **tags}}
        if not changes:
            if body["tags"] != present:
                with azure_errors(f"Could not {what}", version_id):
                    client.begin_update(*where, body, polling=False).result()
            return None
        body["properties"] = changed_profile(found, **changes)
        return self._begin(what, version_id, client.begin_update, *where, body)

    def begin_regions(self, version_id: str, regions: Mapping[str, int]) -> PendingOperation:
        """Change where an image version is replicated to; what a region has beside its count stays.

        :param regions: normalised region -> replicas, all of them: a region that is not there loses its replicas
        """
        parts = _parse(version_id)
        client = self.compute_client(parts["subscription"]).gallery_image_versions
        where = (parts["resource_group"], parts["name"], parts["child_name_1"], parts["child_name_2"])
        with azure_errors("Could not read the image version", version_id):
            found = client.get(*where).as_dict()
        present = {normal_region(one["name"]): one for one in found["properties"]["publishingProfile"]["targetRegions"]}
        targets = [
            {**present.get(region, {"name": region}), "regionalReplicaCount": count}
            for region, count in regions.items()
        ]
        body = {"tags": found.get("tags") or {}, "properties": changed_profile(found, targetRegions=targets)}
        return self._begin(f"replicate image version {where[3]}", version_id, client.begin_update, *where, body)

    def vm_sizes(self, location: str) -> dict[str, facts.VmSize]:
        """Return the VM sizes of a region by lower-case name."""
        with azure_errors("Could not list the VM sizes", location):
            skus: Iterable[Any] = self.compute_client().resource_skus.list(filter=f"location eq '{location}'")
            found = [sku.as_dict() for sku in skus if sku.resource_type == "virtualMachines"]
        return {
            sku["name"].lower(): compute_facts.vm_size(
                sku["name"], str(sku.get("family") or ""), sku.get("capabilities") or ()
            )
            for sku in found
        }

    def _id(self, group: str, kind: str, name: str) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{group}/providers/Microsoft.Compute/{kind}/{name}"

    def _find(self, kind: str, resource_id: str, get: Callable[[], Any]) -> Mapping[str, Any] | None:
        with azure_errors(f"Could not read the {kind}", resource_id):
            try:
                found: Mapping[str, Any] = get().as_dict()
            except HttpResponseError as error:
                if not is_absent(error):
                    raise
                return None
        return found

    def _begin(self, what: str, resource_id: str, start: Callable[..., Any], *arguments: Any) -> PendingOperation:
        with azure_errors(f"Could not {what}", resource_id):
            poller = start(*arguments, polling=StartOnly())
        return PendingOperation(what=what, resource_id=resource_id, token=poller.continuation_token())


class AsyncComputeHook(AsyncOperations):
    """What triggers read of Microsoft.Compute, without its SDK."""

    async def image_version(self, version_id: str) -> facts.ImageVersion | None:
        """Return an image version with its replication, by its full ARM id."""
        with azure_errors("Could not read the image version", version_id):
            try:
                found = await self.read(version_id, GALLERY_API, expand="ReplicationStatus")
            except HttpResponseError as error:
                if not is_absent(error):
                    raise
                return None
        return compute_facts.image_version(found)


def changed_profile(version: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the properties of an update that changes a part of a version's publishing profile.

    Azure replaces the profile as a whole, so what the version has is sent back with the change. The storage profile has
    to be there and never changes: it is sent empty, as Microsoft's own example does ("Gallery Image Versions - Update",
    without source id), since what the version was made from may be gone.
    """
    profile = version["properties"]["publishingProfile"]
    kept = {name: value for name, value in profile.items() if name in CHANGEABLE_PROFILE and value is not None}
    return {"publishingProfile": {**kept, **changes}, "storageProfile": {}}


def _image_disk(disk: DiskSource) -> dict[str, Any]:
    return {"blobUri": disk.id} if disk.is_blob else {"snapshot": {"id": disk.id}}


def _version_storage(origin: Origin) -> dict[str, Any]:
    """Return the storage profile of a version. Data disks keep their caching; Azure has no sensible default for it."""
    if origin.image_id:
        return {"source": {"id": origin.image_id}}
    if origin.vm_id:
        return {"source": {"virtualMachineId": origin.vm_id}}
    os_disk, *data_disks = origin.disks
    return {
        "osDiskImage": {"source": {"id": os_disk.id}, "hostCaching": "ReadWrite"},
        "dataDiskImages": [
            {
                "lun": disk.lun,
                "source": {"id": disk.id},
                **({"hostCaching": disk.caching} if disk.caching else {}),
            }
            for disk in data_disks
        ],
    }


def _parse(resource_id: str) -> dict[str, str]:
    from azure.mgmt.core.tools import parse_resource_id

    return dict(parse_resource_id(resource_id))
