"""What Azure's resize errors mean: one table, and the reading of ``AllocationFailed``, whose meaning is in its details.

Codes compare case-insensitively: Azure writes ``AllocationTimedout`` where its documentation writes
``AllocationTimedOut``. There is no closed list of codes; one that the table does not have is tried again a bounded
number of times and then reported with its full text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from golden_pools.rules.facts import ResizeError

TROUBLESHOOTING = 'Microsoft, "Azure Batch pool resizing failure"'
LIMITS = 'Microsoft, "Batch service quotas and limits"'
CODE_LIST = "PoolResizeErrorCodes of the Batch SDK for .NET"
DEPLOYMENT = 'Microsoft, "Troubleshoot common Azure deployment errors"'


class Treatment(IntEnum):
    """What to do about a resize error; of several errors the highest decides."""

    RETRY = 1  # ask again at once: what was allocated is kept
    RETRY_LATER = 2  # ask again after the spec's pause: capacity or the service is short at the moment
    GIVE_UP = 3  # asking again gives the same answer


@dataclass(frozen=True, kw_only=True)
class Code:
    """One row: a resize error code, a reason in its details, or the code of an embedded Compute error.

    ``spot_only`` marks an error that concerns Spot nodes alone: dedicated nodes that are still missing may come with
    another resize.
    """

    name: str
    meaning: str
    treatment: Treatment
    advice: str
    source: str
    spot_only: bool = False


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
    ),
    Code(
        name="AccountVMSeriesCoreQuotaReached",
        meaning="the account's quota of cores of this VM family is used up",
        treatment=Treatment.GIVE_UP,
        advice=_QUOTA_ADVICE.format(quota="cores of the VM family of pool.vm_size"),
        source=TROUBLESHOOTING,
    ),
    Code(
        name="AccountLowPriorityCoreQuotaReached",
        meaning="the account's quota of low-priority cores is used up",
        treatment=Treatment.GIVE_UP,
        advice=_QUOTA_ADVICE.format(quota="Spot/low-priority cores"),
        source=TROUBLESHOOTING,
        spot_only=True,
    ),
    Code(
        name="AccountSpotCoreQuotaReached",
        meaning="the account's quota of Spot cores is used up",
        treatment=Treatment.GIVE_UP,
        advice=_QUOTA_ADVICE.format(quota="Spot/low-priority cores"),
        source=TROUBLESHOOTING,
        spot_only=True,
    ),
    Code(
        name="AllocationFailed",
        meaning="nodes could not be allocated; the details say why",
        treatment=Treatment.RETRY_LATER,
        advice=_CAPACITY_ADVICE,
        source=TROUBLESHOOTING,
    ),
    Code(
        name="AllocationTimedout",
        meaning="the resize timeout ran out; the nodes that came are kept",
        treatment=Treatment.RETRY,
        advice="raise resize.timeout_minutes or resize.attempts: large pools on custom images need longer",
        source=TROUBLESHOOTING,
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
        treatment=Treatment.RETRY_LATER,
        advice="check that the identities in pool.identities exist and that the caller may assign them",
        source=CODE_LIST,
    ),
    Code(
        name="IncompatibleVMSize",
        meaning="the VM size does not go with the pool's image or region",
        treatment=Treatment.GIVE_UP,
        advice=_IMAGE_ADVICE,
        source=CODE_LIST,
    ),
    Code(
        name="MissingPublisherPropertyInMarketPlacePlan",
        meaning="the image has a purchase plan that the definition lacks",
        treatment=Treatment.GIVE_UP,
        advice="use a golden VM without a purchase plan, or a definition that carries the same plan",
        source=CODE_LIST,
    ),
    Code(
        name="OverconstrainedAllocationRequestError",
        meaning="no capacity meets all constraints of the pool together",
        treatment=Treatment.RETRY_LATER,
        advice=_CAPACITY_ADVICE,
        source=TROUBLESHOOTING,
    ),
    Code(
        name="RemoveNodesFailed",
        meaning="nodes could not be removed, for example because their tasks still run",
        treatment=Treatment.RETRY,
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
        treatment=Treatment.RETRY_LATER,
        advice="run again later; open a support request with the text above if it stays",
        source=CODE_LIST,
    ),
    Code(
        name="UnsupportedVMSize",
        meaning="the VM size cannot be used in this account, region or with this image",
        treatment=Treatment.GIVE_UP,
        advice="choose another pool.vm_size: az batch location list-skus --location <region> -o table",
        source=TROUBLESHOOTING,
    ),
)
"""Resize error codes, by lower-case name."""

REASONS = _table(
    Code(
        name="internal error",
        meaning="the service had an internal error",
        treatment=Treatment.RETRY_LATER,
        advice="run again later; open a support request with the text above if it stays",
        source=TROUBLESHOOTING,
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
    ),
    Code(
        name="InvalidParameter",
        meaning="Compute refused a value of the nodes, such as an image without the disk controller of the VM size",
        treatment=Treatment.GIVE_UP,
        advice=_IMAGE_ADVICE,
        source=DEPLOYMENT,
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
        treatment=Treatment.RETRY_LATER,
        advice="run again later; open a support request with the text above if it stays",
        source=TROUBLESHOOTING,
    ),
    Code(
        name="NetworkingInternalOperationError",
        meaning="the network service had an internal error",
        treatment=Treatment.RETRY_LATER,
        advice="run again later; open a support request with the text above if it stays",
        source=TROUBLESHOOTING,
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


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """A resize error, read.

    :param code: Azure's code, with the embedded one behind a slash: ``AllocationFailed/BadRequest``
    :param text: code, message and details as one line
    """

    code: str
    treatment: Treatment
    text: str
    advice: str
    spot_only: bool


def diagnose(error: ResizeError) -> Diagnosis:
    """Read one resize error; an ``AllocationFailed`` is read by its details."""
    row = CODES.get(error.code.casefold())
    known = row or CODES["unknown"]
    code = error.code or known.name
    if row is CODES["allocationfailed"] and (inner := _inner(error)):
        known = inner
        if inner.name.casefold() in PROVIDER_CODES:
            code = f"{code}/{inner.name}"
    return Diagnosis(
        code=code,
        treatment=known.treatment,
        text=_one_line(error),
        advice=known.advice,
        spot_only=known.spot_only,
    )


def _inner(error: ResizeError) -> Code | None:
    """Return the row that the details of an ``AllocationFailed`` lead to; of several the one that weighs most."""
    rows = [row for row in REASONS.values() if row.name in _reasons(error)]
    rows += [PROVIDER_CODES[code] for code in _provider_codes(error) if code in PROVIDER_CODES]
    return max(rows, key=lambda row: row.treatment, default=None)


def _reasons(error: ResizeError) -> str:
    texts = [error.message, *(value for name, value in error.details if name.casefold() == "reason")]
    return " ".join(texts).casefold()


def _provider_codes(error: ResizeError) -> Iterator[str]:
    """Yield the codes, lower case, of the embedded Compute error, which may be cut off in the middle."""
    for name, value in error.details:
        if name.casefold() != "provider error json":
            continue
        try:
            yield from _codes_within(json.loads(value))
        except ValueError:
            yield from (code.casefold() for code in re.findall(r'\\*"code\\*"\s*:\s*\\*"([\w.]+)', value))


def _codes_within(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.casefold() == "code" and isinstance(inner, str):
                yield inner.casefold()
            else:
                yield from _codes_within(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _codes_within(inner)


def _one_line(error: ResizeError) -> str:
    details = ", ".join(f"{name}: {value}" for name, value in error.details)
    text = f"{error.code}: {error.message}" + (f" ({details})" if details else "")
    return " ".join(text.split())
