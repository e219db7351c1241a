"""What every call goes through before its route: log, faults, throttling, authentication."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from datetime import UTC, datetime

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from include.azure_simulator.api_versions import check_api_version
from include.azure_simulator.errors import ArmError, DataPlaneError, SimulatedError
from include.azure_simulator.faults import AnswerHistory, FaultRequest, Plane
from include.azure_simulator.identity import authenticate_arm
from include.azure_simulator.links import base_url
from include.azure_simulator.operations import scripted_failure
from include.azure_simulator.rendering import render_error
from include.azure_simulator.resources import timestamp
from include.azure_simulator.traffic import Exchange
from include.azure_simulator.wire import plane_of
from include.azure_simulator.world import World

_LARGEST_ARM_BODY = 4 * 1024 * 1024
_LARGEST_BODY = {Plane.BATCH: 1024 * 1024}
"""In bytes, where it is not ARM's: the data plane documents 1 MB for a collection of tasks."""
_UNMATCHED_ROUTE = "(no route)"
_PROVIDER = re.compile(r"/providers/([^/]+)(?:/([^/]+))?", re.IGNORECASE)


class ConnectionDroppedError(ConnectionAbortedError):
    """Ends a call without an answer where no transport is at hand, as under a test client."""


class Exchanges:
    """Outermost: settles operations, gives ids and headers to every answer, logs the exchange."""

    def __init__(self, app: ASGIApp, fastapi_app: FastAPI, world: World) -> None:
        self._app = app
        self._fastapi_app = fastapi_app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path"] = re.sub("//+", "/", scope["path"])
        plane = plane_of(scope["path"])
        state = scope.setdefault("state", {})
        state.update(plane=plane, request_id=str(uuid.uuid4()), headers={}, fault=False)
        request = Request(scope)
        try:
            body = await _read(receive, _LARGEST_BODY.get(plane, _LARGEST_ARM_BODY))
        except ConnectionResetError:
            return
        app = self._app if body is not None else render_error(request, _too_large(plane))
        body = body or b""
        self._world.operations.settle()
        started = time.monotonic()
        answer = _Answer()

        is_logged = plane is Plane.CONTROL

        async def send_and_keep(message: Message) -> None:
            nonlocal is_logged
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message), request, plane)
            if not is_logged:
                answer.keep(message)
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    # Who has the whole answer finds it in the log.
                    is_logged = True
                    self._log(request, body, answer, started)
            await send(message)

        try:
            await app(scope, _replay(body, receive), send_and_keep)
        finally:
            if not is_logged:
                self._log(request, body, answer, started)

    def _log(self, request: Request, body: bytes, answer: _Answer, started: float) -> None:
        scope = request.scope
        self._world.traffic.add(
            Exchange(
                time=timestamp(datetime.now(UTC)),
                elapsed_ms=round((time.monotonic() - started) * 1000),
                method=request.method,
                url=f"{base_url(request)}{scope['path']}{'?' if request.url.query else ''}{request.url.query}",
                route=_route_template(self._fastapi_app, scope),
                request_headers=[(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]],
                request_body=body,
                status=answer.status,
                response_headers=answer.headers,
                response_body=bytes(answer.body),
                fault=scope["state"]["fault"],
            ),
            self._world.settings.log,
        )


class ScriptedFaults:
    """Does to a call what a scripted fault asks for."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world
        self._history = AnswerHistory()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["state"]["plane"] is Plane.CONTROL:
            await self._app(scope, receive, send)
            return
        fault = self._world.faults.take(scope["method"], scope["path"], scope["state"]["plane"])
        if fault is None:
            await self._recorded(scope, receive, send, stale=False)
            return
        scope["state"]["fault"] = True
        if fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
            self._world.operations.settle()
        await self._apply(fault, scope, receive, send)

    async def _apply(self, fault: FaultRequest, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.drop:
            await _drop_connection(scope)
        elif fault.lose_reply:
            await self._app(scope, receive, _swallow)
            await _drop_connection(scope)
        elif fault.status is not None:
            response = _scripted_answer(fault, Request(scope), self._world)
            await response(scope, receive, send)
        elif fault.operation_error is not None:
            token = scripted_failure.set((fault.operation_error.code, fault.operation_error.message))
            try:
                await self._app(scope, receive, send)
            finally:
                scripted_failure.reset(token)
        else:
            await self._recorded(scope, receive, send, stale=fault.stale)

    async def _recorded(self, scope: Scope, receive: Receive, send: Send, *, stale: bool) -> None:
        """Pass the call on; remember what a GET answers, or answer what it answered before."""
        if scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        answer = _Answer()

        async def keep(message: Message) -> None:
            answer.keep(message)

        await self._app(scope, receive, keep)
        url = f"{scope['path'].lower()}?{scope['query_string'].decode('latin-1')}"
        body = bytes(answer.body)
        if answer.status == 200 and stale:
            body = self._history.stale(url, body)
        elif answer.status == 200:
            self._history.record(url, body)
        headers = [
            (name.encode(), value.encode("latin-1")) for name, value in answer.headers if name != "content-length"
        ]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class ArmGate:
    """Throttles, authenticates and checks the api-version of ARM calls, in ARM's order."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["state"]["plane"] is not Plane.ARM
            or scope["path"].startswith("/metadata/")
        ):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            self._check(request)
        except ArmError as error:
            await render_error(request, error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, request: Request) -> None:
        principal = authenticate_arm(request)
        request.state.headers.update(
            self._world.throttling.check(
                self._world.settings.throttling,
                request.method,
                request.url.path,
                principal.client_id if principal else "anonymous",
            )
        )
        namespace, kind = "Microsoft.Resources", "resources"
        providers = list(_PROVIDER.finditer(request.url.path))
        if providers and providers[-1][2]:
            namespace, kind = providers[-1][1], providers[-1][2]
        check_api_version(_api_version(request), namespace, kind)


