"""Checks of the gallery, the image definition and a version that the run was given.

Sources: "Use the Azure Compute Gallery to create a custom image pool", "Troubleshoot shared images in Azure", "Trusted
Launch for Azure virtual machines".
"""

from __future__ import annotations

from collections.abc import Iterator

from golden_pools.rules.following import follow_of, is_on_its_way
from golden_pools.rules.plan import WHY_TAG, ImageVerdict, is_marked
from golden_pools.rules.preflight.case import Case, Lookup, check
from golden_pools.rules.preflight.findings import Finding
from golden_pools.rules.source import STANDARD, Road

NEW_DEFINITION = "use a new image.definition: this property of a definition never changes"


@check(reads=(Lookup.GALLERY,))
def gallery_exists(case: Case) -> Iterator[Finding]:
    """Does the gallery exist?"""
    if case.seen.gallery is None:
        image = case.plan.spec.image
        yield case.error(
            f"there is no gallery {image.gallery} in resource group {case.plan.image_group}",
            f"correct image.gallery, or create it: az sig create --subscription {case.plan.spec.subscription} "
            f"--resource-group {case.plan.image_group} --gallery-name {image.gallery}",
            case.az.gallery(),
        )


@check(needs=(Lookup.GALLERY,))
def gallery_region(case: Case) -> Iterator[Finding]:
    """Is the gallery in the source's region?"""
    gallery, system = case.seen.gallery, case.captured
    if gallery and system and gallery.location != system.location:
        yield case.info(
            f"gallery {gallery.name} is in {gallery.location}, the image is made in {system.location}",
            "nothing: the version is made in the source's region; only the gallery's own record is elsewhere",
            case.az.gallery(),
        )


@check(needs=(Lookup.GALLERY,), reads=(Lookup.DEFINITION,))
def definition_is_made(case: Case) -> Iterator[Finding]:
    """Will the run make the image definition, and with what?"""
    system = case.captured
    if case.seen.definition is None and system:
        features = ", ".join(f"{name} {value}" for name, value in system.features.items())
        yield case.info(
            f"there is no image definition {case.plan.spec.image.definition}",
            f"nothing: the run makes it: {system.os_type}, Generalized, generation {system.generation}, "
            f"{system.architecture}, {features}, publisher {case.plan.spec.image.publisher}",
            case.az.definition(),
        )


@check(needs=(Lookup.DEFINITION,), building=True)
def definition_fits(case: Case) -> Iterator[Finding]:
    """Do OS state, system, generation and architecture of the definition equal the source's?"""
    definition, system = case.definition, case.captured
    if system is None:
        return
    pairs = (
        ("osState", definition.os_state, "Generalized"),
        ("osType", definition.os_type, system.os_type or definition.os_type),
        ("hyperVGeneration", definition.hyper_v_generation, system.generation),
        ("architecture", definition.architecture, system.architecture),
    )
    for name, has, wanted in pairs:
        if has.casefold() != wanted.casefold():
            yield case.error(
                f"{name} of definition {definition.name} is {has}, the image has {wanted}",
                NEW_DEFINITION,
                case.az.definition(name),
            )


@check(needs=(Lookup.DEFINITION,), building=True)
def definition_security(case: Case) -> Iterator[Finding]:
    """Does the definition take versions of the source's security type, made the way that the run makes them?"""
    definition, system = case.definition, case.captured
    if system is None:
        return
    kind = (definition.security_type or STANDARD).casefold()
    seen = f"definition {definition.name} has security type {definition.security_type or STANDARD}"
    az = case.az.definition("features")
    if kind == "trustedlaunchsupported" and case.road is Road.MANAGED_IMAGE:
        yield case.warning(
            seen,
            "allow for an hour or more per version: Azure validates each for Trusted Launch; a definition with "
            "SecurityType=Standard spares it",
            az,
        )
    elif kind == "trustedlaunchsupported":
        yield case.error(
            f"{seen}, which takes no version from {'a VM' if case.road is Road.VM else 'snapshots'}",
            f"use a new image.definition: the run makes it with security type {system.security_type}",
            az,
        )
    elif kind != system.security_type.casefold():
        yield case.error(
            f"{seen}, the image has {system.security_type}",
            f"use a new image.definition: the run makes it with security type {system.security_type}, and a "
            "definition's never changes",
            az,
        )


