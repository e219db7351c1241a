"""Long-running operations of both planes: one registry, settled lazily from the clock."""

from __future__ import annotations

import heapq
import itertools
import uuid
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import JsonValue
from starlette.requests import Request

from include.azure_simulator.clock import Clock
from include.azure_simulator.errors import arm_error_object
from include.azure_simulator.links import base_url
from include.azure_simulator.resources import JsonObject, timestamp

_KEPT_FINISHED_OPERATIONS = 5_000
"""Finished operations that can still be asked for; Azure keeps them for hours, a simulator must not grow for ever."""

scripted_failure: ContextVar[tuple[str, str] | None] = ContextVar("scripted_failure", default=None)
"""Code and message with which the operation that the current request starts shall fail; set by a scripted fault."""


class OperationFamily(StrEnum):
    """Which service answers for an operation; the value is the path below ``/subscriptions/{id}/providers``."""

    COMPUTE = "Microsoft.Compute/locations/{location}/operations"
    DISK = "Microsoft.Compute/locations/{location}/DiskOperations"
    GALLERY = "Microsoft.Compute/locations/{location}/capsOperations"
    NETWORK = "Microsoft.Network/locations/{location}/operations"
    BATCH = "Microsoft.Batch/locations/{location}/operations"


class OperationStatus(StrEnum):
    """Status in the body of an operation."""

    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(slots=True)
class Operation:
    """One long-running operation.

    ``started`` and ``ends`` are simulated times; ``error`` is the code and message of an operation that ends badly;
    ``result`` gives the body that a finished action answers, such as the output of a run command; ``resource`` gives
    what the ``Location`` of a finished write answers.
    """

    id: str
    family: OperationFamily
    location: str
    subscription: str
    resource_id: str | None
    started: datetime
    ends: datetime
    error: tuple[str, str] | None
    on_success: Callable[[], None] | None
    on_failure: Callable[[], None] | None
    result: Callable[[], JsonValue] | None
    resource: Callable[[], JsonValue] | None = None
    status: OperationStatus = OperationStatus.IN_PROGRESS

    @property
    def running(self) -> bool:
        """Whether the operation has not ended yet."""
        return self.status is OperationStatus.IN_PROGRESS

    def body(self) -> JsonObject:
        """The answer of the ``Azure-AsyncOperation`` URL."""
        body: JsonObject = {"name": self.id, "status": self.status.value, "startTime": timestamp(self.started)}
        if not self.running:
            body["endTime"] = timestamp(self.ends)
        if self.status is OperationStatus.FAILED and self.error is not None:
            body["error"] = arm_error_object(*self.error)
        if self.status is OperationStatus.SUCCEEDED and self.result is not None:
            body["properties"] = {"output": self.result()}
        return body


class Operations:
    """All long-running operations. Their outcome is applied when somebody asks, in order of end time.

    :param clock: the clock whose time ends operations.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_id: dict[str, Operation] = {}
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._due: list[tuple[datetime, int, Operation]] = []
        self._running_by_resource: dict[str, Operation] = {}
        self._order = itertools.count()

    def start(
        self,
        *,
        family: OperationFamily,
        location: str,
        subscription: str,
        duration: timedelta,
        on_success: Callable[[], None] | None = None,
        on_failure: Callable[[], None] | None = None,
        error: tuple[str, str] | None = None,
        resource_id: str | None = None,
        result: Callable[[], JsonValue] | None = None,
    ) -> Operation:
        """Start an operation that ends after ``duration`` of simulated time.

        :param on_success: applied when the operation has ended well.
        :param on_failure: applied when it has ended with ``error``, or with what a scripted fault asked for.
        :param resource_id: the resource that is being worked on, see :meth:`running_on`.
        :param result: the body that a finished action answers.
        """
        now = self._clock.now()
        operation = Operation(
            id=str(uuid.uuid4()),
            family=family,
            location=location,
            subscription=subscription,
            resource_id=resource_id,
            started=now,
            ends=now + duration,
            error=scripted_failure.get() or error,
            on_success=on_success,
            on_failure=on_failure,
            result=result,
        )
        self._by_id[operation.id] = operation
        if resource_id is not None:
            self._running_by_resource[resource_id.lower()] = operation
        heapq.heappush(self._due, (operation.ends, next(self._order), operation))
        return operation

    def settle(self) -> None:
        """Apply the outcome of every operation whose end time has passed. Called before every request."""
        now = self._clock.now()
        while self._due and self._due[0][0] <= now:
            self._finish(heapq.heappop(self._due)[2])

    def get(self, operation_id: str) -> Operation | None:
        """The operation with this id, or ``None``."""
        return self._by_id.get(operation_id.lower())

    def running_on(self, resource_id: str) -> Operation | None:
        """The running operation that was started last on a resource, or ``None``."""
        return self._running_by_resource.get(resource_id.lower())

    def urls(self, operation: Operation, request: Request, *, retry_after: timedelta) -> dict[str, str]:
        """The headers of an answer that started an operation, with absolute links.

        :param retry_after: how long in simulated time the client shall wait before it asks.
        """
        path = operation.family.value.format(location=operation.location)
        version = request.query_params.get("api-version", "")
        link = f"{base_url(request)}/subscriptions/{operation.subscription}/providers/{path}/{operation.id}"
        return {
            "Azure-AsyncOperation": f"{link}?api-version={version}",
            "Location": f"{link}?monitor=true&api-version={version}",
            "Retry-After": str(self._clock.retry_after(retry_after)),
        }

    def _finish(self, operation: Operation) -> None:
        failed = operation.error is not None
        operation.status = OperationStatus.FAILED if failed else OperationStatus.SUCCEEDED
        key = (operation.resource_id or "").lower()
        if self._running_by_resource.get(key) is operation:
            del self._running_by_resource[key]
        effect = operation.on_failure if failed else operation.on_success
        operation.on_success = operation.on_failure = None
        self._finished[operation.id] = None
        if len(self._finished) > _KEPT_FINISHED_OPERATIONS:
            del self._by_id[self._finished.popitem(last=False)[0]]
        if effect is not None:
            effect()