class _Answer:
    """The parts of an answer, kept while they pass."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = bytearray()

    def keep(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(name.decode().lower(), value.decode("latin-1")) for name, value in message["headers"]]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


def _api_version(request: Request) -> str | None:
    return next((value for name, value in request.query_params.items() if name.lower() == "api-version"), None)


def _scripted_answer(fault: FaultRequest, request: Request, world: World) -> Response:
    status = fault.status or 500
    headers = dict(fault.headers)
    if fault.retry_after_seconds is not None:
        headers["Retry-After"] = str(fault.retry_after_seconds)
    if status < 400:
        return Response(status_code=status, headers=headers)
    code = fault.code or _DEFAULT_CODES.get(status, "InternalServerError")
    error: SimulatedError
    if request.state.plane is Plane.BATCH:
        error = DataPlaneError(status, code, fault.message, headers=headers)
    else:
        error = ArmError(status, code, fault.message, headers=headers)
    return render_error(request, error)


_DEFAULT_CODES = {
    400: "BadRequest",
    401: "InvalidAuthenticationToken",
    403: "AuthorizationFailed",
    404: "ResourceNotFound",
    409: "Conflict",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalServerError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}
"""The code of an answer whose fault names only a status."""


def _add_headers(headers: MutableHeaders, request: Request, plane: Plane) -> None:
    request_id = request.state.request_id
    if plane is Plane.BATCH:
        headers["request-id"] = request_id
        client_id = request.headers.get("client-request-id")
        if client_id and request.headers.get("return-client-request-id", "").lower() == "true":
            headers["client-request-id"] = client_id
    elif plane is Plane.ARM:
        headers["x-ms-request-id"] = request_id
        headers["x-ms-correlation-request-id"] = request.headers.get("x-ms-correlation-request-id", request_id)
        client_id = request.headers.get("x-ms-client-request-id")
        if client_id and request.headers.get("x-ms-return-client-request-id", "").lower() == "true":
            headers["x-ms-client-request-id"] = client_id
    for name, value in request.state.headers.items():
        headers.setdefault(name, value)


async def _read(receive: Receive, largest: int) -> bytes | None:
    """The body of a request; ``None`` for one beyond ``largest`` bytes, which is read to its end but not kept.

    :raises ConnectionResetError: when the client goes before the end, so that nothing is done with half a request.
    """
    body, size = bytearray(), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client went before the end of its request")
        part = message.get("body", b"")
        size += len(part)
        if size <= largest:
            body += part
        else:
            body.clear()
        if not message.get("more_body"):
            return bytes(body) if size <= largest else None


def _too_large(plane: Plane) -> SimulatedError:
    if plane is Plane.BATCH:
        text = "The size of the request body exceeds the maximum size permitted."
        return DataPlaneError(413, "RequestBodyTooLarge", text)
    return ArmError(413, "RequestContentTooLarge", "The request content size exceeds the maximum size of 4 MB.")


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _swallow(message: Message) -> None:
    """Take an answer that nobody shall see."""


async def _drop_connection(scope: Scope) -> None:
    """Close the connection under a call.

    :raises ConnectionDroppedError: when the server gave no transport.
    """
    transport: asyncio.Transport | None = scope["state"].get("transport")
    if transport is None:
        raise ConnectionDroppedError("a scripted fault closed the connection")
    transport.abort()
    await asyncio.sleep(0)  # lets the server see the end of the connection before the call returns


def _route_template(app: FastAPI, scope: Scope) -> str:
    """The template of the route that took a call, or would have taken it."""
    route = scope.get("route") or next((r for r in app.routes if r.matches(scope)[0] is Match.FULL), None)
    return str(getattr(route, "path", _UNMATCHED_ROUTE))
