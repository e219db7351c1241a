"""The image of a pool: whether a pool may be made on it, what its nodes boot from, and why they may not come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from include.azure_simulator.batch.allocation import provider_error
from include.azure_simulator.batch.errors import BatchServiceError, invalid_value
from include.azure_simulator.batch.pool_spec import ImageReference, PoolSpec, VirtualMachineConfiguration
from include.azure_simulator.batch.scripts import ErrorDetail, NodeFate, NodeOutcome, ScriptedError
from include.azure_simulator.batch.security import security_problem
from include.azure_simulator.batch.settings import (
    BatchSettings,
    GuestNotGeneralized,
    MissingImageCode,
    SpecializedImage,
)
from include.azure_simulator.compute.galleries import ImageVersion
from include.azure_simulator.compute.sizes import VmSize
from include.azure_simulator.resources import JsonObject, normalise_region

if TYPE_CHECKING:
    from include.azure_simulator.world import World


class SupportedImage(BaseModel):
    """A marketplace image that Batch supports, with its node agent; ``exact_version`` is what ``latest`` means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node_agent_sku_id: str
    publisher: str
    offer: str
    sku: str
    os_type: str = "linux"
    generation: str = "V2"
    exact_version: str = "1.0.0"
    capabilities: tuple[str, ...] = ()
    batch_support_end_of_life: datetime | None = None
    verification_type: str = "verified"

    def matches(self, image: ImageReference) -> bool:
        """Whether an image reference names this image, ignoring case."""
        named = (image.publisher or "", image.offer or "", image.sku or "")
        return [part.lower() for part in named] == [self.publisher.lower(), self.offer.lower(), self.sku.lower()]


DEFAULT_SUPPORTED_IMAGES = (
    SupportedImage(
        node_agent_sku_id="batch.node.ubuntu 22.04",
        publisher="canonical",
        offer="0001-com-ubuntu-server-jammy",
        sku="22_04-lts",
        generation="V1",
        exact_version="22.04.202610010",
        capabilities=("DockerCompatible", "NvidiaTeslaDriverInstalled"),
    ),
    SupportedImage(
        node_agent_sku_id="batch.node.ubuntu 24.04",
        publisher="canonical",
        offer="ubuntu-24_04-lts",
        sku="server",
        exact_version="24.04.202610010",
    ),
    SupportedImage(
        node_agent_sku_id="batch.node.el 9",
        publisher="almalinux",
        offer="almalinux-x86_64",
        sku="9-gen2",
        exact_version="9.6.20261001",
    ),
    SupportedImage(
        node_agent_sku_id="batch.node.windows amd64",
        publisher="microsoftwindowsserver",
        offer="windowsserver",
        sku="2022-datacenter-g2",
        os_type="windows",
        exact_version="20348.4648.261001",
    ),
)
"""The list of a world file that has none of its own: one image for each node agent in use."""


@dataclass(frozen=True, slots=True)
class BootImage:
    """What new nodes boot from. ``problem`` is why none of them comes; ``outcome`` is what becomes of them."""

    reference: JsonObject
    problem: ScriptedError | None = None
    outcome: NodeOutcome | None = None


