"""What Azure's resize errors mean, as one table that :mod:`~golden_pools.rules.resize.diagnosis` reads.

Codes compare case-insensitively: Azure writes ``AllocationTimedout`` where its documentation writes
``AllocationTimedOut``. There is no closed list of codes; one that the table does not have is tried again a bounded
number of times and then reported with its full text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from golden_pools.rules.resize.verdict import Cause
from golden_pools.spec.model import Treatment

TROUBLESHOOTING = 'Microsoft, "Azure Batch pool resizing failure"'
LIMITS = 'Microsoft, "Batch service quotas and limits"'
CODE_LIST = "PoolResizeErrorCodes of the Batch SDK for .NET"
OBSERVED = "what the run sees, where Azure names no error"
DEPLOYMENT = 'Microsoft, "Troubleshoot common Azure deployment errors"'


@dataclass(frozen=True, kw_only=True)
class Code:
    """One row: a resize error code, a reason in its details, or the code of an embedded Compute error.

    :param spot_only: concerns Spot nodes alone: dedicated nodes that are missing may come with another resize
    :param is_quota: a quota of the account; what other pools hold of it may become free
    :param other_size_helps: nodes of another VM size may come
    :param blames_image: speaks against the image, so that no pool should get it
    :param is_momentary: is mostly over a moment later, so the first repetition needs no pause
    :param is_timeout: the time was over, and not the nodes that can be had: as many as came may come again
    """

    name: str
    meaning: str
    treatment: Treatment
    advice: str
    source: str
    spot_only: bool = False
    is_quota: bool = False
    other_size_helps: bool = False
    blames_image: bool = False
    is_momentary: bool = False
    is_timeout: bool = False


def _table(*rows: Code) -> Mapping[str, Code]:
    return {row.name.casefold(): row for row in rows}


_QUOTA_ADVICE = (
    "ask for more {quota} in the Azure portal (Batch account, Quotas), shrink another pool of the account, "
    "or lower the targets"
)
_CAPACITY_ADVICE = "the region is short of this VM size: run again later, choose another vm_size, or lower the targets"
_IMAGE_ADVICE = "compare the image's generation, architecture and security type with pool.vm_size; preflight names both"

CODES = _table(
    Code(
        name="AccountCoreQuotaReached",
        meaning="the account's quota of dedicated cores is used up",
        treatment=Treatment.GIVE_UP,
        advice=_QUOTA_ADVICE.format(quota="dedicated cores"),
        source=TROUBLESHOOTING,
        is_quota=True,
    ),
    Code(
        name="AccountVMSeriesCoreQuotaReached",
        meaning="the account's quota of cores of this VM family is used up",
        treatment=Treatment.GIVE_UP,
        advice=_QUOTA_ADVICE.format(quota="cores of the VM family of pool.vm_size"),
        source=TROUBLESHOOTING,
        is_quota=True,
        other_size_helps=True,
    ),
    Code(
        name="AccountLowPriorityCoreQuotaReached",
        meaning="the account's quota of low-priority cores is used up",
        treatment=Treatment.GIVE_UP,
        advice=_QUOTA_ADVICE.format(quota="Spot/low-priority cores"),
        source=TROUBLESHOOTING,
        spot_only=True,
        is_quota=True,
    ),
    Code(
        name="AccountSpotCoreQuotaReached",
        meaning="the account's quota of Spot cores is used up",
        treatment=Treatment.GIVE_UP,
        advice=_QUOTA_ADVICE.format(quota="Spot/low-priority cores"),
        source=TROUBLESHOOTING,
        spot_only=True,
        is_quota=True,
    ),
    Code(
        name="AllocationFailed",
        meaning="nodes could not be allocated; the details say why",
        treatment=Treatment.LATER,
        advice=_CAPACITY_ADVICE,
        source=TROUBLESHOOTING,
        other_size_helps=True,
    ),
    Code(
        name="AllocationTimedout",
        meaning="the resize timeout ran out; the nodes that came are kept",
        treatment=Treatment.AGAIN,
        advice="raise resize.timeout_minutes or resize.attempts: large pools on custom images need longer",
        source=TROUBLESHOOTING,
        is_timeout=True,
    ),
    Code(
        name="CommunicationEnabledPoolReachedMaxVMCount",
        meaning="a pool with inter-node communication has a lower limit of nodes",
        treatment=Treatment.GIVE_UP,
        advice="lower the targets to 100 nodes (80 in a user-subscription account), or inter_node_communication: false",
        source=LIMITS,
    ),
    Code(
        name="DependentResourceNotFound",
        meaning="something that the pool needs is gone: image version, subnet, identity",
        treatment=Treatment.GIVE_UP,
        advice="check that the image version, the subnet and the identities of the pool still exist, then run again",
        source=CODE_LIST,
    ),
    Code(
        name="DiskEncryptionFailure",
        meaning="the disks of the nodes could not be encrypted",
        treatment=Treatment.GIVE_UP,
        advice="check the disk encryption settings of the image and Batch's access to the key",
        source=CODE_LIST,
    ),
    Code(
        name="FailedIdentityOperation",
        meaning="a managed identity could not be put on the nodes",
        treatment=Treatment.LATER,
        advice="check that the identities in pool.identities exist and that the caller may assign them",
        source=CODE_LIST,
    ),
    Code(
        name="IncompatibleVMSize",
        meaning="the VM size does not go with the pool's image or region",
        treatment=Treatment.GIVE_UP,
        advice=_IMAGE_ADVICE,
        source=CODE_LIST,
        other_size_helps=True,
        blames_image=True,
    ),
    Code(
        name="MissingPublisherPropertyInMarketPlacePlan",
        meaning="the image has a purchase plan that the definition lacks",
        treatment=Treatment.GIVE_UP,
        advice="use a golden VM without a purchase plan, or a definition that carries the same plan",
        source=CODE_LIST,
        blames_image=True,
    ),
    Code(
        name="OverconstrainedAllocationRequestError",
        meaning="no capacity meets all constraints of the pool together",
        treatment=Treatment.SMALLER,
        advice=_CAPACITY_ADVICE,
        source=TROUBLESHOOTING,
        other_size_helps=True,
    ),
    Code(
        name="RemoveNodesFailed",
        meaning="nodes could not be removed, for example because their tasks still run",
        treatment=Treatment.AGAIN,
        advice="raise refresh.drain_minutes, or set refresh.deallocation to requeue",
        source=CODE_LIST,
    ),
    Code(
        name="ResizeStopped",
        meaning="somebody stopped the resize",
        treatment=Treatment.GIVE_UP,
        advice="ask who stopped it; trigger the run again when the pool may grow",
        source=TROUBLESHOOTING,
    ),
    Code(
        name="Unknown",
        meaning="Azure does not say",
        treatment=Treatment.LATER,
        advice="run again later; open a support request with the text above if it stays",
        source=CODE_LIST,
    ),
    Code(
        name="UnsupportedVMSize",
        meaning="the VM size cannot be used in this account, region or with this image",
        treatment=Treatment.GIVE_UP,
        advice="choose another pool.vm_size: az batch location list-skus --location <region> -o table",
        source=TROUBLESHOOTING,
        other_size_helps=True,
    ),
)
"""Resize error codes, by lower-case name."""

REASONS = _table(
    Code(
        name="internal error",
        meaning="the service had an internal error",
        treatment=Treatment.LATER,
        advice="run again later; open a support request with the text above if it stays",
        source=TROUBLESHOOTING,
        is_momentary=True,
    ),
    Code(
        name="subnet has delegation",
        meaning="the subnet is delegated to another service",
        treatment=Treatment.GIVE_UP,
        advice="remove the delegation from the subnet, or name another subnet in pool.network",
        source=TROUBLESHOOTING,
    ),
    Code(
        name="does not have the desired permissions",
        meaning="the Batch service may not work in this subscription",
        treatment=Treatment.GIVE_UP,
        advice='give the application "Microsoft Azure Batch" the role Contributor on the subscription',
        source=TROUBLESHOOTING,
    ),
    Code(
        name="not authorized to access the key vault",
        meaning="the Batch service may not read the account's key vault",
        treatment=Treatment.GIVE_UP,
        advice='let the application "Microsoft Azure Batch" read the secrets of the key vault of the Batch account',
        source=TROUBLESHOOTING,
    ),
)
"""Parts of the ``Reason`` in the details of ``AllocationFailed``."""

PROVIDER_CODES = _table(
    Code(
        name="BadRequest",
        meaning="Compute refused the nodes as the pool describes them",
        treatment=Treatment.GIVE_UP,
        advice=_IMAGE_ADVICE,
        source=TROUBLESHOOTING,
        other_size_helps=True,
        blames_image=True,
    ),
    Code(
        name="InvalidParameter",
        meaning="Compute refused a value of the nodes, such as an image without the disk controller of the VM size",
        treatment=Treatment.GIVE_UP,
        advice=_IMAGE_ADVICE,
        source=DEPLOYMENT,
        other_size_helps=True,
        blames_image=True,
    ),
    Code(
        name="ScopeLocked",
        meaning="a lock keeps Batch from writing",
        treatment=Treatment.GIVE_UP,
        advice="remove the lock: az lock list --resource-group <group> -o table",
        source=TROUBLESHOOTING,
    ),
    Code(
        name="InternalServerError",
        meaning="Compute had an internal error",
        treatment=Treatment.LATER,
        advice="run again later; open a support request with the text above if it stays",
        source=TROUBLESHOOTING,
        is_momentary=True,
    ),
    Code(
        name="NetworkingInternalOperationError",
        meaning="the network service had an internal error",
        treatment=Treatment.LATER,
        advice="run again later; open a support request with the text above if it stays",
        source=TROUBLESHOOTING,
        is_momentary=True,
    ),
    Code(
        name="QuotaExceeded",
        meaning="a quota of the subscription is used up",
        treatment=Treatment.GIVE_UP,
        advice="raise the subscription's quota: az vm list-usage --location <region> -o table",
        source=DEPLOYMENT,
    ),
    Code(
        name="SkuNotAvailable",
        meaning="the VM size is not offered to the subscription in this region",
        treatment=Treatment.GIVE_UP,
        advice="choose another pool.vm_size: az vm list-skus --location <region> --size <size> -o table",
        source=DEPLOYMENT,
        other_size_helps=True,
    ),
    Code(
        name="RequestDisallowedByPolicy",
        meaning="an Azure policy forbids the nodes",
        treatment=Treatment.GIVE_UP,
        advice="ask the owner of the policy that the text names for an exemption",
        source=DEPLOYMENT,
    ),
    Code(
        name="AuthorizationFailed",
        meaning="a permission is missing",
        treatment=Treatment.GIVE_UP,
        advice="grant the permission that the text names",
        source=DEPLOYMENT,
    ),
    Code(
        name="LinkedAuthorizationFailed",
        meaning="a permission on a linked resource is missing",
        treatment=Treatment.GIVE_UP,
        advice="grant Microsoft.Compute/disks/beginGetAccess/action on the image, or what the text names",
        source=DEPLOYMENT,
    ),
)
"""Codes of the Compute error that Batch embeds as ``Provider Error Json``."""

OWN_CODES = _table(
    Code(
        name=Cause.SHORT_WITHOUT_ERROR,
        meaning="the resize ended short of its targets, and Azure gives no error",
        treatment=Treatment.LATER,
        advice="look at the pool's events in the Azure portal, then trigger the run again",
        source=OBSERVED,
        other_size_helps=True,
    ),
    Code(
        name=Cause.STALLED,
        meaning="no node came for `resize.stall_minutes`, so the run stopped the resize",
        treatment=Treatment.SMALLER,
        advice=_CAPACITY_ADVICE,
        source=OBSERVED,
        is_timeout=True,
        other_size_helps=True,
    ),
    Code(
        name=Cause.NOT_SEEN_YET,
        meaning="the pool never showed the resize",
        treatment=Treatment.AGAIN,
        advice="look at the pool's events in the Azure portal, then trigger the run again",
        source=OBSERVED,
    ),
)
"""What the run itself sees; the spec may treat these otherwise as well."""
