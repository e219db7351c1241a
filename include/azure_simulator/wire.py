"""Reading requests and writing answers, for the routes of both planes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi.routing import APIRoute
from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from include.azure_simulator.errors import ArmError
from include.azure_simulator.faults import Plane
from include.azure_simulator.resources import JsonObject
from include.azure_simulator.tags import check_tags

BodyT = TypeVar("BodyT", bound=BaseModel)

_ARM_ROOTS = ("/subscriptions", "/providers", "/tenants", "/metadata")
_DEEPEST_JSON = 64
"""Levels of a JSON body; the services' own readers stop there too."""
_TOO_DEEP = f"The reader's maximum depth of {_DEEPEST_JSON} has been exceeded"
_LOGIN = re.compile(r"/oauth2(/v2\.0)?/token$|/\.well-known/openid-configuration$|/discovery/", re.IGNORECASE)


def plane_of(path: str) -> Plane:
    """Which service a path belongs to; everything that is nobody else's is the Batch data plane."""
    if path.startswith("/_simulator"):
        return Plane.CONTROL
    lowered = path.lower()
    if any(lowered == root or lowered.startswith(f"{root}/") for root in _ARM_ROOTS):
        return Plane.ARM
    return Plane.LOGIN if _LOGIN.search(path) else Plane.BATCH


class CaseInsensitiveRoute(APIRoute):
    """A route whose fixed segments match in any case, as ARM's do."""

    def __init__(self, path: str, endpoint: Any, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)


def decode_json(content: bytes) -> JsonValue:
    """The value of a JSON body.

    :raises ValueError: for what is not JSON in UTF-8: NaN and infinite numbers, half characters and bodies of more than
        64 levels are none either.
    """
    try:
        value: JsonValue = json.loads(content.decode("utf-8-sig"))
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if _is_deeper(value, _DEEPEST_JSON):
        raise ValueError(_TOO_DEEP)
    return value


async def read_object(request: Request) -> JsonObject:
    """The JSON object in the body of an ARM request; an empty body is an empty object.

    :raises ArmError: 400 ``InvalidRequestContent`` when the body is not a JSON object.
    """
    content = await request.body()
    if not content.strip():
        return {}
    try:
        value = decode_json(content)
    except ValueError as error:
        raise _invalid_content(str(error)) from error
    if not isinstance(value, dict):
        raise _invalid_content(
            f"Error converting value to an object of type 'ResourceDefinition': {type(value).__name__}"
        )
    return value


def parse_body(model: type[BodyT], body: Mapping[str, JsonValue]) -> BodyT:
    """The body of an ARM request as a model.

    :raises ArmError: 400 with the codes that ARM gives for tags, and Compute for unknown, missing and wrong properties.
    """
    if isinstance(tags := body.get("tags"), dict):
        check_tags(tags)
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _invalid_body(model, error.errors(include_url=False)[0]) from error


def json_response(body: JsonValue, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a JSON body."""
    return JSONResponse(
        body, status_code=status, headers=dict(headers or {}), media_type="application/json; charset=utf-8"
    )


def empty_response(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An answer without a body."""
    return Response(status_code=status, headers=dict(headers or {}))


def _is_deeper(value: JsonValue, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in inner)


def _invalid_content(problem: str) -> ArmError:
    return ArmError(
        400,
        "InvalidRequestContent",
        f"The request content was invalid and could not be deserialized: '{problem}'.",
    )


def _invalid_body(model: type[BaseModel], detail: ErrorDetails) -> ArmError:
    path = ".".join(str(part) for part in detail["loc"])
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    if detail["type"] == "extra_forbidden":
        message = f"Could not find member '{name}' on object of type '{model.__name__}'. Path '{path}'."
        return (
            _invalid_content(message) if len(detail["loc"]) == 1 else ArmError(400, "BadRequest", message, target=path)
        )
    if path == "location" and detail["type"] == "missing":
        return ArmError(400, "LocationRequired", "The location property is required for this definition.")
    if detail["type"] == "missing":
        message = f"Required parameter '{path.removeprefix('properties.')}' is missing (null)."
        return ArmError(400, "InvalidParameter", message, target=path)
    problem = detail["msg"].removeprefix("Value error, ")
    return ArmError(400, "InvalidParameter", f"The value of parameter {path} is invalid: {problem}.", target=path)