@dataclass(frozen=True, slots=True)
class ImageRules:
    """The rules of images for the accounts of one region.

    :param location: region of the account, where a gallery version needs a replica.
    :param supported: the marketplace images with their node agents.
    """

    world: World
    location: str
    supported: tuple[SupportedImage, ...]

    def check(self, machine: VirtualMachineConfiguration) -> None:
        """Refuse what the service refuses when a pool is made or changed.

        :raises BatchServiceError: 400.
        """
        image = machine.image_reference
        agents = {entry.node_agent_sku_id.lower() for entry in self.supported}
        if machine.node_agent_sku_id.lower() not in agents:
            raise invalid_value("nodeAgentSkuId", machine.node_agent_sku_id, "The node agent SKU is not supported.")
        if image.publisher is not None:
            self._check_marketplace(machine)
        elif image.is_managed_image:
            self._check_managed_image(image)
        elif image.id is not None:
            self._check_gallery(image)

    def boot_image(self, spec: PoolSpec, size: VmSize | None) -> BootImage:
        """What new nodes boot from now."""
        image = spec.image
        if image.publisher is not None:
            exact = next((entry.exact_version for entry in self.supported if entry.matches(image)), "1.0.0")
            version = image.version or "latest"
            exact = exact if version == "latest" else version
            reference: JsonObject = {**image.to_json(), "version": version, "exactVersion": exact}
            message = self.security_problem(spec, size)
            return BootImage(reference, None if message is None else provider_error(message))
        if image.is_managed_image:
            found = self.world.compute.managed_image(image.id or "") is not None
            return BootImage(image.to_json(), None if found else self._missing())
        if image.id is None:
            return BootImage(image.to_json())
        version_found = self._version(image)
        if version_found is None or not self._ready(version_found):
            return BootImage(image.to_json(), self._missing())
        problem = None if size is None else _cannot_boot(version_found, spec, size)
        return BootImage({"id": version_found.id}, problem, self._outcome(version_found, spec))

    def security_problem(self, spec: PoolSpec, size: VmSize | None) -> str | None:
        """What Compute says to the security type of a pool with its image and size, or ``None``."""
        if spec.image.publisher is not None:
            first = next((entry for entry in self.supported if entry.matches(spec.image)), None)
            kind = "TrustedLaunchSupported" if first is None or first.generation == "V2" else "Standard"
        elif (version := self._version(spec.image)) is not None:
            kind = version.security_type
        else:
            return None
        return security_problem(spec.machine.security_profile, kind, size)

    def origins(self, image: ImageReference) -> frozenset[str]:
        """The custom image that new nodes boot from now, with all that it was made from down to its snapshots."""
        version = self._version(image) if image.id is not None and not image.is_managed_image else None
        resource_id = version.id if version is not None else image.id
        return self.world.compute.origins(resource_id) if resource_id is not None else frozenset()

    @property
    def _settings(self) -> BatchSettings:
        return self.world.settings.batch

    def _check_marketplace(self, machine: VirtualMachineConfiguration) -> None:
        image = machine.image_reference
        matching = [entry for entry in self.supported if entry.matches(image)]
        if not matching:
            raise invalid_value(
                "imageReference",
                f"{image.publisher} {image.offer} {image.sku}",
                "The specified image reference is not supported by the Azure Batch service.",
            )
        if machine.node_agent_sku_id.lower() not in {entry.node_agent_sku_id.lower() for entry in matching}:
            raise invalid_value(
                "nodeAgentSkuId", machine.node_agent_sku_id, "The node agent SKU does not fit the image reference."
            )

    def _check_managed_image(self, image: ImageReference) -> None:
        if not self._settings.legacy_managed_image_pools:
            refused = invalid_value(
                "imageReference.id",
                image.id,
                "Pools on managed images were retired on 2026-03-31. Use an Azure Compute Gallery image.",
            )
            raise BatchServiceError(400, self._settings.managed_image_refusal_code, refused.message, refused.values)
        if (found := self.world.compute.managed_image(image.id or "")) is None:
            raise invalid_value("imageReference.id", image.id, "The specified image does not exist.")
        if normalise_region(found.location) != normalise_region(self.location):
            raise invalid_value("imageReference.id", image.id, "The image must be in the region of the Batch account.")

    def _check_gallery(self, image: ImageReference) -> None:
        version = self._version(image)
        if version is None:
            raise invalid_value("imageReference.id", image.id, "The specified image version does not exist.")
        if not self._in_use(version):
            raise invalid_value(
                "imageReference.id", image.id, f"The image version is in state {version.provisioning_state}."
            )
        if not self._ready(version):
            raise invalid_value(
                "imageReference.id", image.id, f"The gallery image is not available in {self.location} region."
            )
        if version.os_state != "Generalized" and self._settings.specialized_image is SpecializedImage.REFUSE:
            raise invalid_value("imageReference.id", image.id, "Batch supports generalized images only.")

    def _version(self, image: ImageReference) -> ImageVersion | None:
        resource_id = image.id or ""
        if image.pins_a_version:
            return self.world.compute.image_version(resource_id)
        return self.world.compute.latest_version(resource_id, self.location)

    def _ready(self, version: ImageVersion) -> bool:
        return self._in_use(version) and normalise_region(self.location) in version.regions_ready

    def _in_use(self, version: ImageVersion) -> bool:
        """Whether a version has been made; one that is not whole may serve where it is complete (a switch)."""
        return version.published_once or self._settings.unfinished_versions_serve

    def _missing(self) -> ScriptedError:
        code = self._settings.missing_image_code
        if code is MissingImageCode.ALLOCATION_FAILED:
            return ScriptedError(
                code=code.value,
                message="Desired number of dedicated nodes could not be allocated",
                details=(ErrorDetail(code="Reason", message="The image of the pool could not be found."),),
            )
        return ScriptedError(
            code=code.value, message="The pool depends on a resource that does not exist: the image of its nodes"
        )

    def _agent_fits(self, version: ImageVersion, agent: str) -> bool:
        """Whether a node agent runs on an image; of a base image that is not in the list only the OS type counts."""
        if ("windows" in agent) != (version.os_type.lower() == "windows"):
            return False
        base = version.base_image
        wanted = {
            entry.node_agent_sku_id.lower()
            for entry in self.supported
            if base == (entry.publisher.lower(), entry.offer.lower(), entry.sku.lower())
        }
        return not wanted or agent in wanted

    def _outcome(self, version: ImageVersion, spec: PoolSpec) -> NodeOutcome | None:
        if not self._agent_fits(version, spec.machine.node_agent_sku_id.lower()):
            error = ScriptedError(
                code="BatchAgentInstallationFailure",
                message="The Batch node agent could not be installed: the node agent SKU does not fit the image",
            )
            return NodeOutcome(state=NodeFate.UNUSABLE, share=1, error=error)
        unfinished = self._settings.guest_not_generalized is GuestNotGeneralized.UNUSABLE
        if version.os_state != "Generalized" or not version.boots or (unfinished and not version.guest_generalized):
            return NodeOutcome(state=NodeFate.UNUSABLE, share=1)
        return None


