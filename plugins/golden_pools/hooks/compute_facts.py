"""From ARM's JSON of Microsoft.Compute to facts.

The SDK's models are read as the JSON they hold: one translation serves the synchronous client and the triggers' bare
client, and a field or an enum value that the SDK does not know yet does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from golden_pools.hooks.failures import mask
from golden_pools.rules import facts
from golden_pools.spec.part import normal_region

Json = Mapping[str, Any]

_USERS_OF_A_CARD = ("virtualMachine", "privateEndpoint", "privateLinkService")


def dig(value: Any, *path: str) -> Any:
    """Return what stands at ``path``, or None where any part is missing or null."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def moment(value: str | None) -> datetime | None:
    """Return a time as Azure writes it."""
    return datetime.fromisoformat(value) if value else None


def golden_vm(vm: Json, disks: Mapping[str, Json]) -> facts.GoldenVm:
    """Return a VM (with its instance view) and its disks.

    :param disks: lower-case ARM id -> disk resource, for every managed disk of the VM
    """
    properties = vm["properties"]
    storage = properties.get("storageProfile") or {}
    view = properties.get("instanceView") or {}
    codes = [str(status.get("code", "")).lower() for status in view.get("statuses") or ()]
    os_disk = storage.get("osDisk") or {}
    return facts.GoldenVm(
        id=vm["id"],
        name=vm["name"],
        location=normal_region(vm["location"]),
        zones=tuple(vm.get("zones") or ()),
        tags=vm.get("tags") or {},
        power_state=_power_state(codes),
        flagged_generalized="osstate/generalized" in codes,
        provisioning_state=properties.get("provisioningState"),
        vm_size=dig(properties, "hardwareProfile", "vmSize"),
        os_type=os_disk.get("osType"),
        security_type=dig(properties, "securityProfile", "securityType"),
        encryption_at_host=bool(dig(properties, "securityProfile", "encryptionAtHost")),
        disk_controller=storage.get("diskControllerType"),
        hyper_v_generation=view.get("hyperVGeneration"),
        os_disk=_disk(os_disk, None, disks),
        data_disks=tuple(_disk(disk, int(disk["lun"]), disks) for disk in storage.get("dataDisks") or ()),
        extensions=_extensions(vm, view),
        plan=purchase_plan(vm.get("plan")),
        base_image=_base_image(storage.get("imageReference")),
        vm_id=properties.get("vmId"),
    )


def disk_ids(vm: Json) -> list[str]:
    """Return the ids of a VM's managed disks."""
    storage = dig(vm, "properties", "storageProfile") or {}
    entries = [storage.get("osDisk"), *(storage.get("dataDisks") or ())]
    return [disk_id for entry in entries if (disk_id := dig(entry, "managedDisk", "id"))]


def _power_state(codes: Iterable[str]) -> facts.PowerState:
    state = next((code.partition("/")[2] for code in codes if code.startswith("powerstate/")), "")
    return facts.PowerState(state) if state in set(facts.PowerState) else facts.PowerState.UNKNOWN


def _extensions(vm: Json, view: Json) -> tuple[str, ...]:
    names = {str(extension.get("name")) for extension in view.get("extensions") or ()}
    names |= {
        str(resource.get("name")).rpartition("/")[2]
        for resource in vm.get("resources") or ()
        if str(resource.get("type", "")).lower() in ("", "microsoft.compute/virtualmachines/extensions")
    }
    return tuple(sorted(names))


def _disk(entry: Json, lun: int | None, disks: Mapping[str, Json]) -> facts.Disk:
    disk_id = dig(entry, "managedDisk", "id")
    disk = disks.get(str(disk_id).lower()) or {}
    properties = disk.get("properties") or {}
    controllers = str(dig(properties, "supportedCapabilities", "diskControllerTypes") or "")
    return facts.Disk(
        name=str(entry.get("name") or ""),
        id=disk_id,
        lun=lun,
        size_gib=properties.get("diskSizeGB") or entry.get("diskSizeGB"),
        sku=dig(disk, "sku", "name") or dig(entry, "managedDisk", "storageAccountType"),
        caching=entry.get("caching"),
        os_type=properties.get("osType"),
        location=normal_region(disk["location"]) if disk else None,
        hyper_v_generation=properties.get("hyperVGeneration"),
        architecture=dig(properties, "supportedCapabilities", "architecture"),
        security_type=dig(properties, "securityProfile", "securityType"),
        encryption_type=dig(properties, "encryption", "type"),
        ade_enabled=bool(
            dig(entry, "encryptionSettings", "enabled") or dig(properties, "encryptionSettingsCollection", "enabled")
        ),
        ephemeral=bool(entry.get("diffDiskSettings")),
        controller_types=tuple(name.strip() for name in controllers.split(",") if name.strip()),
        purchase_plan=purchase_plan(properties.get("purchasePlan")),
        disk_state=properties.get("diskState"),
        provisioning_state=properties.get("provisioningState"),
        unique_id=properties.get("uniqueId"),
        write_accelerator=bool(entry.get("writeAcceleratorEnabled")),
        max_shares=int(properties.get("maxShares") or 1),
        last_used=moment(properties.get("LastOwnershipUpdateTime")),
    )


