"""The query options of lists: ``$filter``, ``$select``, ``maxresults`` and the paging links, for both planes.

The filter grammar is the part of OData that the Batch articles use: comparisons and ``startswith`` joined by ``and`` /
``or`` with parentheses; paths are ``state`` on the data plane and ``properties/allocationState`` on ARM.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from pydantic import JsonValue

from include.azure_simulator.batch.errors import invalid_query
from include.azure_simulator.resources import JsonObject

MOST_RESULTS = 1000
_DEEPEST_FILTER = 50
_MOST_DIGITS = 10
_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<moment>datetime'[^']*'|\d{4}-\d{2}-\d{2}T[\d:.]+Z?)|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z_$][\w/]*)|(?P<mark>[(),]))"
)
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
Predicate = Callable[[JsonObject], bool]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; ``next_link`` is the absolute URL of the next one."""

    items: list[JsonObject]
    next_link: str | None


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The options of a list request. ``token`` says where the page begins (from ``$skiptoken``)."""

    filter_text: str | None
    select: tuple[str, ...]
    most: int
    token: str | None

    @classmethod
    def read(cls, query: Mapping[str, str], page_size: int = MOST_RESULTS) -> ListQuery:
        """Read the query of a request.

        :param page_size: how many items are on a page when the caller does not say.
        :raises BatchServiceError: 400 for a number that is none or out of range.
        """
        most = _number(query, "maxresults", page_size)
        if not 1 <= most <= MOST_RESULTS:
            raise invalid_query("maxresults", str(most), f"The value must be between 1 and {MOST_RESULTS}.")
        select = tuple(name.strip() for name in query.get("$select", "").split(",") if name.strip())
        return cls(query.get("$filter") or None, select, most, query.get("$skiptoken"))

    def page(
        self, items: Iterable[JsonObject], url: str, query: Mapping[str, str], *, order_by: str | None = None
    ) -> Page:
        """The page of ``items`` that was asked for.

        :param url: absolute URL of the list, without its query.
        :param query: the query of this request, from which the next link is made.
        :param order_by: the property that orders the items, so that what goes between two pages moves nothing else out
            of them; without it they keep their order.
        :raises BatchServiceError: 400 for a filter or a token that cannot be read.
        """
        matching = items if self.filter_text is None else filter(parse_filter(self.filter_text), items)
        rows = list(matching)
        if order_by is None:
            start = _number(query, "$skiptoken", 0)
        else:
            rows.sort(key=lambda row: _key(row, order_by))
            start = sum(_key(row, order_by) <= self.token for row in rows) if self.token is not None else 0
        end = start + self.most
        link = None
        if end < len(rows):
            token = str(end) if order_by is None else _key(rows[end - 1], order_by)
            link = f"{url}?{urlencode({**query, '$skiptoken': token})}"
        return Page([self.project(row) for row in rows[start:end]], link)

    def project(self, item: JsonObject) -> JsonObject:
        """The selected properties of an item; all of them without ``$select``.

        ARM selects below ``properties`` only: what makes a resource a resource is always there.
        """
        if not self.select:
            return item
        out: JsonObject = {
            name: item[name] for name in ("id", "name", "type", "etag") if name in item and "properties" in item
        }
        for path in self.select:
            _copy(item, out, path.split("/"))
        return out


def parse_filter(text: str) -> Predicate:
    """Read a filter.

    :raises BatchServiceError: 400 ``InvalidQueryParameterValue`` for what is not understood.
    """
    parser = _Parser(text)
    predicate = parser.disjunction()
    parser.end()
    return predicate


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._at = 0
        self._depth = 0

    def disjunction(self) -> Predicate:
        parts = [self._conjunction()]
        while self._take_word("or"):
            parts.append(self._conjunction())
        return lambda item: any(part(item) for part in parts)

    def end(self) -> None:
        if self._at != len(self._tokens):
            raise self._wrong(f"'{self._tokens[self._at][1]}' was not expected.")

    def _conjunction(self) -> Predicate:
        parts = [self._term()]
        while self._take_word("and"):
            parts.append(self._term())
        return lambda item: all(part(item) for part in parts)

    def _term(self) -> Predicate:
        if self._take("mark", "("):
            self._depth += 1
            if self._depth > _DEEPEST_FILTER:
                raise self._wrong("The filter is nested too deeply.")
            inner = self.disjunction()
            self._expect("mark", ")")
            self._depth -= 1
            return inner
        if self._take_word("startswith"):
            self._expect("mark", "(")
            path = self._path()
            self._expect("mark", ",")
            prefix = str(self._literal())
            self._expect("mark", ")")
            return lambda item: str(_get(item, path) or "").startswith(prefix)
        path = self._path()
        name = self._next("word")
        if name not in _COMPARE:
            raise self._wrong(f"'{name}' is not an operator.")
        compare, literal = _COMPARE[name], self._literal()
        return lambda item: _holds(compare, _get(item, path), literal)

    def _path(self) -> list[str]:
        return self._next("word").split("/")

    def _literal(self) -> str | float | bool | datetime | None:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "the end")
        self._at += 1
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text)
        if kind == "moment":
            return self._moment(text.removeprefix("datetime").strip("'"))
        if kind == "word" and text in ("true", "false", "null"):
            return None if text == "null" else text == "true"
        raise self._wrong(f"'{text}' is not a literal.")

    def _moment(self, text: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise self._wrong(f"'{text}' is not a time.") from error
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

    def _split(self, text: str) -> list[tuple[str, str]]:
        tokens, position = [], 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise self._wrong(f"'{text[position:]}' was not understood.")
            tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()
        return tokens

    def _next(self, kind: str) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != kind:
            raise self._wrong("The filter ends too early or has something in the wrong place.")
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _take(self, kind: str, text: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == (kind, text):
            self._at += 1
            return True
        return False

    def _take_word(self, word: str) -> bool:
        return self._take("word", word)

    def _expect(self, kind: str, text: str) -> None:
        if not self._take(kind, text):
            raise self._wrong(f"'{text}' was expected.")

    def _wrong(self, reason: str) -> Exception:
        return invalid_query("$filter", self._text, reason)


def _holds(compare: Callable[[Any, Any], Any], value: JsonValue, literal: object) -> bool:
    left: object = value
    if isinstance(value, dict | list):
        return compare is operator.ne  # nothing to compare with a literal
    if isinstance(literal, datetime):
        left = _moment_or_none(value)
    if left is None or literal is None:
        return bool(compare(left, literal)) if compare in (operator.eq, operator.ne) else False
    if isinstance(left, bool) != isinstance(literal, bool) or isinstance(left, str) != isinstance(literal, str):
        return compare is operator.ne
    return bool(compare(left, literal))


def _moment_or_none(value: object) -> datetime | None:
    """A time of an item; what is none equals no time."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _key(item: JsonObject, name: str) -> str:
    return str(item.get(name, "")).lower()


def _get(item: JsonObject, path: Sequence[str]) -> JsonValue:
    value: JsonValue = item
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _copy(source: JsonObject, target: JsonObject, path: list[str]) -> None:
    name, rest = path[0], path[1:]
    if name not in source:
        return
    value = source[name]
    if not rest or not isinstance(value, dict):
        target[name] = value
        return
    inner = target.setdefault(name, {})
    if isinstance(inner, dict):
        _copy(value, inner, rest)


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS):
        raise invalid_query(name, text, "A whole number is expected.")
    return int(text)
