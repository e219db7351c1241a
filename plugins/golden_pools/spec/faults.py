"""The model's objections to a spec, each as one line that says what was found, what is allowed and what was meant."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from golden_pools.spec.document import Document, Location, Remark, quoted
from golden_pools.spec.schema import allowed, field_names, fields, schema_at
from golden_pools.spec.suggest import did_you_mean
from golden_pools.words import shortened


def model_faults(error: ValidationError, document: Document | None = None, *, within: Location = ()) -> list[Remark]:
    """Return one fault per field that the model refused.

    :param document: the file that was read, which knows the lines; None for values that come from no file
    :param within: the part that was validated, where it was not the whole spec
    """
    faults: dict[Location, Remark] = {}
    for details in error.errors(include_url=False):
        location = _field(within + details["loc"], document)
        # The branches of `auto or a number` object one by one, to the same field: one line is enough.
        faults.setdefault(location, _fault(location, details, document))
    return list(faults.values())


def _field(location: Location, document: Document | None) -> Location:
    """Cut off what pydantic adds behind the field: the branch of a union that objects."""
    for length in range(len(location), 0, -1):
        field = location[:length]
        if schema_at(field) is not None or (document is not None and document.has(field)):
            return field
    return location[:1] if document is None else ()


def _fault(location: Location, details: ErrorDetails, document: Document | None) -> Remark:
    line = document.line(location) if document else 0
    if details["type"] == "extra_forbidden":
        return Remark(location, f"found an unknown field; {_known_fields(location)}", line)
    found = _found(location, details, document)
    if details["type"] == "value_error":
        return Remark(location, f"found {found}; allowed: {details['ctx']['error']}", line)
    near = did_you_mean(str(details["input"]), _words(location)) if isinstance(details["input"], str) else ""
    return Remark(location, f"found {found}; allowed: {allowed(location)}{near}", line)


def _found(location: Location, details: ErrorDetails, document: Document | None) -> str:
    if document is not None:
        return document.found(location, wants_text=details["type"] == "string_type")
    value = details["input"]
    return quoted(value) if isinstance(value, str) else shortened(str(value))


def _known_fields(location: Location) -> str:
    names, wrong = field_names(location[:-1]), str(location[-1])
    if near := did_you_mean(wrong, names):
        return f"allowed: {', '.join(names)}{near}"
    elsewhere = [field.name for field in fields() if field.name.endswith(f".{wrong}")]
    meant = f"; did you mean {' or '.join(repr(name) for name in elsewhere)}?" if elsewhere else ""
    return f"allowed: {', '.join(names)}{meant}"


def _words(location: Location) -> list[str]:
    """Return the words that a field may have, if it is one of a few words."""
    schema = schema_at(location) or {}
    options = schema.get("anyOf", [schema])
    return [word for option in options for word in option.get("enum", [option.get("const")]) if word]
