"""Token buckets of ARM and of the Compute provider, on the simulated clock."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from include.azure_simulator.clock import Clock
from include.azure_simulator.errors import ArmError
from include.azure_simulator.settings import BucketSettings, ThrottlingSettings

_KEPT_BUCKETS = 10_000

_SUBSCRIPTION = re.compile(r"^/subscriptions/([^/]+)", re.IGNORECASE)
_COMPUTE = re.compile(r"/providers/Microsoft\.Compute/(?P<rest>.+)$", re.IGNORECASE)
_VM = re.compile(r"virtualMachines/(?P<name>[^/]+)(?:/(?P<action>[^/]+))?/?$", re.IGNORECASE)
_ACTION = re.compile(r"(?<=/virtualmachines/)([^/]+)/[^/]+/?$")
_OPERATION = re.compile(r"locations/[^/]+/(?:operations|DiskOperations|capsOperations)/[^/]+$", re.IGNORECASE)

_ARM_HEADER = "x-ms-ratelimit-remaining-subscription-{kind}"


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: datetime


class Throttling:
    """Counts calls against the documented limits.

    :param clock: the clock that fills the buckets.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def check(self, settings: ThrottlingSettings, method: str, path: str, principal: str) -> dict[str, str]:
        """Count one ARM call; the result is the headers that tell what remains.

        :param principal: who calls; ARM counts each one apart.
        :raises ArmError: 429, ``SubscriptionRequestsThrottled`` of ARM or ``OperationNotAllowed`` of Compute.
        """
        kind = _kind(method)
        subscription = _SUBSCRIPTION.match(path)
        if subscription is None:
            return {}
        limit: BucketSettings = getattr(settings, kind)
        header = _ARM_HEADER.format(kind=kind)
        if not settings.enabled:
            return {header: str(limit.size - 1)}
        remaining, wait = self._take(f"{kind}|{subscription[1].lower()}|{principal}", limit)
        if wait:
            raise self._arm_throttled(header, kind, wait)
        self._check_compute(settings, method, path, subscription[1].lower())
        return {header: str(int(remaining))}

    def _check_compute(self, settings: ThrottlingSettings, method: str, path: str, subscription: str) -> None:
        compute = _COMPUTE.search(path)
        rule = _compute_rule(settings, method, compute["rest"]) if compute else None
        if rule is None:
            return
        name, limit, per_resource = rule
        scope = _ACTION.sub(r"\1", path.lower()) if per_resource else subscription
        _, wait = self._take(f"{name}|{scope}", limit)
        if wait:
            seconds = self._clock.retry_after(wait)
            raise ArmError(
                429,
                "OperationNotAllowed",
                "The server rejected the request because too many requests have been received for this subscription.",
                details=[("TooManyRequests", f'{{"operationGroup":"{name}","allowedRequestCount":{limit.size}}}')],
                headers={
                    "Retry-After": str(seconds),
                    "x-ms-ratelimit-remaining-resource": f"Microsoft.Compute/{name};0",
                },
            )

    def _arm_throttled(self, header: str, kind: str, wait: timedelta) -> ArmError:
        seconds = self._clock.retry_after(wait)
        return ArmError(
            429,
            "SubscriptionRequestsThrottled",
            f"Number of '{kind}' requests for the subscription exceeded the limit. "
            f"Please try again after '{seconds}' seconds.",
            headers={"Retry-After": str(seconds), header: "0"},
        )

    def _take(self, key: str, limit: BucketSettings) -> tuple[float, timedelta]:
        """Take one token: what remains, and how long until there is one when there is none."""
        now = self._clock.now()
        bucket = self._buckets.pop(key, None) or _Bucket(limit.size, now)
        refill = (now - bucket.at).total_seconds() * limit.per_second
        bucket.tokens, bucket.at = min(float(limit.size), bucket.tokens + refill), now
        self._buckets[key] = bucket
        if len(self._buckets) > _KEPT_BUCKETS:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            return 0.0, timedelta(seconds=(1 - bucket.tokens) / limit.per_second)
        bucket.tokens -= 1
        return bucket.tokens, timedelta(0)


def _kind(method: str) -> str:
    return {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}.get(method, "writes")


def _compute_rule(settings: ThrottlingSettings, method: str, rest: str) -> tuple[str, BucketSettings, bool] | None:
    """Name of the limit, the limit, and whether it counts per resource."""
    if _OPERATION.search(rest):
        return "GetOperation3Min", settings.operation_get, True
    if rest.lower().rstrip("/") == "virtualmachines":
        return "HighCostGet3Min", settings.vm_list, False
    vm = _VM.match(rest)
    if vm is None:
        return None
    if (vm["action"] or "").lower() == "deallocate":
        return "Deallocate3Min", settings.vm_deallocate, True
    if method == "GET":
        return "LowCostGet3Min", settings.vm_get, True
    return "UpdateVM3Min", settings.vm_update, True