def _cannot_boot(version: ImageVersion, spec: PoolSpec, size: VmSize) -> ScriptedError | None:
    """The error of Compute when a size cannot boot an image; it shows at the resize only."""
    if version.disk_controllers.isdisjoint(name.upper() for name in size.disk_controllers):
        return provider_error(
            f"The VM size '{size.name}' cannot boot with OS image or disk. Please check that disk controller types "
            "supported by the OS image or disk is one of the supported disk controller types for the VM size "
            f"'{size.name}'. Please query sku api at https://aka.ms/azure-compute-skus to determine supported disk "
            "controller types for the VM size.",
            code="InvalidParameter",
        )
    if version.hyper_v_generation not in size.generations:
        generation = version.hyper_v_generation.removeprefix("V")
        return provider_error(
            f"The selected VM size '{spec.vm_size.upper()}' cannot boot Hypervisor Generation '{generation}'. "
            "If this was a Create operation please check that the Hypervisor Generation of the Image matches the "
            "Hypervisor Generation of the selected VM Size."
        )
    if version.architecture != size.architecture:
        return provider_error(
            f"Cannot create a VM of size '{spec.vm_size.upper()}' because this VM size only supports a CPU "
            f"Architecture of '{size.architecture}', but an image of '{version.architecture}' was given."
        )
    message = security_problem(spec.machine.security_profile, version.security_type, size)
    return None if message is None else provider_error(message)
