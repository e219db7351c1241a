"""Checks of the VM that is captured: the golden VM, or one that is generalized.

Sources: "Use a managed image to create a custom image pool", "Use the Azure Compute Gallery to create a custom image
pool", "Trusted Launch for Azure virtual machines".
"""

from __future__ import annotations

from collections.abc import Iterator

from golden_pools.rules.facts import PowerState
from golden_pools.rules.preflight.case import Case, Lookup, check
from golden_pools.rules.preflight.findings import Finding
from golden_pools.rules.source import STANDARD, TRUSTED_LAUNCH, Road
from golden_pools.spec.image import Publish
from golden_pools.spec.source import Capture, Generalize

GENERALIZED_TAG = "golden.generalized"
"""Tag of the golden VM by which its keeper asserts that the guest is generalized."""


UNSETTLED = frozenset({PowerState.STARTING, PowerState.STOPPING, PowerState.DEALLOCATING, PowerState.UNKNOWN})


@check(reads=(Lookup.GOLDEN_VM,))
def golden_vm_exists(case: Case) -> Iterator[Finding]:
    """Does the VM exist that is captured?"""
    vm = case.plan.vm
    if case.seen.golden_vm is None and vm is not None:
        field = "golden_vm" if case.plan.spec.golden_vm else "image.source.generalized_vm"
        yield case.error(
            f"there is no VM {vm.name} in resource group {vm.resource_group}",
            f"correct {field} in the spec, or create the VM",
            case.az.vm(),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def golden_vm_provisioned(case: Case) -> Iterator[Finding]:
    """Is the VM provisioned, with no operation under way or failed?"""
    state = case.vm.provisioning_state
    if state != "Succeeded":
        yield case.error(
            f"provisioning state {state}",
            "wait for the operation on the VM to end, or repair the VM, then run again",
            case.az.vm("provisioningState"),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def power_state(case: Case) -> Iterator[Finding]:
    """Does the power state go with golden_vm.capture? A generalized VM has to be at rest."""
    state, golden = case.vm.power_state, case.plan.spec.golden_vm
    if state is PowerState.DEALLOCATED or (golden is None and state is PowerState.STOPPED):
        return
    if golden is None:
        yield case.error(
            f"the VM is {state}",
            "deallocate it (az vm deallocate): an image is made of a generalized VM at rest",
            case.az.vm_status(),
        )
        return
    capture = golden.capture
    if state in UNSETTLED:
        yield case.warning(
            f"the VM is {state}", "let it come to rest: the run copies its disks soon", case.az.vm_status()
        )
    elif capture is Capture.RUNNING and state is PowerState.RUNNING:
        yield case.warning(
            f"the VM is running, and so it stays: each of its {len(case.vm.disks)} disks is copied at its own moment",
            "set golden_vm.capture: deallocated if the disks must show one moment",
            case.az.vm_status(),
        )
    elif capture is Capture.RESTORE_POINT and state is PowerState.RUNNING:
        yield case.info(
            "the VM is running, and so it stays",
            "nothing: a restore point holds all its disks at one moment, as a power cut would leave them",
            case.az.vm_status(),
        )
    elif state is PowerState.STOPPED:
        yield case.info(
            "the VM is stopped",
            "nothing: its disks are at rest, so the run leaves it as it is; Azure bills it all the same",
            case.az.vm_status(),
        )
    elif capture.stops:
        stops = "powers it off" if capture is Capture.STOPPED else "deallocates it"
        yield case.info(
            f"the VM is {state}",
            f"nothing: the run {stops} and starts it again after the snapshots",
            case.az.vm_status(),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def generalized(case: Case) -> Iterator[Finding]:
    """Is there proof (Azure's flag) or an assertion (spec, tag) that the guest is generalized?"""
    golden = case.plan.spec.golden_vm
    if case.vm.flagged_generalized or (golden and golden.generalize is Generalize.CLONE):
        return
    if golden is None:
        yield case.error(
            "the VM is not flagged as generalized: no OSState/generalized",
            "generalize the guest (Linux: waagent -deprovision+user, Windows: sysprep /generalize), deallocate the VM "
            "and flag it: az vm generalize; it never starts again after that, so take golden_vm with generalize: clone "
            "for a VM that is to live on",
            case.az.vm_status(),
        )
    elif golden.generalized or case.vm.tags.get(GENERALIZED_TAG, "").casefold() == "true":
        where = "golden_vm.generalized" if golden.generalized else f"the tag {GENERALIZED_TAG}=true"
        yield case.info(
            f"only {where} says that the guest is generalized",
            "nothing, if it is true: Azure cannot see into the guest, and nodes from other images end unusable",
            case.az.vm("tags"),
        )
    else:
        yield case.error(
            "nothing says that the guest is generalized: no OSState/generalized, no assertion in spec or tag",
            "generalize the guest (Linux: waagent -deprovision+user, Windows: sysprep /generalize), then set "
            f"golden_vm.generalized: true or the tag {GENERALIZED_TAG}=true; or set golden_vm.generalize: clone, which "
            "generalizes a copy; do not call az vm generalize, a VM so flagged never starts again",
            case.az.vm_status(),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def vm_extensions(case: Case) -> Iterator[Finding]:
    """Is the VM free of extensions, but for those in golden_vm.allowed_extensions?"""
    golden = case.plan.spec.golden_vm
    allowed = {name.casefold() for name in golden.allowed_extensions} if golden else set()
    if found := [name for name in case.vm.extensions if name.casefold() not in allowed]:
        yield case.error(
            f"extensions {', '.join(found)}",
            "remove them (az vm extension delete), as Batch installs its own; or name them in "
            "golden_vm.allowed_extensions if you know that they do no harm",
            case.az.vm_extensions(),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def host_encryption(case: Case) -> Iterator[Finding]:
    """Does the VM use encryption at host, which the image does not carry?"""
    if case.vm.encryption_at_host:
        yield case.info(
            "encryption at host is on",
            "nothing: it is a setting of the VM, the nodes do not inherit it",
            case.az.vm("securityProfile.encryptionAtHost"),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def security_type(case: Case) -> Iterator[Finding]:
    """Is the security type Standard or Trusted Launch? Images of confidential VMs need more than a run does."""
    kinds = {case.vm.security_type, *(disk.security_type for disk in case.vm.disks)}
    known = {STANDARD.casefold(), TRUSTED_LAUNCH.casefold()}
    if found := sorted(kind for kind in kinds if kind and kind.casefold() not in known):
        yield case.error(
            f"security type {', '.join(found)}",
            "use a VM with security type Standard or TrustedLaunch (az vm create --security-type Standard)",
            case.az.vm("securityProfile.securityType"),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def managed_image_possible(case: Case) -> Iterator[Finding]:
    """Does Azure make a managed image of the VM, where the spec wants one? Not of Trusted Launch, Arm64 and NVMe."""
    why = case.captured.why_no_managed_image if case.captured else ""
    legacy = case.plan.spec.image.publish is Publish.MANAGED_IMAGE
    if legacy and (why or case.road is not Road.MANAGED_IMAGE):
        yield case.error(
            f"publish: managed_image, but no managed image is made: {why or 'golden_vm.route is snapshots'}",
            "use publish: gallery with a gallery and a definition, which takes the snapshots themselves"
            + ("" if why else "; or set golden_vm.route: managed_image"),
            case.az_captured,
        )
    elif why and case.road is Road.MANAGED_IMAGE:
        yield case.error(
            f"golden_vm.route: managed_image, but Azure makes no managed image of {why}",
            "set golden_vm.route: auto, which makes the version from the snapshots themselves",
            case.az_captured,
        )


@check(needs=(Lookup.GOLDEN_VM,))
def architecture(case: Case) -> Iterator[Finding]:
    """Is the architecture x64? Microsoft does not say how far Batch takes images of another."""
    if case.vm.architecture.casefold() != "x64":
        yield case.warning(
            f"architecture {case.vm.architecture}",
            "make sure that pool.vm_size and pool.node_agent_sku are of that architecture, and keep the canary on",
            case.az.disk(case.vm.os_disk.id, "supportedCapabilities.architecture"),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def os_type(case: Case) -> Iterator[Finding]:
    """Is the system known, and the same for the VM and its OS disk?"""
    of_vm, of_disk = case.vm.os_type, case.vm.os_disk.os_type
    if not (of_vm or of_disk):
        yield case.error(
            "neither the VM nor its OS disk says Linux or Windows",
            "set the disk's OS type: az disk update --set osType=Linux",
            case.az.disk(case.vm.os_disk.id, "osType"),
        )
    elif of_vm and of_disk and of_vm.casefold() != of_disk.casefold():
        yield case.error(
            f"the VM says {of_vm}, its OS disk {of_disk}",
            "correct the OS disk's type: the image takes it from there",
            case.az.disk(case.vm.os_disk.id, "osType"),
        )


@check(needs=(Lookup.GOLDEN_VM, Lookup.ACCOUNT, Lookup.SUPPORTED_IMAGES))
def base_image(case: Case) -> Iterator[Finding]:
    """Was the VM made from a marketplace image that Batch supports?"""
    base, az = case.vm.base_image, case.az.vm("storageProfile.imageReference")
    advice = "make sure that the system fits pool.node_agent_sku: Azure does not compare them for custom images"
    if base is None or base.publisher is None:
        what = f"the custom image {base.id}" if base and base.id else "no image that Azure remembers"
        yield case.warning(f"the VM was made from {what}", advice, az)
        return
    triple = (base.publisher, base.offer or "", base.sku or "")
    if not any(image.is_base(base) for image in case.seen.supported_images):
        yield case.warning(f"Batch does not list the base image {':'.join(triple)}", advice, az)


@check(needs=(Lookup.GOLDEN_VM,))
def availability_zone(case: Case) -> Iterator[Finding]:
    """Is the VM in a zone, which its image does not carry?"""
    if case.vm.zones:
        yield case.info(
            f"the VM is in zone {', '.join(case.vm.zones)}",
            "nothing: snapshots and images are regional",
            case.az.vm("zones"),
        )


@check(needs=(Lookup.GOLDEN_VM,))
def one_region(case: Case) -> Iterator[Finding]:
    """Are the VM and all its disks in one region?"""
    home = case.vm.location
    if away := [f"{disk.name} in {disk.location}" for disk in case.vm.disks if disk.location not in (None, home)]:
        yield case.error(
            f"the VM is in {home}, but {', '.join(away)}",
            "bring the disks into the VM's region: snapshots, image and version are made there",
            case.az.vm("{vm: location, disks: storageProfile}"),
        )


@check(needs=(Lookup.ACCOUNT,), building=True)
def batch_region(case: Case) -> Iterator[Finding]:
    """Does the image reach the Batch account's region?"""
    if case.captured is None or case.captured.location == case.account.location:
        return
    home, batch = case.captured.location, case.account.location
    if not case.to_gallery:
        yield case.error(
            f"the image is made in {home}, the Batch account is in {batch}",
            "use publish: gallery, which replicates; a pool takes a managed image from its own region only",
            case.az.account("location"),
        )
    elif batch not in case.plan.replicas(home):
        yield case.error(
            f"the Batch account is in {batch}, the image goes to {', '.join(case.plan.replicas(home))}",
            f"add {batch} to image.target_regions",
            case.az.account("location"),
        )
    else:
        yield case.info(
            f"the image is made in {home}, the Batch account is in {batch}",
            "nothing: the image is replicated; it takes longer than in one region",
            case.az.account("location"),
        )


@check(needs=(Lookup.ACCOUNT,))
def packer_direct(case: Case) -> Iterator[Finding]:
    """Does the account take a managed image that Packer built without a gallery?"""
    direct = case.plan.builds_image and case.plan.spec.image.publish is Publish.MANAGED_IMAGE
    given, mode = case.plan.given_image_id, case.account.allocation_mode
    if direct and given and mode.casefold() == "batchservice":
        yield case.error(
            f"account {case.account.name} allocates pools in Batch's own subscription, and {given} is a managed image "
            "that Packer built",
            "use publish: gallery, or let Packer make a VHD and go on from there",
            case.az.account("poolAllocationMode"),
        )


@check()
def direct_managed_image(case: Case) -> Iterator[Finding]:
    """Does the pool take its image straight from a managed image, the road that Azure has closed?"""
    if case.plan.builds_image and case.plan.spec.image.publish is Publish.MANAGED_IMAGE:
        yield case.warning(
            "publish: managed_image. AZURE RETIRED POOLS MADE DIRECTLY FROM A MANAGED IMAGE ON 2026-03-31: "
            "the pool may be refused, or may never grow again",
            "use publish: gallery with a gallery and a definition",
            case.az.account("poolAllocationMode"),
        )
