"""What the routes of both planes share: settling, refusals in the words of the plane, conditions, bodies, answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from include.azure_simulator.batch.accounts import BatchAccount
from include.azure_simulator.batch.auth import Caller, authenticate
from include.azure_simulator.batch.errors import BatchServiceError, condition_not_met, invalid_body, invalid_query
from include.azure_simulator.batch.odata import ListQuery
from include.azure_simulator.batch.views import plain_etag
from include.azure_simulator.errors import DATA_PLANE_CONTENT_TYPE, ArmError, DataPlaneError
from include.azure_simulator.links import base_url
from include.azure_simulator.resources import JsonObject, timestamp
from include.azure_simulator.wire import CaseInsensitiveRoute, decode_json
from include.azure_simulator.world import World

DATA_PLANE_VERSIONS = (
    "2022-01-01.15.0",
    "2022-10-01.16.0",
    "2023-05-01.17.0",
    "2023-11-01.18.0",
    "2024-02-01.19.0",
    "2024-07-01.20.0",
    "2025-06-01",
)
"""The api-versions of the last four years."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class BatchArmRoute(CaseInsensitiveRoute):
    """A route of ARM that settles the Batch part first and says refusals as ARM does."""

    def get_route_handler(self) -> Handler:
        """The handler with what goes around it."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            world: World = request.app.state.world
            world.batch.settle(world.clock.now())
            try:
                return await inner(request)
            except BatchServiceError as error:
                refusal = error.as_arm()
                message = (
                    f"{refusal.message}\nRequestId:{request.state.request_id}\nTime:{timestamp(world.clock.now())}"
                )
                raise ArmError(
                    refusal.status, refusal.code, message, target=refusal.target, details=refusal.details
                ) from error

        return handle


class DataPlaneRoute(APIRoute):
    """A route of the data plane: finds the account, authenticates, checks the api-version, settles."""

    def get_route_handler(self) -> Handler:
        """The handler with what goes around it."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            world: World = request.app.state.world
            account = world.batch.account(request.path_params.get("account_name"))
            if account is None:
                raise DataPlaneError(404, "ResourceNotFound", "The specified account does not exist.")
            request.state.batch_account = account
            request.state.batch_caller = authenticate(request, account)
            try:
                _check_version(request)
                world.batch.settle(world.clock.now())
                return await inner(request)
            except BatchServiceError as error:
                raise error.as_data_plane() from error

        return handle


def account_of(request: Request) -> BatchAccount:
    """The account that a data-plane request is for."""
    account: BatchAccount = request.state.batch_account
    return account


def signed_with_shared_key(request: Request) -> bool:
    """Whether a data-plane request was signed with an account key."""
    return request.state.batch_caller is Caller.SHARED_KEY


def now_of(request: Request) -> datetime:
    """Simulated now."""
    world: World = request.app.state.world
    return world.clock.now()


def account_url(request: Request) -> str:
    """URL of the account on the data plane, as the client called it."""
    name = request.path_params.get("account_name")
    return f"{base_url(request)}/accounts/{name}" if name else base_url(request)


def version_of(request: Request) -> str:
    """The api-version of the request."""
    return next((value for name, value in request.query_params.items() if name.lower() == "api-version"), "")


async def body_of(request: Request) -> JsonObject:
    """The JSON object in the body without OData annotations; an empty body is an empty object.

    :raises BatchServiceError: 400 when it is not a JSON object.
    """
    content = await request.body()
    if not content.strip():
        return {}
    try:
        value = decode_json(content)
    except ValueError as error:
        raise invalid_body(str(error)) from error
    if not isinstance(value, dict):
        raise invalid_body("A JSON object was expected.")
    return {name: item for name, item in value.items() if not name.startswith("odata.")}


def check_conditions(request: Request, etag: str) -> None:
    """Compare the conditional headers of a request with the ETag of what it is about.

    :raises BatchServiceError: 412 ``ConditionNotMet``; 304 for a read of what the client has already.
    """
    wanted = request.headers.get("if-match")
    if wanted is not None and wanted != "*" and plain_etag(wanted) != plain_etag(etag):
        raise condition_not_met()
    unwanted = request.headers.get("if-none-match")
    if unwanted is not None and (unwanted == "*" or plain_etag(unwanted) == plain_etag(etag)):
        raise condition_not_met(304 if request.method in ("GET", "HEAD") else 412)


def data_plane_json(
    request: Request, body: JsonObject, entity: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer of the data plane; ``entity`` names what it is, such as ``pools/@Element``."""
    content: JsonObject = {"odata.metadata": f"{account_url(request)}/$metadata#{entity}", **body}
    return JSONResponse(content, headers=dict(headers or {}), media_type=DATA_PLANE_CONTENT_TYPE)


def data_plane_list(request: Request, items: list[JsonObject], entity: str, *, order_by: str | None = None) -> Response:
    """A page of a list of the data plane, ordered by a property if one is named."""
    query = dict(request.query_params)
    size = account_of(request).settings.list_page_size
    page = ListQuery.read(query, size).page(items, f"{base_url(request)}{request.url.path}", query, order_by=order_by)
    body: JsonObject = {"value": list(page.items)}
    if page.next_link is not None:
        body["odata.nextLink"] = page.next_link
    return data_plane_json(request, body, entity)


def selected(request: Request, item: JsonObject) -> JsonObject:
    """An item with the properties that ``$select`` asks for."""
    return ListQuery.read(dict(request.query_params)).project(item)


def written(request: Request, status: int, path: str, etag: str, modified: datetime) -> Response:
    """The answer of a write on the data plane: no body, but where the object is and its new ETag."""
    headers = {**etag_headers(etag, modified), "DataServiceId": f"{account_url(request)}/{path}"}
    return Response(status_code=status, headers=headers)


def etag_headers(etag: str, modified: datetime) -> dict[str, str]:
    """The headers that name the state of an object."""
    return {"ETag": plain_etag(etag), "Last-Modified": modified.strftime("%a, %d %b %Y %H:%M:%S GMT")}


def _check_version(request: Request) -> None:
    version = version_of(request)
    if not version:
        raise BatchServiceError(
            400,
            "MissingRequiredQueryParameter",
            "A query parameter that's mandatory for this request is not specified.",
            [("QueryParameterName", "api-version")],
        )
    if version not in DATA_PLANE_VERSIONS:
        raise invalid_query("api-version", version, f"The supported versions are {', '.join(DATA_PLANE_VERSIONS)}.")
