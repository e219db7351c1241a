"""The status of long-running operations: the ``Azure-AsyncOperation`` and the ``Location`` URL."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.compute.answers import query, started, world_of
from include.azure_simulator.errors import ArmError
from include.azure_simulator.operations import Operation, OperationStatus
from include.azure_simulator.wire import CaseInsensitiveRoute, empty_response, json_response

router = APIRouter(route_class=CaseInsensitiveRoute)

_PROVIDERS = "/subscriptions/{subscription}/providers"
_LOCATION = f"{_PROVIDERS}/Microsoft.Compute/locations/{{location}}"
_NETWORK = f"{_PROVIDERS}/Microsoft.Network/locations/{{location}}"


@router.get(f"{_LOCATION}/operations/{{operation}}")
@router.get(f"{_LOCATION}/DiskOperations/{{operation}}")
@router.get(f"{_LOCATION}/capsOperations/{{operation}}")
@router.get(f"{_NETWORK}/operations/{{operation}}")
async def get_operation(request: Request, subscription: str, operation: str) -> Response:
    """The body of an operation; with ``monitor=true`` the final answer, or 202 while it runs."""
    world = world_of(request)
    found = world.operations.get(operation)
    if found is None or found.subscription.lower() != subscription.lower():
        raise ArmError(404, "NotFound", f"The entity was not found. Operation ID: {operation}")
    if query(request, "monitor"):
        return _monitor(request, found)
    headers = {}
    if found.running:
        headers["Retry-After"] = str(world.clock.retry_after(world.settings.compute.operation_retry_after))
    return json_response(found.body(), headers=headers)


def _monitor(request: Request, operation: Operation) -> Response:
    if operation.running:
        return started(request, operation)
    if operation.status is OperationStatus.FAILED and operation.error is not None:
        raise ArmError(409, *operation.error)
    outcome = operation.result or operation.resource
    if outcome is not None:
        return json_response(outcome())
    return empty_response(200 if operation.resource_id else 204)
