"""Whether what an image version is made from fits its definition, as the article on troubleshooting galleries says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from include.azure_simulator.compute.galleries import ImageDefinition
from include.azure_simulator.compute.store import invalid_parameter
from include.azure_simulator.resources import JsonObject

if TYPE_CHECKING:
    from include.azure_simulator.world import World

STORAGE_PROFILE = "galleryImageVersion.properties.storageProfile"
"""Where a request names the source."""


@dataclass(frozen=True, slots=True)
class SourceContent:
    """What a source holds; ``None`` where the source does not say."""

    os_type: str | None
    os_state: str | None
    generation: str | None
    architecture: str | None
    os_disk_gib: int
    data_disks: dict[int, int]
    security_type: str | None = None
    purchase_plan: JsonObject | None = None
    kind: Literal["image", "disks", "version", "vm", "vhd"] = "disks"
    boots: bool = True


def check_fits(definition: ImageDefinition, content: SourceContent, source_id: str) -> None:
    """Compare a source with the definition of its version.

    :raises ArmError: 400 ``InvalidParameter``.
    """
    for label, own, parent in (
        ("OS Type", content.os_type, definition.os_type),
        ("OS State", content.os_state, definition.os_state),
        ("Hyper-V Generation", content.generation, definition.hyper_v_generation),
        ("Architecture", content.architecture, definition.architecture),
    ):
        if own is not None and own != parent:
            text = (
                f"Cannot create Gallery Image Version from: {source_id} since the {label} in the parent gallery image "
                f"({parent}) is not {own}."
            )
            raise invalid_parameter(text, f"{STORAGE_PROFILE}.source")
    _check_security(definition, content)
    plan = content.purchase_plan
    if plan is not None and definition.properties.get("purchasePlan") != plan:
        text = f"The purchase plan of source {source_id} does not match the purchase plan of the parent gallery image."
        raise invalid_parameter(text, f"{STORAGE_PROFILE}.source")


def _check_security(definition: ImageDefinition, content: SourceContent) -> None:
    security = definition.security_type
    if content.kind in ("disks", "vm") and security == "TrustedLaunchSupported":
        text = (
            "The security type 'TrustedLaunchSupported' is not supported for the source id ''. Currently only Vhd "
            "Blob, User Image and Gallery Image Version sources are supported."
        )
        raise invalid_parameter(text, "galleryImage.properties.features")
    words = {"image": "a User Image", "vhd": "a Vhd Blob"}
    if content.kind in words and security not in ("Standard", "TrustedLaunchSupported"):
        text = f"The security type '{security}' is not supported for {words[content.kind]} source."
        raise invalid_parameter(text, "galleryImage.properties.features")
    own = content.security_type or "Standard"
    if content.kind in ("disks", "vm", "version") and _binding(own) != _binding(security):
        text = (
            f"The security type '{own}' of the source does not match the security type '{security}' of the parent "
            "gallery image."
        )
        raise invalid_parameter(text, "galleryImage.properties.features")


def _binding(security_type: str) -> str:
    """What a disk must hold to be of a security type: the state of a guest, or nothing when it may boot either way."""
    if security_type == "TrustedLaunch":
        return security_type
    confidential = security_type.startswith("ConfidentialVM") and not security_type.endswith("Supported")
    return "ConfidentialVM" if confidential else "Standard"


def check_sizes(world: World, content: SourceContent) -> None:
    """Compare the disks of a source with what a version can hold.

    :raises ArmError: 400 ``InvalidParameter``.
    """
    settings = world.settings.compute
    too_large = [lun for lun, size in content.data_disks.items() if size > settings.data_disk_limit_gib]
    if too_large:
        text = f"The data disk at LUN {too_large[0]} is larger than the limit of {settings.data_disk_limit_gib} GB."
        raise invalid_parameter(text, f"{STORAGE_PROFILE}.dataDiskImages")
    if content.os_disk_gib + sum(content.data_disks.values()) > settings.image_size_limit_gib:
        text = f"The disks of the image are larger than the limit of {settings.image_size_limit_gib} GB."
        raise invalid_parameter(text, STORAGE_PROFILE)
