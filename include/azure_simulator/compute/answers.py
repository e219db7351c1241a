"""How compute routes answer: the resource, and the headers of the operation that was started."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Protocol, TypeVar
from urllib.parse import urlencode

from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.compute.store import invalid_parameter
from include.azure_simulator.links import base_url
from include.azure_simulator.operations import Operation
from include.azure_simulator.resources import JsonObject, ResourceId
from include.azure_simulator.wire import empty_response, json_response
from include.azure_simulator.world import World

_SKIP_TOKEN = "$skiptoken"  # noqa: S105 (the name of a query parameter)


class Identified(Protocol):
    """What has an id."""

    @property
    def rid(self) -> ResourceId:
        """The id."""


IdentifiedT = TypeVar("IdentifiedT", bound=Identified)


def world_of(request: Request) -> World:
    """The world that the application serves."""
    world: World = request.app.state.world
    return world


def api_version(request: Request) -> str:
    """The ``api-version`` of a call, which was checked before its route."""
    return next((value for name, value in request.query_params.items() if name.lower() == "api-version"), "")


def query(request: Request, name: str) -> str | None:
    """A query parameter, ignoring the case of its name."""
    return next((value for key, value in request.query_params.items() if key.lower() == name.lower()), None)


def operation_headers(request: Request, operation: Operation | None) -> dict[str, str]:
    """``Azure-AsyncOperation``, ``Location`` and ``Retry-After``; nothing without an operation."""
    if operation is None:
        return {}
    world = world_of(request)
    wait = min(world.settings.compute.operation_retry_after, max(operation.ends - world.clock.now(), timedelta(0)))
    return world.operations.urls(operation, request, retry_after=wait)


def written(
    request: Request, render: Callable[[], JsonObject], operation: Operation | None, *, status: int
) -> Response:
    """The answer of a PUT or PATCH: the resource. The ``Location`` of its operation answers it again at the end."""
    if operation is not None:
        operation.resource = render
    return json_response(render(), status=status, headers=operation_headers(request, operation))


def started(request: Request, operation: Operation) -> Response:
    """The answer of an action that was started: 202 without a body."""
    return empty_response(202, operation_headers(request, operation))


def deleted(request: Request, operation: Operation | None) -> Response:
    """The answer of a DELETE: 202, or 204 when there was nothing to delete."""
    return empty_response(204) if operation is None else started(request, operation)


def paged(
    request: Request, resources: Iterable[IdentifiedT], render: Callable[[IdentifiedT], JsonObject], size: int
) -> Response:
    """A page of a list of resources, by id. What comes or goes between two pages moves nothing else out of them.

    :param size: how many resources are on a page.
    :raises ArmError: 400 ``InvalidParameter`` for a token that is none.
    """
    after = _page_start(query(request, _SKIP_TOKEN))
    rest = sorted((found for found in resources if found.rid.key > after), key=lambda found: found.rid.key)
    body: JsonObject = {"value": [render(found) for found in rest[:size]]}
    if len(rest) > size:
        token = base64.urlsafe_b64encode(rest[size - 1].rid.key.encode()).decode()
        kept = {name: value for name, value in request.query_params.items() if name.lower() != _SKIP_TOKEN}
        body["nextLink"] = f"{base_url(request)}{request.url.path}?{urlencode({**kept, _SKIP_TOKEN: token})}"
    return json_response(body)


def _page_start(token: str | None) -> str:
    try:
        return base64.urlsafe_b64decode(token or "").decode()
    except ValueError as error:
        text = f"The value '{token}' of parameter '{_SKIP_TOKEN}' is invalid."
        raise invalid_parameter(text, _SKIP_TOKEN) from error


def listed(values: list[JsonObject]) -> Response:
    """The answer of a list that fits one page."""
    items: list[JsonValue] = [*values]
    return json_response({"value": items})
