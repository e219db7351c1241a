"""How a run looks at its source, by kind: each look returns what it found, and leaves what is missing to preflight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException

from golden_pools.errors import AzureRefusedError, PreflightError
from golden_pools.operators.base import now
from golden_pools.rules import fingerprint
from golden_pools.rules.build import is_fit, newest_fit
from golden_pools.rules.packer import ArtifactKind, Build, ManifestError, data_disks, newest_build
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.source import ImageSource, System, road_for
from golden_pools.spec.part import normal_region
from golden_pools.spec.source import Packer, SourceKind

if TYPE_CHECKING:
    from golden_pools.hooks.compute import ComputeHook
    from golden_pools.rules.facts import GoldenVm, ImageVersion

NOT_FOUND = 404


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look brought.

    :param differs: says what about the source is not as a fingerprint says; None where the run makes no image
    """

    source: ImageSource
    differs: Callable[[str], str] | None = None


def given_version(hook: ComputeHook, plan: RunPlan) -> Look:
    """Look at the definition of the version that the run was triggered with."""
    return Look(source=existing(hook, plan.version_id, "the run was triggered with it"))


def existing(hook: ComputeHook, version_id: str, reason: str) -> ImageSource:
    """Return the source of a run that uses a version that is there."""
    definition = hook.definition(version_id.partition("/versions/")[0])
    return ImageSource(
        builds=False,
        reason=reason,
        version_id=version_id,
        system=System.of_definition(definition) if definition else None,
    )


def vm(hook: ComputeHook, plan: RunPlan) -> Look:
    """Look at the VM that is captured, or copied and captured."""
    assert plan.vm is not None
    found = _vm(hook, plan.vm.resource_group, plan.vm.name)
    kind = "golden" if plan.spec.golden_vm else "generalized"
    if found is None:
        return Look(
            source=ImageSource(builds=True, reason=f"{kind} VM {plan.vm.name}"), differs=lambda _: "it is not there"
        )
    system = System.of_vm(found)
    source = ImageSource(
        builds=True,
        reason=f"{kind} VM {plan.vm.name}",
        road=road_for(plan.spec, system),
        system=system,
        resource_id=found.id,
        fingerprint=fingerprint.of_vm(found),
    )
    return Look(source=source, differs=partial(fingerprint.why_vm_differs, found))


def _vm(hook: ComputeHook, group: str, name: str) -> GoldenVm | None:
    try:
        return hook.golden_vm(group, name)
    except AzureRefusedError as refused:
        if refused.status != NOT_FOUND:
            raise
        return None


def vhd(_: ComputeHook, plan: RunPlan) -> Look:
    """Take the spec's word for the page blobs: Azure does not look inside, and shows them to holders of keys only."""
    blob = plan.spec.image.source.vhd
    assert blob is not None
    system = System(location=normal_region(blob.region), os_type=blob.os_type, generation=blob.generation)
    source = ImageSource(
        builds=True,
        reason=f"page blob {blob.os_disk}",
        road=road_for(plan.spec, system),
        system=system,
        resource_id=blob.os_disk,
        data_blobs={disk.lun: disk.uri for disk in blob.data_disks},
        fingerprint=fingerprint.of_text("blobs", " ".join([blob.os_disk, *(disk.uri for disk in blob.data_disks)])),
    )
    return Look(source=source, differs=lambda _: "whether a page blob has changed does not show from outside")


def image_version(hook: ComputeHook, plan: RunPlan) -> Look:
    """Take the version that the spec names, or the newest of its definition that the pool's region has.

    :raises PreflightError: the definition has none
    """
    from golden_pools.hooks.inventory import InventoryHook

    wanted = plan.spec.image.source.image_version
    assert wanted is not None
    if "/versions/" in wanted.id:
        return Look(source=existing(hook, wanted.id, "the spec names it"))
    with InventoryHook(plan.spec.connection, plan.spec.subscription, read_only=True) as inventory:
        versions = inventory.versions(wanted.id)
    region = pool_region(plan)
    newest = newest_fit(
        (one for one in versions if not one.exclude_from_latest and (region is None or region in one.target_regions)),
        now(),
    )
    if newest is None:
        raise _no_version(wanted.id, versions, region)
    return Look(source=existing(hook, newest.id, f"it is the newest of {wanted.id.rpartition('/')[2]}"))


def pool_region(plan: RunPlan) -> str | None:
    """Return the region of the Batch account; None where there is no such account, which preflight reports."""
    from golden_pools.hooks.batch import BatchHook

    with BatchHook(plan.spec.connection, plan.spec.subscription, read_only=True) as batch:
        account = batch.account(plan.spec.pool.resource_group, plan.spec.pool.account)
    return account.location if account else None


