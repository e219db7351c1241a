"""Trusted Launch and Confidential VMs: whether image, size and security type of a pool go together, as Compute says."""

from __future__ import annotations

from include.azure_simulator.batch.pool_spec import SecurityProfile, SecurityType
from include.azure_simulator.compute.sizes import VmSize

_FAQ = "For more information, see https://aka.ms/TrustedLaunch-FAQ."
_BOUND = {"TrustedLaunch": SecurityType.TRUSTED_LAUNCH, "ConfidentialVM": SecurityType.CONFIDENTIAL_VM}
"""Security types of definitions whose images boot as nothing else."""
_SUPPORTED = {
    SecurityType.TRUSTED_LAUNCH: (
        "TrustedLaunch",
        "TrustedLaunchSupported",
        "TrustedLaunchAndConfidentialVmSupported",
    ),
    SecurityType.CONFIDENTIAL_VM: (
        "ConfidentialVM",
        "ConfidentialVMSupported",
        "TrustedLaunchAndConfidentialVmSupported",
    ),
}


def security_problem(profile: SecurityProfile | None, image: str, size: VmSize | None) -> str | None:
    """What Compute says to nodes of this security type, or ``None`` when it takes them.

    :param image: the feature ``SecurityType`` of the image's definition.
    """
    wanted = profile.security_type if profile is not None else None
    bound = _BOUND.get(image)
    if bound is not None and wanted is not bound:
        return (
            f"The provided gallery image only supports creation of VMs and VM Scale Sets with '{image}' security type."
        )
    if wanted is None:
        return None
    word = wanted.value[0].upper() + wanted.value[1:]
    if size is not None and not (size.trusted_launch if wanted is SecurityType.TRUSTED_LAUNCH else size.confidential):
        return (
            f"The VM size '{size.name}' is not supported for creation of VMs and Virtual Machine Scale Set with "
            f"'{word}' security type. {_FAQ}"
        )
    if image not in _SUPPORTED[wanted]:
        return (
            f"Use of {word} setting is not supported for the provided image. "
            f"Please select {'Trusted Launch' if word == 'TrustedLaunch' else word} Supported Gen2 OS Image. {_FAQ}"
        )
    return None
