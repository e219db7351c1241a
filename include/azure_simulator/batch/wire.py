"""Bodies of requests: pydantic models whose refusals are those of the Batch service."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from include.azure_simulator.batch.errors import BatchServiceError, invalid_body, invalid_value, missing_property
from include.azure_simulator.resources import JsonObject

_DURATION = TypeAdapter(timedelta)


class WireEnum(StrEnum):
    """An enumeration of the API: read in any case, since the two planes differ in it; written as ARM writes it."""

    @classmethod
    def _missing_(cls, value: object) -> WireEnum | None:
        text = str(value).lower()
        return next((member for member in cls if member.value.lower() == text), None)


class Wire(BaseModel):
    """A body or a part of one, in ARM's names; a property that the API does not know is refused."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)

    def to_json(self) -> JsonObject:
        """The part as ARM writes it; what was never set is left out."""
        return cast(JsonObject, self.model_dump(mode="json", by_alias=True, exclude_none=True))


WireModel = TypeVar("WireModel", bound=BaseModel)


def parse(model: type[WireModel], body: Mapping[str, JsonValue]) -> WireModel:
    """Read a body.

    :raises BatchServiceError: 400 as the service answers for unknown, missing and wrong properties.
    """
    try:
        return model.model_validate(dict(body))
    except ValidationError as error:
        raise _refusal(error) from error


def duration(value: timedelta) -> str:
    """A duration in ISO 8601, as the service writes it (``PT15M``)."""
    return cast(str, _DURATION.dump_python(value, mode="json"))


def _refusal(error: ValidationError) -> BatchServiceError:
    first: Any = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function"))
    if first["type"] == "extra_forbidden":
        return invalid_body(f"The property '{path}' does not exist. Make sure to only use property names of this type.")
    if first["type"] == "missing":
        return missing_property(path)
    return invalid_value(path, first["input"], str(first["msg"]).removeprefix("Value error, "))
