"""What a run's image is made from, once the run has looked: the XCom of the stage ``source``.

The plan says what the run wants; this says what it found. Later stages read both and never look anew, so that a retry
and a clear go the same way.

Rules: "Trusted Launch for Azure virtual machines" and "Create a legacy managed image of a generalized VM in Azure": of
what Azure makes no managed image.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from golden_pools.rules.facts import GalleryDefinition, GoldenVm, PurchasePlan
from golden_pools.spec.model import PoolSpec
from golden_pools.spec.source import Generalize, Route

STANDARD = "Standard"
"""Security type of what has none."""

TRUSTED_LAUNCH = "TrustedLaunch"


class Road(StrEnum):
    """What a version in the gallery is made from."""

    MANAGED_IMAGE = "managed_image"
    SNAPSHOTS = "snapshots"
    VM = "vm"


class System(BaseModel):
    """What an image definition has to say about what is on the disks, and where those are.

    :param location: normalised region of the source, where snapshots, image and version are made
    :param generation: ``V1`` or ``V2``
    :param architecture: ``x64`` or ``Arm64``
    :param security_type: ``Standard``, ``TrustedLaunch`` or what else the source has
    :param nvme: whether it has to boot from an NVMe controller
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    location: str
    os_type: str
    generation: str
    architecture: str = "x64"
    security_type: str = STANDARD
    nvme: bool = False
    purchase_plan: PurchasePlan | None = None

    @classmethod
    def of_vm(cls, vm: GoldenVm) -> Self:
        """Return the system on a VM."""
        return cls(
            location=vm.location,
            os_type=vm.os_disk.os_type or vm.os_type or "",
            generation=vm.generation,
            architecture=vm.architecture,
            security_type=vm.os_disk.security_type or vm.security_type or STANDARD,
            nvme=(vm.disk_controller or "").casefold() == "nvme",
            purchase_plan=vm.plan,
        )

    @classmethod
    def of_definition(cls, definition: GalleryDefinition) -> Self:
        """Return the system of a definition's versions."""
        return cls(
            location=definition.location,
            os_type=definition.os_type,
            generation=definition.hyper_v_generation,
            architecture=definition.architecture,
            security_type=definition.security_type or STANDARD,
            nvme="nvme" in definition.disk_controllers.casefold(),
            purchase_plan=definition.purchase_plan,
        )

    @property
    def features(self) -> dict[str, str]:
        """Features of its image definition. The security type is always told: Azure's default for it has changed."""
        controllers = {"DiskControllerTypes": "SCSI, NVMe"} if self.nvme else {}
        return {"SecurityType": self.security_type, **controllers}

    @property
    def trusted_launch(self) -> bool | None:
        """Whether nodes on the image have to have Trusted Launch; None: they may or may not."""
        kind = self.security_type.casefold()
        return None if kind == "trustedlaunchsupported" else kind == TRUSTED_LAUNCH.casefold()

    @property
    def why_no_managed_image(self) -> str:
        """Why Azure makes no managed image of it; empty where it does."""
        if self.security_type.casefold() != STANDARD.casefold():
            return f"security type {self.security_type}"
        if self.architecture.casefold() == "arm64":
            return "an Arm64 system"
        return "an NVMe disk controller" if self.nvme else ""


class ImageSource(BaseModel):
    """What a run's image is made from, or which version it uses instead.

    :param builds: whether the run makes an image
    :param reason: why it does, or why not: one clause for the log and the passport
    :param version_id: ARM id of the version that is used instead
    :param road: what the version is made from; None where none is made
    :param system: None where the source could not be read, which preflight reports
    :param resource_id: what is captured: ARM id of the VM or of the managed image, or address of the OS disk's blob
    :param data_blobs: addresses of the page blobs of its data disks, by LUN
    :param warning: what people have to know of it; preflight says it, too
    :param fingerprint: of the source's state, to tell later whether it has changed
    :param not_before: when the pool may be put on ``version_id``; None: at once
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    builds: bool
    reason: str
    version_id: str | None = None
    road: Road | None = None
    system: System | None = None
    resource_id: str | None = None
    data_blobs: Mapping[int, str] = {}
    fingerprint: str | None = None
    warning: str = ""
    not_before: AwareDatetime | None = None


def road_for(spec: PoolSpec, system: System) -> Road:
    """Return how what the spec captures gets into the gallery."""
    golden, needs_detour = spec.golden_vm, bool(system.why_no_managed_image)
    if golden is None:
        return Road.VM if needs_detour and spec.image.source.generalized_vm else Road.MANAGED_IMAGE
    if golden.route is Route.MANAGED_IMAGE or (golden.route is Route.AUTO and not needs_detour):
        return Road.MANAGED_IMAGE
    return Road.VM if golden.generalize is Generalize.CLONE else Road.SNAPSHOTS
