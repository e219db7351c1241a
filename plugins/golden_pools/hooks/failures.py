"""From the SDK's exceptions to ours: what Azure answered, in one line, and what to do about it.

Decided on the HTTP status and the error code only. The SDK's exception classes mislead: with ``If-Match`` the Batch
client makes one class of every status, every 409 is "exists", and a failed long-running operation has status 200.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.policies import RetryPolicy

from golden_pools.errors import AzureBusyError, AzureRefusedError, ConflictError, GoldenPoolsError
from golden_pools.words import shortened

PASSES_BY_ITSELF = frozenset(
    code.lower()
    for code in (
        "ActiveJobAndScheduleQuotaReached",
        "AnotherOperationInProgress",
        "Conflict",
        "InternalError",
        "InternalServerError",
        "NodeBeingCreated",
        "NodeBeingReimaged",
        "NodeBeingStarted",
        "OperationPreempted",
        "OperationTimedOut",
        "PoolBeingCreated",
        "PoolBeingDeleted",
        "PoolBeingResized",
        "RetryableError",
        "RetryableErrorDueToAnotherOperation",
        "ServerBusy",
        "ServerTimeout",
        "ServiceUnavailable",
        "TooManyEnableAutoScaleRequests",
        "TooManyRequests",
        "VMRestorePointClientError",
    )
)
"""Codes of 409 answers and of failed operations that the same request outlives ("Azure Resource Manager errors",
"Batch: error codes")."""

_JOB_IS_OVER = "the job is over, and nothing can be done with it: clear the task, and it looks at the jobs anew"
_SCHEDULE_IS_OVER = "the job schedule makes no more jobs: clear the task, and it looks at them anew"

ADVICE: dict[str, str] = {
    # permissions ("Azure custom roles"; "Use the Azure Compute Gallery to create a custom image pool")
    "AuthorizationFailed": "grant the identity of the Airflow connection {action} on the resource, for example by the "
    "role in docs/custom-role.json; a new role assignment takes some minutes",
    "LinkedAuthorizationFailed": "grant the identity of the Airflow connection {action} on the linked image, disk, "
    "identity or subnet as well; for an image Reader is not enough: Microsoft.Compute/disks/beginGetAccess/action",
    "InsufficientAccountPermissions": "grant the identity the role Azure Batch Data Contributor on the Batch account",
    "AuthenticationFailed": "the Batch account must allow Entra ID (allowedAuthenticationModes AAD), and the identity "
    "needs the role Azure Batch Data Contributor on it",
    "AuthorizationFailure": "the Batch account's public network access is off: reach it through its private endpoint",
    "InvalidAuthenticationToken": "the token is not one of this cloud or tenant: check cloud_environment and tenantId "
    "of the Airflow connection",
    "InvalidAuthenticationTokenTenant": "tenantId of the Airflow connection is not the subscription's tenant",
    "RequestDisallowedByPolicy": "an Azure Policy forbids it: ask its owner for an exemption, or make the spec fit",
    "ScopeLocked": "a lock stands on the resource, its group or its subscription: remove it, or work elsewhere",
    # places
    "SubscriptionNotFound": "check `subscription` in the spec, and that the identity has a role in it",
    "ResourceGroupNotFound": "check the resource group's name in the spec, or make the group",
    "ParentResourceNotFound": "what should hold the resource (gallery, definition, Batch account) is missing: check "
    "its name in the spec, or make it",
    "MissingSubscriptionRegistration": "register the resource provider in the subscription: "
    "az provider register --namespace <the one that is named>",
    # quota and capacity
    "QuotaExceeded": "ask for more of the named quota (portal: Quotas), or lower the targets",
    "ResourceQuotaExceeded": "ask for more of the named quota (portal: Quotas), or delete what nobody needs",
    "OperationNotAllowed": "either a quota of the subscription is used up (portal: Quotas) or the resource does not "
    "allow it in its present state; the answer names which",
    "PoolQuotaReached": "ask for a higher pool quota of the Batch account (portal: Quotas), or delete a pool",
    "SkuNotAvailable": "choose another VM size or region: az vm list-skus --location <region>",
    "AllocationFailed": "Azure has no capacity for this VM size here: try later, or choose another size",
    # pools
    "PropertyCannotBeUpdated": "the property changes only while the pool is steady without nodes: shrink it to zero",
    "InvalidPropertyValue": "correct the value that the answer names in the spec",
    "OperationInvalidForCurrentState": "look at the state of the pool, job or node in the portal; the run continues "
    "when it is cleared",
    "PropertyChangeNotAllowed": "this property can never change: use another name, or delete the resource first",
    # jobs and nodes
    "ActiveJobAndScheduleQuotaReached": "it is tried again by itself; if the account stays full, end jobs that nobody "
    "needs, or ask for a higher quota of active jobs and job schedules (portal: Quotas of the Batch account)",
    "JobExists": "a job of this id is there, over or bound to another pool: delete it, then clear the task",
    "JobCompleted": _JOB_IS_OVER,
    "JobBeingTerminated": _JOB_IS_OVER,
    "JobBeingDeleted": _JOB_IS_OVER,
    "JobDisabled": "somebody has disabled the job: enable it, then clear the task",
    "JobNotActive": "somebody has disabled or ended the job: look at it in the portal, then clear the task",
    "JobScheduleCompleted": _SCHEDULE_IS_OVER,
    "JobScheduleBeingTerminated": _SCHEDULE_IS_OVER,
    "JobScheduleBeingDeleted": _SCHEDULE_IS_OVER,
    "NodeNotFound": "the node has left the pool: list the nodes anew",
    "NodeStateUnusable": "Batch does nothing with a node that it cannot reach: remove it, and let the pool grow again",
    # snapshots, images and galleries
    "VMRestorePointClientError": "it is tried again by itself, since another restore point of the VM may be in the "
    "making; if the answer names a limit, delete restore points of the VM",
    "SnapshotCountExceeded": "Azure keeps 500 snapshots of one disk: delete old ones",
    "GalleryImageNotFound": "check gallery and definition in the spec",
    "ImageNotFound": "the image or version is gone: build it again",
    "InvalidResourceReference": "a resource that the request names does not exist or lies in another region",
}
_ADVICE = {code.lower(): advice for code, advice in ADVICE.items()}

_ADVICE_BY_STATUS = {
    400: "correct the value that the answer names in the spec",
    401: "check login, password and tenantId of the Airflow connection, or the managed identity",
    403: _ADVICE["authorizationfailed"],
    404: "check the name in the spec; it may also have been deleted",
}
_ADVICE_ELSE = "read Azure's answer; if it is not plain, open the resource in the portal (Activity log)"
_BAD_LOGIN = (
    "check login, password and tenantId of the Airflow connection; without them a managed identity, a workload "
    "identity or an Azure CLI login must be there"
)
_UNTRUSTED = (
    "the endpoint shows a certificate of an unknown authority: name the authority's PEM file in ca_bundle of the "
    "Airflow connection, or correct the endpoint"
)

_LONGEST_ANSWER = 1500
_SECRETS = (
    (re.compile(r"(?i)\bsig=[^&\s\"'\\]+"), "sig=***"),
    (
        re.compile(
            r"(?i)\b(client_?secret|client_assertion|password|account_?key|shared_?access_?key|access_?token|"
            r"refresh_?token|id_?token)(\\*[\"']?\s*[=:]\s*\\*[\"']?)[^&\s\"',;\\]+"
        ),
        r"\1\2***",
    ),
    (re.compile(r"(?i)\b(bearer|sharedkey)\s+[\w.~+/=:-]{16,}"), r"\1 ***"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "***"),
)


def mask(text: str) -> str:
    """Return ``text`` without signatures, tokens, keys and client secrets."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


