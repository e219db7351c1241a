"""The two error shapes of Azure's wire: ARM and the Batch data plane.

| exception        | rendered as                                                       |
|------------------|-------------------------------------------------------------------|
| `ArmError`       | ``{"error": {"code", "message", "target", "details"}}``           |
| `DataPlaneError` | ``{"odata.metadata", "code", "message": {"lang", "value"}, "values"}`` |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import JsonValue

from include.azure_simulator.resources import JsonObject, timestamp

DATA_PLANE_CONTENT_TYPE = "application/json; odata=minimalmetadata"


class SimulatedError(Exception):
    """What Azure refuses: an HTTP status with Azure's code and message.

    :param status: HTTP status of the answer.
    :param code: Azure's error code.
    :param message: Azure's message.
    :param headers: further response headers, such as ``Retry-After``.
    """

    def __init__(self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


class ArmError(SimulatedError):
    """An answer of Azure Resource Manager or of a resource provider behind it.

    :param target: the property or resource that the error is about.
    :param details: pairs of code and message.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        details: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message, headers=headers)
        self.target = target
        self.details = tuple(details)

    def body(self) -> JsonObject:
        """The JSON body of the answer."""
        return {"error": arm_error_object(self.code, self.message, self.target, self.details)}


def arm_error_object(
    code: str, message: str, target: str | None = None, details: Sequence[tuple[str, str]] = ()
) -> JsonObject:
    """The inner object of an ARM error, which also stands in the body of a failed operation."""
    error: JsonObject = {"code": code, "message": message}
    if target is not None:
        error["target"] = target
    if details:
        error["details"] = [{"code": detail_code, "message": text} for detail_code, text in details]
    return error


class DataPlaneError(SimulatedError):
    """An answer of the Batch service itself.

    :param values: pairs of key and value that explain the error, such as ``("PropertyName", "resizeTimeout")``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        values: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message, headers=headers)
        self.values = tuple(values)

    def body(self, *, base_url: str, request_id: str, now: datetime) -> JsonObject:
        """The JSON body of the answer; the service closes every message with the request id and the time."""
        body: JsonObject = {
            "odata.metadata": f"{base_url}/$metadata#Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element",
            "code": self.code,
            "message": {
                "lang": "en-US",
                "value": f"{self.message}\nRequestId:{request_id}\nTime:{timestamp(now)}",
            },
        }
        if self.values:
            values: list[JsonValue] = [{"key": key, "value": value} for key, value in self.values]
            body["values"] = values
        return body