def _no_version(definition_id: str, versions: list[ImageVersion], region: str | None) -> PreflightError:
    seen = "; ".join(
        f"{one.name}: {one.provisioning_state}, in {', '.join(one.target_regions) or 'no region'}"
        f"{', excluded from latest' if one.exclude_from_latest else ''}{'' if is_fit(one, now()) else ', not usable'}"
        for one in versions[-10:]
    )
    return PreflightError(
        f"No version of the image definition can be used in {region or 'the region of the Batch account'}",
        resource=definition_id,
        answer=f"its versions are: {seen}" if seen else "it has no version, or there is no such definition",
        advice=f"publish a version that is replicated in {region or 'that region'} and not excluded from latest, or "
        "name one in image.source.image_version.id",
    )


def packer(hook: ComputeHook, plan: RunPlan) -> Look:
    """Take the newest artifact of a manifest, and go on from what it is.

    :raises PreflightError: the manifest cannot be read or names no image, or the image is gone
    """
    given = plan.spec.image.source.packer
    assert given is not None
    build = _newest_build(given)
    if build.kind is ArtifactKind.VERSION:
        return Look(source=existing(hook, build.artifact_id, f"{build} made it"))
    blobs: dict[int, str] = {}
    if build.kind is ArtifactKind.MANAGED_IMAGE:
        system = _system_of_image(hook, plan, given, build)
    elif given.vhd is None:
        raise PreflightError(
            f"{build} left a VHD, and the spec does not say what is in it",
            resource=given.manifest,
            answer=build.artifact_id,
            advice="add image.source.packer.vhd with region, os_type and generation",
        )
    else:
        system = System(
            location=normal_region(given.vhd.region), os_type=given.vhd.os_type, generation=given.vhd.generation
        )
        with _manifest_errors(given):
            blobs = data_disks(build.artifact_id, given.vhd.data_disks or 0)
    mark = fingerprint.of_text("packer", " ".join([build.packer_run_uuid, build.artifact_id, *blobs.values()]).lower())
    source = ImageSource(
        builds=True,
        reason=str(build),
        road=road_for(plan.spec, system),
        system=system,
        resource_id=build.artifact_id,
        data_blobs=blobs,
        fingerprint=mark,
    )
    return Look(source=source, differs=lambda before: "" if before == mark else "it is another build")


def _newest_build(given: Packer) -> Build:
    """Read the manifest."""
    from airflow.sdk import ObjectStoragePath

    from golden_pools.hooks.failures import mask

    try:
        text = ObjectStoragePath(given.manifest, conn_id=given.connection).read_text(encoding="utf-8")
    except (OSError, ValueError, ImportError, AirflowException) as error:
        # Cloud file systems put whole requests into their messages, and a signature may be among them.
        raise PreflightError(
            f"Packer's manifest cannot be read: {mask(f'{type(error).__name__}: {error}')}",
            resource=given.manifest,
            advice="correct image.source.packer.manifest or its connection; for abfs:// the provider package "
            "apache-airflow-providers-microsoft-azure brings the file system, others have their own",
        ) from error
    with _manifest_errors(given):
        return newest_build(text, given.build)


@contextmanager
def _manifest_errors(given: Packer) -> Iterator[None]:
    try:
        yield
    except ManifestError as error:
        raise PreflightError(
            "Packer's manifest does not name the whole image",
            resource=given.manifest,
            answer=str(error),
            advice=error.advice,
        ) from error


def _system_of_image(hook: ComputeHook, plan: RunPlan, given: Packer, build: Build) -> System:
    _, _, subscription, _, group, *_, name = build.artifact_id.split("/")
    if subscription.casefold() != plan.spec.subscription.casefold():
        raise PreflightError(
            f"The managed image of {build} is in another subscription",
            resource=build.artifact_id,
            answer=f"the spec's subscription is {plan.spec.subscription}",
            advice="let Packer publish to a gallery (shared_image_gallery_destination), or build in this subscription",
        )
    image = hook.managed_image(group, name)
    if image is None or image.os_type is None:
        raise PreflightError(
            f"The managed image of {build} is not there"
            if image is None
            else "The managed image does not say its system",
            resource=build.artifact_id,
            answer=f"by manifest {given.manifest}",
            advice="run Packer again: the newest build counts, whatever became of its image",
        )
    return System(location=image.location, os_type=image.os_type, generation=image.hyper_v_generation or "V1")


LOOKS: Mapping[SourceKind, Callable[[ComputeHook, RunPlan], Look]] = {
    SourceKind.GOLDEN_VM: vm,
    SourceKind.GENERALIZED_VM: vm,
    SourceKind.VHD: vhd,
    SourceKind.PACKER: packer,
    SourceKind.IMAGE_VERSION: image_version,
}