def _base_image(reference: Json | None) -> facts.BaseImage | None:
    if not reference:
        return None
    return facts.BaseImage(
        publisher=reference.get("publisher"),
        offer=reference.get("offer"),
        sku=reference.get("sku"),
        id=reference.get("id") or reference.get("sharedGalleryImageId") or reference.get("communityGalleryImageId"),
    )


def purchase_plan(plan: Json | None) -> facts.PurchasePlan | None:
    """Return a marketplace plan."""
    if not plan or not plan.get("name"):
        return None
    return facts.PurchasePlan(
        name=plan["name"], publisher=str(plan.get("publisher") or ""), product=str(plan.get("product") or "")
    )


def snapshot(value: Json) -> facts.Snapshot:
    """Return a snapshot."""
    properties = value["properties"]
    failure = properties.get("copyCompletionError")
    return facts.Snapshot(
        id=value["id"],
        name=value["name"],
        location=normal_region(value["location"]),
        source_id=dig(properties, "creationData", "sourceResourceId"),
        provisioning_state=str(properties.get("provisioningState") or ""),
        completion_percent=properties.get("completionPercent"),
        size_gib=properties.get("diskSizeGB"),
        copy_error=f"{failure.get('errorCode')}: {failure.get('errorMessage')}" if failure else None,
        created=moment(properties.get("timeCreated")),
        tags=value.get("tags") or {},
    )


def restore_point_collection(value: Json) -> facts.RestorePointCollection:
    """Return a restore point collection; its points are known only if the request expanded ``restorePoints``."""
    properties = value["properties"]
    return facts.RestorePointCollection(
        id=value["id"],
        name=value["name"],
        vm_id=str(dig(properties, "source", "id") or ""),
        points=tuple(point["name"] for point in properties.get("restorePoints") or ()),
        tags=value.get("tags") or {},
    )


def restore_point(value: Json) -> facts.RestorePoint:
    """Return a restore point."""
    properties = value["properties"]
    storage = dig(properties, "sourceMetadata", "storageProfile") or {}
    taken = (
        (dig(disk, "managedDisk", "id"), dig(disk, "diskRestorePoint", "id"))
        for disk in (storage.get("osDisk"), *(storage.get("dataDisks") or ()))
    )
    return facts.RestorePoint(
        id=value["id"],
        name=value["name"],
        provisioning_state=str(properties.get("provisioningState") or ""),
        created=moment(properties.get("timeCreated")),
        disks={facts.folded(disk): point for disk, point in taken if disk and point},
    )


def managed_image(value: Json) -> facts.ManagedImage:
    """Return a managed image; its snapshots by OS disk, then LUN."""
    storage = dig(value, "properties", "storageProfile") or {}
    data_disks = sorted(storage.get("dataDisks") or (), key=lambda disk: int(disk["lun"]))
    sources = [dig(disk, "snapshot", "id") for disk in (storage.get("osDisk"), *data_disks)]
    return facts.ManagedImage(
        id=value["id"],
        name=value["name"],
        location=normal_region(value["location"]),
        provisioning_state=str(dig(value, "properties", "provisioningState") or ""),
        snapshot_ids=tuple(source for source in sources if source),
        tags=value.get("tags") or {},
        size_gib=_total(storage.get("osDisk"), data_disks, "diskSizeGB"),
        data_luns=tuple(int(disk["lun"]) for disk in data_disks),
        os_type=dig(storage, "osDisk", "osType"),
        hyper_v_generation=dig(value, "properties", "hyperVGeneration"),
    )


