"""Checks of the golden VM's disks.

Sources: "Use a managed image to create a custom image pool", "Create an image definition and an image version",
"Troubleshoot shared images in Azure".
"""

from __future__ import annotations

from collections.abc import Iterator

from golden_pools.rules.preflight.case import Case, Lookup, check
from golden_pools.rules.preflight.findings import Finding
from golden_pools.rules.source import Road

OS_DISK_GIB = 1023
"""Largest OS disk of a managed image."""

GALLERY_DATA_DISK_GIB = 1024
"""Largest data disk of a gallery version."""

GALLERY_IMAGE_GIB = 2048
"""Largest gallery version, all disks together, with full replication."""

UPLOADING = frozenset({"readytoupload", "activeupload"})
EXPORTED = frozenset({"activesas", "activesasfrozen"})


@check(needs=(Lookup.GOLDEN_VM,))
def managed_disks(case: Case) -> Iterator[Finding]:
    """Are all disks managed disks?"""
    if found := [disk.name for disk in case.vm.disks if disk.id is None and not disk.ephemeral]:
        yield case.error(
            f"unmanaged disks {', '.join(found)}",
            "convert the VM: az vm convert",
            case.az.vm("storageProfile"),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def ephemeral_os_disk(case: Case) -> Iterator[Finding]:
    """Is the OS disk a real one? An ephemeral disk cannot be copied."""
    if case.vm.os_disk.ephemeral:
        yield case.error(
            "the OS disk is ephemeral",
            "make the golden VM anew with a managed OS disk",
            case.az.vm("storageProfile.osDisk.diffDiskSettings"),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def disk_encryption(case: Case) -> Iterator[Finding]:
    """Are the disks free of Azure Disk Encryption?"""
    for disk in case.vm.disks:
        if disk.ade_enabled:
            yield case.error(
                f"disk {disk.name} is encrypted by Azure Disk Encryption",
                "decrypt it (az vm encryption disable): nodes cannot read the copy",
                case.az.disk(disk.id, "encryptionSettingsCollection"),
            )


@check(needs=(Lookup.GOLDEN_VM,))
def customer_key(case: Case) -> Iterator[Finding]:
    """Are the disks encrypted with the platform's key? Microsoft does not say how Batch takes others."""
    for disk in case.vm.disks:
        if disk.encryption_type not in (None, "EncryptionAtRestWithPlatformKey"):
            yield case.warning(
                f"disk {disk.name}: {disk.encryption_type}",
                "try the image on a small pool first, or use platform keys; the key cannot leave its subscription",
                case.az.disk(disk.id, "encryption"),
            )


@check(needs=(Lookup.GOLDEN_VM,))
def disk_sku(case: Case) -> Iterator[Finding]:
    """Can the kinds of disk become an image?"""
    for disk in case.vm.disks:
        if disk.sku == "UltraSSD_LRS":
            yield case.error(
                f"disk {disk.name} is an Ultra Disk",
                "move its content to a Premium SSD: galleries do not take Ultra Disks",
                case.az.disk(disk.id, "sku.name"),
            )
        elif disk.sku == "PremiumV2_LRS":
            yield case.warning(
                f"disk {disk.name} is a Premium SSD v2",
                "allow for a longer snapshot: it is usable only when its copy in the background is complete",
                case.az.disk(disk.id, "sku.name"),
            )


@check(needs=(Lookup.GOLDEN_VM,))
def disk_provisioned(case: Case) -> Iterator[Finding]:
    """Are the disks provisioned?"""
    for disk in case.vm.disks:
        if disk.provisioning_state not in (None, "Succeeded"):
            yield case.error(
                f"disk {disk.name} has provisioning state {disk.provisioning_state}",
                "wait for the operation on the disk to end, or repair the disk, then run again",
                case.az.disk(disk.id, "provisioningState"),
            )


@check(needs=(Lookup.GOLDEN_VM,))
def disk_state(case: Case) -> Iterator[Finding]:
    """Are the disks free of uploads and exports?"""
    for disk in case.vm.disks:
        state = (disk.disk_state or "").casefold()
        if state in UPLOADING:
            yield case.error(
                f"disk {disk.name} is in state {disk.disk_state}",
                "finish the upload (az disk revoke-access): its content is not complete",
                case.az.disk(disk.id, "diskState"),
            )
        elif state in EXPORTED:
            yield case.warning(
                f"disk {disk.name} is in state {disk.disk_state}",
                "end the export if the snapshot fails: az disk revoke-access",
                case.az.disk(disk.id, "diskState"),
            )


@check(needs=(Lookup.GOLDEN_VM,))
def os_disk_size(case: Case) -> Iterator[Finding]:
    """Does the OS disk fit into a managed image, where one is made?"""
    size = case.vm.os_disk.size_gib or 0
    if size > OS_DISK_GIB and case.road is Road.MANAGED_IMAGE:
        yield case.error(
            f"the OS disk has {size} GiB, a managed image takes {OS_DISK_GIB}",
            "use a smaller OS disk, or golden_vm.route: snapshots",
            case.az.disk(case.vm.os_disk.id, "diskSizeGB"),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def data_disk_size(case: Case) -> Iterator[Finding]:
    """Do the data disks fit into a gallery version?"""
    for disk in case.vm.data_disks:
        if case.to_gallery and (disk.size_gib or 0) > GALLERY_DATA_DISK_GIB:
            yield case.error(
                f"data disk {disk.name} has {disk.size_gib} GiB, a gallery version takes {GALLERY_DATA_DISK_GIB}",
                "spread its content over smaller disks",
                case.az.disk(disk.id, "diskSizeGB"),
            )


@check(needs=(Lookup.GOLDEN_VM,))
def image_size(case: Case) -> Iterator[Finding]:
    """Do all disks together fit into a gallery version?"""
    total = sum(disk.size_gib or 0 for disk in case.vm.disks)
    if case.to_gallery and total > GALLERY_IMAGE_GIB:
        yield case.error(
            f"the disks have {total} GiB together, a gallery version takes {GALLERY_IMAGE_GIB}",
            "use smaller or fewer disks",
            case.az.vm("storageProfile"),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def data_disk_luns(case: Case) -> Iterator[Finding]:
    """Has each data disk a LUN of its own?"""
    luns = [disk.lun for disk in case.vm.data_disks]
    if twice := sorted({str(lun) for lun in luns if luns.count(lun) > 1}):
        yield case.error(
            f"LUN {', '.join(twice)} stands more than once",
            "attach each data disk to a LUN of its own",
            case.az.vm("storageProfile.dataDisks[].{name: name, lun: lun}"),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def disk_subscription(case: Case) -> Iterator[Finding]:
    """Do the disks lie in the spec's subscription?"""
    subscription = case.plan.spec.subscription.casefold()
    ids = [disk.id for disk in case.vm.disks if disk.id]
    if away := [id_ for id_ in ids if f"/subscriptions/{subscription}/" not in f"{id_.casefold()}/"]:
        yield case.error(
            f"in another subscription: {', '.join(away)}",
            "attach disks of the VM's own subscription: snapshots are made beside their disks",
            case.az.vm("storageProfile"),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def purchase_plan(case: Case) -> Iterator[Finding]:
    """Has the base image a purchase plan, and does the gallery definition carry the same?"""
    plan = case.vm.plan or case.vm.os_disk.purchase_plan
    definition = case.seen.definition
    named = f"{plan.publisher}:{plan.product}:{plan.name}" if plan else "none"
    if plan and not case.to_gallery:
        yield case.error(
            f"purchase plan {named}",
            "use a golden VM without a purchase plan, or publish: gallery",
            case.az.vm("plan"),
        )
    elif definition and definition.purchase_plan != plan:
        other = definition.purchase_plan
        yield case.error(
            f"purchase plan of the golden VM: {named}; of definition {definition.name}: "
            + (f"{other.publisher}:{other.product}:{other.name}" if other else "none"),
            "use a new image.definition: a definition's plan never changes",
            case.az.definition("purchasePlan"),
        )
    elif plan:
        yield case.warning(
            f"purchase plan {named}",
            "accept the plan's terms in the subscription (az vm image terms accept); Batch promises to support "
            "first-party images without a plan only",
            case.az.vm("plan"),
        )
