"""The request log and the counters."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from include.azure_simulator.resources import JsonObject
from include.azure_simulator.settings import LogSettings

_MASK = "***"
_SECRET_HEADERS = frozenset({"authorization", "x-ms-authorization-auxiliary", "cookie", "set-cookie"})
_SECRET_FIELDS = frozenset({"client_secret", "client_assertion", "password", "refresh_token"})
_SECRET_JSON = re.compile(
    r'("(?:access_token|refresh_token|id_token|primary|secondary|accessSAS|adminPassword|accountKey|sasKey|'
    r'customData|protectedSettings|password)"\s*:\s*)"(?:[^"\\]|\\.)*"'
)


class Exchange(NamedTuple):
    """One request with its answer. ``status`` 0 says that the connection was closed without an answer."""

    time: str
    elapsed_ms: int
    method: str
    url: str
    route: str
    request_headers: list[tuple[str, str]]
    request_body: bytes
    status: int
    response_headers: list[tuple[str, str]]
    response_body: bytes
    fault: bool


class TrafficLog:
    """A bounded log of exchanges as JSON lines, secrets masked, and counters by method and route."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._size = 0
        self._dropped = 0
        self._counts: Counter[tuple[str, str, int]] = Counter()

    def add(self, exchange: Exchange, settings: LogSettings) -> None:
        """Log and count one exchange; the oldest lines go when the log is full."""
        self._counts[(exchange.method, exchange.route, exchange.status)] += 1
        line = json.dumps(_entry(exchange, settings), separators=(",", ":"))
        self._lines.append(line)
        self._size += len(line)
        while self._size > settings.max_bytes and len(self._lines) > 1:
            self._size -= len(self._lines.popleft())
            self._dropped += 1

    def lines(self) -> Iterator[str]:
        """The log as JSON lines, oldest first."""
        return (f"{line}\n" for line in tuple(self._lines))

    def clear(self) -> None:
        """Forget the log."""
        self._lines.clear()
        self._size = self._dropped = 0

    def clear_counters(self) -> None:
        """Set all counters to zero."""
        self._counts.clear()

    def counters(self) -> JsonObject:
        """How many calls each method and route template had, and with which statuses."""
        routes: dict[tuple[str, str], dict[str, int]] = {}
        for (method, route, status), count in sorted(self._counts.items()):
            routes.setdefault((method, route), {})[str(status)] = count
        return {
            "total": self._counts.total(),
            "log_lines": len(self._lines),
            "log_lines_dropped": self._dropped,
            "routes": [
                {"method": method, "route": route, "count": sum(statuses.values()), "statuses": {**statuses}}
                for (method, route), statuses in routes.items()
            ],
        }


def _entry(exchange: Exchange, settings: LogSettings) -> JsonObject:
    entry: JsonObject = {
        "time": exchange.time,
        "elapsed_ms": exchange.elapsed_ms,
        "method": exchange.method,
        "url": exchange.url,
        "route": exchange.route,
        "request_headers": {**_masked_headers(exchange.request_headers)},
        "status": exchange.status,
        "response_headers": {**_masked_headers(exchange.response_headers)},
        "fault": exchange.fault,
    }
    is_form = exchange.route.endswith("/token")
    _put_body(entry, "request_body", exchange.request_body, settings, is_form=is_form)
    _put_body(entry, "response_body", exchange.response_body, settings)
    return entry


def _masked_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: _MASK if name.lower() in _SECRET_HEADERS else value for name, value in headers}


def _put_body(entry: JsonObject, key: str, body: bytes, settings: LogSettings, *, is_form: bool = False) -> None:
    if not body:
        entry[key] = None
        return
    try:
        text = body.decode()
    except UnicodeDecodeError:
        entry[key], entry[f"{key}_b64"] = base64.b64encode(body).decode()[: settings.max_body_chars], True
        return
    text = _masked_form(text) if is_form else _SECRET_JSON.sub(rf'\1"{_MASK}"', text)
    entry[key] = text[: settings.max_body_chars]
    if len(text) > settings.max_body_chars:
        entry[f"{key}_cut"] = True


def _masked_form(text: str) -> str:
    fields = parse_qsl(text, keep_blank_values=True)
    return urlencode([(name, _MASK if name in _SECRET_FIELDS else value) for name, value in fields])
