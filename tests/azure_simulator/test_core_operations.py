"""Long-running operations, settled from the clock."""

from __future__ import annotations

from datetime import timedelta

from starlette.requests import Request

from include.azure_simulator.clock import Clock
from include.azure_simulator.operations import Operation, OperationFamily, Operations, OperationStatus

MINUTE = timedelta(minutes=1)


def _start(operations: Operations, duration: timedelta, done: list[str] | None = None, **options: object) -> Operation:
    log = done if done is not None else []
    return operations.start(
        family=OperationFamily.DISK,
        location="westeurope",
        subscription="sub",
        duration=duration,
        on_success=lambda: log.append("success"),
        on_failure=lambda: log.append("failure"),
        **options,  # type: ignore[arg-type]
    )


def test_the_effect_comes_with_the_end_and_once(clock: Clock) -> None:
    operations, done = Operations(clock), list[str]()
    _start(operations, MINUTE, done)
    clock.advance(MINUTE - timedelta(seconds=1))
    operations.settle()
    assert done == []
    clock.advance(timedelta(seconds=1))
    operations.settle()
    operations.settle()
    assert done == ["success"]


def test_effects_come_in_order_of_end_time(clock: Clock) -> None:
    operations, order = Operations(clock), list[str]()
    for name, minutes in (("late", 3), ("early", 1), ("middle", 2)):
        operations.start(
            family=OperationFamily.COMPUTE,
            location="westeurope",
            subscription="sub",
            duration=minutes * MINUTE,
            on_success=lambda name=name: order.append(name),  # type: ignore[misc]
        )
    clock.advance(timedelta(hours=1))
    operations.settle()
    assert order == ["early", "middle", "late"]


def test_a_failed_operation_has_status_and_error_and_undoes(clock: Clock) -> None:
    operations, done = Operations(clock), list[str]()
    operation = _start(operations, MINUTE, done, error=("InternalServerError", "broke"))
    clock.advance(MINUTE)
    operations.settle()
    assert done == ["failure"]
    assert operation.status is OperationStatus.FAILED
    assert operation.body()["error"] == {"code": "InternalServerError", "message": "broke"}


def test_a_running_operation_is_found_by_its_resource_in_any_case(clock: Clock) -> None:
    operations = Operations(clock)
    operation = _start(operations, MINUTE, resource_id="/subscriptions/S/X")
    assert operations.running_on("/SUBSCRIPTIONS/s/x") is operation
    clock.advance(MINUTE)
    operations.settle()
    assert operations.running_on("/subscriptions/S/X") is None


def test_links_are_absolute_and_follow_the_forwarded_scheme(clock: Clock) -> None:
    operations = Operations(clock)
    operation = _start(operations, MINUTE)
    scope = {
        "type": "http",
        "scheme": "http",
        "path": "/",
        "query_string": b"api-version=2026-03-02",
        "headers": [(b"host", b"sim.example:1"), (b"x-forwarded-proto", b"https")],
    }
    headers = operations.urls(operation, Request(scope), retry_after=timedelta(0))
    base = "https://sim.example:1/subscriptions/sub/providers/Microsoft.Compute/locations/westeurope/DiskOperations"
    assert headers["Azure-AsyncOperation"] == f"{base}/{operation.id}?api-version=2026-03-02"
    assert headers["Location"] == f"{base}/{operation.id}?monitor=true&api-version=2026-03-02"
    assert headers["Retry-After"] == "1"


def test_finished_operations_do_not_pile_up_for_ever(clock: Clock) -> None:
    operations = Operations(clock)
    first = _start(operations, timedelta(0))
    operations.settle()
    for _ in range(5_000):
        _start(operations, timedelta(0))
    operations.settle()
    assert operations.get(first.id) is None