def resource(value: Json) -> facts.Resource:
    """Return a VM, a disk, a network card or any other resource."""
    users = (value.get("managedBy"), *(dig(value, "properties", name, "id") for name in _USERS_OF_A_CARD))
    return facts.Resource(
        id=value["id"],
        name=value["name"],
        created=moment(dig(value, "properties", "timeCreated")),
        provisioning_state=str(dig(value, "properties", "provisioningState") or ""),
        used_by=next((user for user in users if user), None),
        tags=value.get("tags") or {},
    )


def gallery(value: Json) -> facts.Gallery:
    """Return a gallery."""
    return facts.Gallery(id=value["id"], name=value["name"], location=normal_region(value["location"]))


def definition(value: Json) -> facts.GalleryDefinition:
    """Return an image definition; Azure's defaults stand where it does not say."""
    properties = value["properties"]
    features = {
        str(feature.get("name")): str(feature.get("value") or "") for feature in properties.get("features") or ()
    }
    identifier = properties.get("identifier") or {}
    return facts.GalleryDefinition(
        id=value["id"],
        name=value["name"],
        location=normal_region(value["location"]),
        os_type=str(properties.get("osType") or ""),
        os_state=str(properties.get("osState") or ""),
        hyper_v_generation=str(properties.get("hyperVGeneration") or "V1"),
        architecture=str(properties.get("architecture") or "x64"),
        publisher=str(identifier.get("publisher") or ""),
        offer=str(identifier.get("offer") or ""),
        sku=str(identifier.get("sku") or ""),
        security_type=features.get("SecurityType"),
        features=features,
        purchase_plan=purchase_plan(properties.get("purchasePlan")),
    )


def image_version(value: Json) -> facts.ImageVersion:
    """Return an image version; replication is known only if the request expanded ``ReplicationStatus``."""
    properties = value["properties"]
    profile = properties.get("publishingProfile") or {}
    storage = properties.get("storageProfile") or {}
    return facts.ImageVersion(
        id=value["id"],
        name=value["name"],
        location=normal_region(value["location"]),
        provisioning_state=str(properties.get("provisioningState") or ""),
        aggregated_state=dig(properties, "replicationStatus", "aggregatedState"),
        regions=tuple(
            facts.RegionReplication(
                region=normal_region(region["region"]),
                state=str(region.get("state") or "Unknown"),
                progress_percent=int(region.get("progress") or 0),
                details=mask(str(region.get("details") or "")),
            )
            for region in dig(properties, "replicationStatus", "summary") or ()
        ),
        target_regions={
            normal_region(region["name"]): int(region.get("regionalReplicaCount") or profile.get("replicaCount") or 1)
            for region in profile.get("targetRegions") or ()
        },
        source_id=dig(storage, "source", "id")
        or dig(storage, "source", "virtualMachineId")
        or dig(storage, "osDiskImage", "source", "id"),
        exclude_from_latest=bool(profile.get("excludeFromLatest")),
        tags=value.get("tags") or {},
        data_luns=tuple(sorted(int(disk["lun"]) for disk in storage.get("dataDiskImages") or ())),
        published=moment(profile.get("publishedDate")),
        end_of_life=moment(profile.get("endOfLifeDate")),
        size_gib=_total(storage.get("osDiskImage"), storage.get("dataDiskImages") or (), "sizeInGB"),
    )


def _total(os_disk: Json | None, data_disks: Iterable[Json], field: str) -> int | None:
    """Return the GiB of all disks, or None where Azure does not say one."""
    sizes = [dig(disk, field) for disk in (os_disk, *data_disks)]
    return None if None in sizes else sum(int(size) for size in sizes)


def vm_size(name: str, family: str, capabilities: Iterable[Json]) -> facts.VmSize:
    """Return a VM size from a SKU's capabilities, which Compute and Batch list in the same way.

    Of a size with some vCPUs switched off, all count: that is the number that quotas may be charged with.
    """
    known = {str(item.get("name", "")).lower(): str(item.get("value") or "") for item in capabilities}
    vcpus = known.get("vcpus") or known.get("vcpusavailable") or "0"
    return facts.VmSize(
        name=name,
        family=family,
        vcpus=int(vcpus) if vcpus.isdecimal() else 0,
        generations=_names(known.get("hypervgenerations")),
        architecture=known.get("cpuarchitecturetype"),
        disk_controllers=_names(known.get("diskcontrollertypes")),
        trusted_launch=(known.get("trustedlaunchdisabled") or "").casefold() != "true",
        premium_disks=known["premiumio"].casefold() == "true" if known.get("premiumio") else None,
        temp_disk=known["maxresourcevolumemb"] != "0" if known.get("maxresourcevolumemb") else None,
    )


def _names(value: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())