@check(needs=(Lookup.DEFINITION,), building=True)
def disk_controller(case: Case) -> Iterator[Finding]:
    """Does the definition of an image from an NVMe VM say that the image boots from NVMe?"""
    system = case.captured
    if system and system.nvme and "nvme" not in case.definition.disk_controllers.casefold():
        yield case.error(
            f"the VM uses an NVMe disk controller, definition {case.definition.name} lacks the feature "
            "DiskControllerTypes",
            "use a new image.definition: the run makes it with DiskControllerTypes=SCSI, NVMe; or give the VM a SCSI "
            "controller",
            case.az.definition("features"),
        )


@check(reads=(Lookup.IMAGE_VERSION,))
def version_exists(case: Case) -> Iterator[Finding]:
    """Does the version exist that the run was given?"""
    if case.seen.image_version is None:
        yield case.error(
            f"there is no image version {case.plan.version_id}",
            "trigger the run again with a version that exists, or without one to build it",
            case.az.versions(),
        )


@check(needs=(Lookup.IMAGE_VERSION, Lookup.ACCOUNT))
def version_ready(case: Case) -> Iterator[Finding]:
    """Is the given version complete, or updated elsewhere, and replicated in the Batch region?"""
    version, region = case.version, case.account.location
    if version.provisioning_state not in ("Succeeded", "Updating"):
        yield case.error(
            f"version {version.name} has provisioning state {version.provisioning_state}",
            "wait until it is Succeeded, or give the run another version",
            case.az.version("provisioningState"),
        )
    elif not version.ready_in(region):
        states = ", ".join(f"{one.region} {one.state}" for one in version.regions) or "none"
        if case.plan.spec.image.source.follow and is_on_its_way(case.plan, region):
            yield case.info(
                f"version {version.name} is not in {region} yet; replication: {states}",
                f"nothing: the runs of {follow_of(case.plan).pool} bring it there, and task wave waits for it",
                case.az.version("replicationStatus.summary"),
            )
            return
        yield case.error(
            f"version {version.name} is not replicated in {region}; replication: {states}",
            f"add {region} to the version's target regions (az sig image-version update), or wait for it",
            case.az.version("replicationStatus.summary"),
        )


@check(needs=(Lookup.IMAGE_VERSION,))
def version_verdict(case: Case) -> Iterator[Finding]:
    """Has an earlier run marked the given version bad?"""
    if not is_marked(case.version.tags, ImageVerdict.BAD):
        return
    seen = f"version {case.version.name} is marked bad: {case.version.tags.get(WHY_TAG) or 'it does not say why'}"
    if case.plan.force:
        yield case.warning(seen, "nothing: the run is forced; the canary tries it again", case.az.version("tags"))
    else:
        yield case.error(
            seen,
            "give the run another version, or trigger it with force: the canary then tries this one again",
            case.az.version("tags"),
        )


@check(needs=(Lookup.IMAGE_VERSION,))
def version_subscription(case: Case) -> Iterator[Finding]:
    """Does the given version lie in another subscription?"""
    if f"/subscriptions/{case.plan.spec.subscription}/".casefold() not in case.plan.version_id.casefold():
        yield case.info(
            f"the version is {case.plan.version_id}, the spec's subscription {case.plan.spec.subscription}",
            "nothing, if the nodes start: both have to be of one Entra tenant, the resource provider Microsoft.Batch "
            "has to be registered in the version's subscription, and the login needs "
            "Microsoft.Compute/disks/beginGetAccess/action on the version",
            case.az.version("id"),
        )


@check()
def source_warning(case: Case) -> Iterator[Finding]:
    """Is there something about the source that a person has to look at?"""
    if case.plan.source and case.plan.source.warning:
        yield case.warning(
            case.plan.source.warning,
            "read why the builds failed in the runs before, mend it, and trigger the DAG by hand",
            case.az.versions(),
        )
