"""Resource ids, regions, timestamps and ETags as Azure writes them."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from pydantic import JsonValue

JsonObject: TypeAlias = dict[str, JsonValue]

_ID = re.compile(
    r"^/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/(?P<namespace>[^/]+)(?P<rest>(?:/[^/]+/[^/]+)+)/?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ResourceId:
    """The id of a resource in a resource group; compare ids by :attr:`key`, since Azure ignores case.

    ``types`` and ``names`` have the same length: ``("galleries", "images")`` and ``("g", "d")``.
    """

    subscription: str
    group: str
    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> ResourceId:
        """Read an id.

        :raises ValueError: when the text is not the id of a resource in a resource group.
        """
        match = _ID.match(text)
        if match is None:
            raise ValueError(f"not a resource id: {text!r}")
        rest = match["rest"].strip("/").split("/")
        return cls(match["subscription"], match["group"], match["namespace"], tuple(rest[0::2]), tuple(rest[1::2]))

    @property
    def name(self) -> str:
        """The last name."""
        return self.names[-1]

    @property
    def type(self) -> str:
        """The full type, such as ``Microsoft.Compute/galleries/images``."""
        return "/".join((self.namespace, *self.types))

    @property
    def key(self) -> str:
        """The id in lower case, for comparisons and look-ups."""
        return str(self).lower()

    @property
    def parent(self) -> ResourceId:
        """The id one level up.

        :raises ValueError: for a top-level resource.
        """
        if len(self.types) == 1:
            raise ValueError(f"{self} has no parent resource")
        return ResourceId(self.subscription, self.group, self.namespace, self.types[:-1], self.names[:-1])

    def child(self, kind: str, name: str) -> ResourceId:
        """The id of a child resource."""
        return ResourceId(self.subscription, self.group, self.namespace, (*self.types, kind), (*self.names, name))

    def is_type(self, full_type: str) -> bool:
        """Whether this is an id of ``full_type``, ignoring case."""
        return self.type.lower() == full_type.lower()

    def __str__(self) -> str:
        pairs = "".join(f"/{kind}/{name}" for kind, name in zip(self.types, self.names, strict=True))
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{self.namespace}{pairs}"


def normalise_region(name: str) -> str:
    """``West Europe`` and ``westeurope`` are the same region."""
    return name.replace(" ", "").lower()


def merged(base: JsonObject, change: JsonObject) -> JsonObject:
    """A tree with some of its leaves replaced; lists are leaves."""
    result: JsonObject = dict(base)
    for key, value in change.items():
        old = result.get(key)
        new: JsonValue = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        result[key] = new
    return result


def timestamp(moment: datetime) -> str:
    """A moment as Azure writes it: UTC with microseconds and ``Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_etag() -> str:
    """A fresh weak ETag."""
    return f'W/"0x{uuid.uuid4().hex[:15].upper()}"'