@contextmanager
def azure_errors(what: str, resource: str) -> Iterator[None]:
    """Turn what the SDK raises inside into our tree.

    :param what: what could not be done, one sentence without a full stop at the end
    :param resource: name or ARM id
    """
    try:
        yield
    except AzureError as error:
        # The traceback shows the cause as well: it must not show what the answer masks.
        told = str(error)
        raise translate(error, what, resource) from (error if mask(told) == told else None)


def translate(error: AzureError, what: str, resource: str) -> GoldenPoolsError:
    """Return the exception of our tree that says what ``error`` means for the reader."""
    status, code = status_of(error), code_of(error)
    told = {"resource": resource, "answer": _answer(error, status, code)}
    if is_busy(error):
        advice = _ADVICE.get(code.lower()) if code.lower() in PASSES_BY_ITSELF else None
        return AzureBusyError(
            what,
            **told,
            advice=advice or "nothing: it is tried again by itself",
            retry_after_seconds=retry_after_seconds(error),
        )
    if status == 412:
        return ConflictError(
            what,
            **told,
            advice="somebody changed or made it at the same time: let the other run or person finish, then start again",
        )
    return AzureRefusedError(what, **told, advice=_advice(error, status, code), code=code, status=status)


def is_busy(error: AzureError) -> bool:
    """Return whether the same request may well succeed later."""
    status = status_of(error)
    if status in (408, 429) or status >= 500:
        return True
    if status == 0 or status == 409:  # 0: a failed operation, or no answer at all
        return code_of(error).lower() in PASSES_BY_ITSELF or _is_outage(error)
    return False


