"""The JSON schema of the pool spec, for editors, and what it allows where, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from golden_pools.spec.document import Location
from golden_pools.spec.model import PoolSpec
from golden_pools.spec.names import PATTERN_IN_WORDS

Schema = dict[str, Any]


class Field(NamedTuple):
    """One field of the spec, for people; ``name`` is dotted."""

    name: str
    allowed: str
    default: str
    description: str


@cache
def pool_spec_schema() -> Schema:
    """Return the JSON schema (draft 2020-12) of a spec file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **PoolSpec.model_json_schema(),
        "title": "Pool spec",
    }


def schema_text() -> str:
    """Return the JSON schema as the text of its file."""
    return json.dumps(pool_spec_schema(), indent=2)


def schema_at(location: Location) -> Schema | None:
    """Return the schema of the field at ``location``, or None where the spec has no such field."""
    schema: Schema | None = pool_spec_schema()
    for segment in location:
        schema = schema and _step(schema, segment)
    return schema and _resolved(schema)


def field_names(location: Location) -> tuple[str, ...]:
    """Return the names of the fields of the part at ``location``."""
    schema = schema_at(location)
    return tuple(schema.get("properties", ())) if schema else ()


def allowed(location: Location) -> str:
    """Say what may stand at ``location``."""
    schema = schema_at(location)
    return _in_words(schema) if schema else "nothing"


def fields() -> Iterator[Field]:
    """Yield every field of the spec, each part before its fields, in the order of the model."""
    yield from _fields(pool_spec_schema(), "")


def _fields(part: Schema, prefix: str) -> Iterator[Field]:
    for name, schema in part["properties"].items():
        description = _resolved(schema)["description"]
        for option in _options(schema):
            inner, suffix = (_resolved(option["items"]), "[]") if option.get("type") == "array" else (option, "")
            if "properties" in inner:
                allowed_here = "a list of mappings, fields below" if suffix else "a mapping, fields below"
                yield Field(prefix + name, allowed_here, _default(part, name), description)
                yield from _fields(inner, f"{prefix}{name}{suffix}.")
                break
        else:
            yield Field(prefix + name, _in_words(schema), _default(part, name), description)


def _default(part: Schema, name: str) -> str:
    if name in part.get("required", ()):
        return "required"
    default = part["properties"][name].get("default")
    if isinstance(default, dict) and default:
        return "as below"
    if default is None or default in ([], {}):
        return "none"
    if isinstance(default, list):
        return ", ".join(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def _resolved(schema: Schema) -> Schema:
    """Follow a reference to a definition; what stands beside the reference wins."""
    if "$ref" not in schema:
        return schema
    return {**pool_spec_schema()["$defs"][schema["$ref"].rpartition("/")[2]], **schema}


def _options(schema: Schema) -> list[Schema]:
    """Return the alternatives of a field, without ``null``."""
    schema = _resolved(schema)
    options = [_resolved(option) for option in schema.get("anyOf", [schema])]
    return [option for option in options if option.get("type") != "null"]


def _step(schema: Schema, segment: str | int) -> Schema | None:
    for option in _options(schema):
        if isinstance(segment, int) and "items" in option:
            return _resolved(option["items"])
        if segment in option.get("properties", {}):
            return _resolved(option["properties"][segment])
        if isinstance(option.get("additionalProperties"), dict):
            return _resolved(option["additionalProperties"])
    return None


def _in_words(schema: Schema) -> str:
    return ", or ".join(_option_in_words(option) for option in _options(schema))


def _option_in_words(option: Schema) -> str:
    if "const" in option:
        return str(option["const"])
    if "enum" in option:
        return " or ".join(option["enum"])
    match option["type"]:
        case "integer":
            return _range_in_words("a whole number", option)
        case "number":
            return _range_in_words("a number", option)
        case "boolean":
            return "true or false"
        case "array":
            return f"a list, each item {_in_words(option['items'])}"
        case "object" if "properties" in option:
            return f"a mapping with {', '.join(option['properties'])}"
        case "object":
            return f"a mapping of text to {_in_words(option['additionalProperties'])}"
        case _ if "pattern" in option:
            return PATTERN_IN_WORDS[option["pattern"]]
        case _:
            text = "text, not empty" if option.get("minLength") else "text"
            return f"{text}, such as {option['examples'][0]}" if "examples" in option else text


def _range_in_words(kind: str, option: Schema) -> str:
    if "exclusiveMinimum" in option:
        return f"{kind} above {option['exclusiveMinimum']:g}, up to {option['maximum']:g}"
    return f"{kind} from {option['minimum']:,} to {option['maximum']:,}"
