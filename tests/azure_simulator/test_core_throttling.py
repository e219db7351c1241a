"""Token buckets on the simulated clock."""

from __future__ import annotations

from datetime import timedelta

import pytest
from arm_client import VM, Arm, error_of

from include.azure_simulator.clock import Clock
from include.azure_simulator.errors import ArmError
from include.azure_simulator.settings import ThrottlingSettings
from include.azure_simulator.throttling import Throttling
from include.azure_simulator.world import World

GROUP = "/subscriptions/s/resourceGroups/g"
COMPUTE = f"{GROUP}/providers/Microsoft.Compute"


def _refused_after(throttling: Throttling, method: str, path: str, principal: str = "p") -> tuple[int, ArmError]:
    """How many calls pass, and the error of the first that does not."""
    for count in range(2_000):
        try:
            throttling.check(ThrottlingSettings(), method, path, principal)
        except ArmError as error:
            return count, error
    raise AssertionError("never throttled")


@pytest.mark.parametrize(
    ("method", "calls", "header"), [("GET", 250, "reads"), ("PUT", 200, "writes"), ("DELETE", 200, "deletes")]
)
def test_arm_limits_each_kind_of_call(clock: Clock, method: str, calls: int, header: str) -> None:
    passed, error = _refused_after(Throttling(clock), method, GROUP)
    assert (passed, error.status, error.code) == (calls, 429, "SubscriptionRequestsThrottled")
    assert error.headers[f"x-ms-ratelimit-remaining-subscription-{header}"] == "0"
    assert int(error.headers["Retry-After"]) >= 1


def test_each_principal_has_buckets_of_its_own(clock: Clock) -> None:
    throttling = Throttling(clock)
    _refused_after(throttling, "GET", GROUP, "one")
    assert throttling.check(ThrottlingSettings(), "GET", GROUP, "two") == {
        "x-ms-ratelimit-remaining-subscription-reads": "249"
    }


def test_a_bucket_fills_with_simulated_time(clock: Clock) -> None:
    throttling = Throttling(clock)
    _refused_after(throttling, "GET", GROUP)
    clock.advance(timedelta(seconds=2))
    passed, _ = _refused_after(throttling, "GET", GROUP)
    assert passed == 50


@pytest.mark.parametrize(
    ("method", "path", "calls", "name"),
    [
        ("GET", "virtualMachines/v", 36, "LowCostGet3Min"),
        ("POST", "virtualMachines/v/start", 12, "UpdateVM3Min"),
        ("POST", "virtualMachines/v/deallocate", 12, "Deallocate3Min"),
        ("GET", "locations/westeurope/DiskOperations/1", 45, "GetOperation3Min"),
    ],
)
def test_compute_limits_calls_per_resource(clock: Clock, method: str, path: str, calls: int, name: str) -> None:
    """Compute answers OperationNotAllowed here, the code of permanent refusals: the status tells them apart."""
    throttling = Throttling(clock)
    passed, error = _refused_after(throttling, method, f"{COMPUTE}/{path}")
    assert (passed, error.status, error.code) == (calls, 429, "OperationNotAllowed")
    assert error.details[0][0] == "TooManyRequests"
    assert error.headers["x-ms-ratelimit-remaining-resource"] == f"Microsoft.Compute/{name};0"
    throttling.check(ThrottlingSettings(), method, f"{COMPUTE}/{path}".replace("/v", "/w").replace("/1", "/2"), "p")


def test_the_views_of_a_vm_count_together(clock: Clock) -> None:
    throttling = Throttling(clock)
    _refused_after(throttling, "GET", f"{COMPUTE}/virtualMachines/v")
    with pytest.raises(ArmError, match="429"):
        throttling.check(ThrottlingSettings(), "GET", f"{COMPUTE}/virtualMachines/v/instanceView", "p")


def test_limits_can_be_switched_off(clock: Clock) -> None:
    throttling = Throttling(clock)
    settings = ThrottlingSettings(enabled=False)
    for _ in range(1_000):
        throttling.check(settings, "GET", f"{COMPUTE}/virtualMachines/v", "p")


def test_a_throttled_call_answers_429_with_retry_after(arm: Arm, world: World) -> None:
    world.settings = world.settings.patched({"throttling": {"vm_get": {"size": 2, "per_second": 0.1}}})
    answers = [arm.get(VM) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert error_of(answers[2]) == (429, "OperationNotAllowed")
    assert answers[2].headers["Retry-After"] == "10"