def is_absent(error: AzureError) -> bool:
    """Return whether the resource is not there, in a place that is: a missing resource group is a wrong spec."""
    return status_of(error) == 404 and code_of(error).lower() not in ("resourcegroupnotfound", "subscriptionnotfound")


def status_of(error: AzureError) -> int:
    """Return the HTTP status; 0 where there was none, or where it only says that a failed operation was reported."""
    status = int(getattr(error, "status_code", None) or 0)
    return 0 if status < 300 else status


def code_of(error: AzureError) -> str:
    """Return Azure's error code, or an empty string."""
    return str(getattr(getattr(error, "error", None), "code", None) or "")


def retry_after_seconds(error: AzureError) -> float | None:
    """Return what Azure asked to wait."""
    response = getattr(error, "response", None)
    headers = {name.lower(): value for name, value in getattr(response, "headers", {}).items()}
    for name, unit in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0)):
        if value := headers.get(name):
            try:
                return float(value) * unit
            except ValueError:  # a date
                return float(RetryPolicy().parse_retry_after(value))
    return None


def has_advice(code: str) -> bool:
    """Return whether ``code`` is one that we know the meaning of."""
    return code.lower() in _ADVICE


def _is_outage(error: AzureError) -> bool:
    causes = (ServiceRequestError, ServiceResponseError, IncompleteReadError)
    # azure-identity hides a lost connection to the login behind "authentication failed".
    is_outage = isinstance(error, causes) or isinstance(error.__cause__, causes)
    return is_outage and not is_untrusted(error)


def is_untrusted(error: BaseException) -> bool:
    """Return whether the other end showed a certificate of an unknown authority, which no repetition changes.

    The words are OpenSSL's: the transports wrap its exception in classes of their own, or drop it.
    """
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _is_login(error: AzureError) -> bool:
    return isinstance(error, ClientAuthenticationError) and not code_of(error)


def _advice(error: AzureError, status: int, code: str) -> str:
    if not status and is_untrusted(error):
        return _UNTRUSTED
    if _is_login(error):
        return _BAD_LOGIN
    advice = _ADVICE.get(code.lower()) or _ADVICE_BY_STATUS.get(status) or _ADVICE_ELSE
    action = re.search(r"action(?:\(s\))? '([\w./, ]+)'", str(error))
    return advice.format(action=action.group(1) if action else "the action that the answer names")


def _answer(error: AzureError, status: int, code: str) -> str:
    head = f"HTTP {status}" if status else ""
    body = getattr(error, "error", None)
    message = getattr(body, "message", None) or getattr(error, "reason", None) or getattr(error, "message", "")
    if body is None and not isinstance(error, HttpResponseError):
        head = head or "no answer"
    elif _is_login(error):
        message = error.message
    text = ": ".join(part for part in (f"{head} {code}".strip(), str(message)) if part)
    if values := "; ".join(_details(body)):
        text += f" ({values})"
    return shortened(mask(" ".join(text.split())), _LONGEST_ANSWER)


def _details(body: Any) -> Iterator[str]:
    """Yield ``code=message`` of an error's details, which nest; Batch puts names and values there."""
    for detail in getattr(body, "details", None) or ():
        yield f"{detail.code}={detail.message}"
        yield from _details(detail)
