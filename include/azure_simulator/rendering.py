"""Errors as answers, in the shape of the plane that was called."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from include.azure_simulator.errors import DATA_PLANE_CONTENT_TYPE, ArmError, DataPlaneError, SimulatedError
from include.azure_simulator.faults import Plane
from include.azure_simulator.links import base_url
from include.azure_simulator.wire import json_response

_NAMESPACES = ("microsoft.compute", "microsoft.network", "microsoft.storage", "microsoft.batch", "microsoft.resources")


def render_error(request: Request, error: SimulatedError) -> Response:
    """The answer for an error."""
    if isinstance(error, DataPlaneError):
        now = request.app.state.world.clock.now()
        body = error.body(base_url=base_url(request), request_id=request.state.request_id, now=now)
        return JSONResponse(body, status_code=error.status, headers=error.headers, media_type=DATA_PLANE_CONTENT_TYPE)
    assert isinstance(error, ArmError)
    return json_response(error.body(), status=error.status, headers=error.headers)


def no_route(request: Request, status: int) -> SimulatedError:
    """The error of a path or a method that nothing answers.

    :param status: 404 or 405.
    """
    path = request.url.path
    if request.state.plane is Plane.BATCH:
        code = "UnsupportedHttpVerb" if status == 405 else "InvalidUri"
        text = "The requested URI does not represent any resource on the server."
        return DataPlaneError(405 if status == 405 else 400, code, text)
    if status == 405:
        return ArmError(405, "MethodNotAllowed", f"The http method '{request.method}' is not supported for '{path}'.")
    segments = path.strip("/").split("/")
    lowered = [segment.lower() for segment in segments]
    if "providers" not in lowered:
        return ArmError(404, "NotFound", f"The path '{path}' was not found.")
    rest = segments[len(lowered) - 1 - lowered[::-1].index("providers") + 1 :]
    namespace = rest[0] if rest else ""
    if namespace.lower() not in _NAMESPACES:
        return ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
    kind = "/".join(rest[1::2])
    version = request.query_params.get("api-version", "")
    text = f"The resource type '{kind}' could not be found in the namespace '{namespace}' for api version '{version}'."
    return ArmError(404, "InvalidResourceType", text)
