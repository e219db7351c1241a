"""A transport that answers from a script and remembers what would have left the machine."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import AsyncHttpTransport, HttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest, HttpResponse
from azure.core.utils import case_insensitive_dict

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"


@dataclass
class Answer:
    """One scripted answer; ``error`` is raised instead, as a lost connection."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    error: Exception | None = None


class _Response:
    # Class attributes stand in for the abstract properties.
    request: Any = None
    status_code: Any = None
    headers: Any = None
    reason: Any = None
    content_type: Any = None
    url: Any = None
    content: Any = None
    encoding: Any = "utf-8"
    is_closed: Any = True
    is_stream_consumed: Any = True

    def __init__(self, request: HttpRequest, answer: Answer) -> None:
        self.request = request
        self.status_code = answer.status
        self.reason = f"status {answer.status}"
        self.url = request.url
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        self.content = b"" if answer.body is None else text.encode()
        self.content_type = "text/html" if isinstance(answer.body, str) else "application/json"
        self.headers = case_insensitive_dict({"Content-Type": self.content_type, **answer.headers})

    def text(self, encoding: str | None = None) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)

    def raise_for_status(self) -> None:
        raise NotImplementedError


class FakeResponse(_Response, HttpResponse):
    def __enter__(self) -> FakeResponse:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def close(self) -> None:
        pass

    def read(self) -> bytes:
        return self.content

    def iter_raw(self, **kwargs: Any) -> Iterator[bytes]:
        yield self.content

    iter_bytes = iter_raw


class FakeAsyncResponse(_Response, AsyncHttpResponse):
    async def __aexit__(self, *args: object) -> None:
        pass

    async def close(self) -> None:
        pass

    async def read(self) -> bytes:
        return self.content

    async def iter_raw(self, **kwargs: Any) -> AsyncIterator[bytes]:
        yield self.content

    iter_bytes = iter_raw


class Wire:
    """The scripted other end, shared by every transport made from it.

    ``answers`` are given in order, the last one for ever; ``pauses`` are the sleeps that the pipeline asked for.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = [Answer()]
        self.requests: list[HttpRequest] = []
        self.pauses: list[float] = []
        self.closed = 0

    def script(self, *answers: Answer) -> None:
        self.answers = list(answers)

    def body(self, index: int = -1) -> Any:
        """Return the JSON body of a request."""
        content = self.requests[index].content
        return json.loads(content) if content else None

    def _next(self, request: HttpRequest) -> Answer:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.error:
            raise answer.error
        return answer

    def transport(self) -> HttpTransport:
        return _Transport(self)

    def async_transport(self) -> AsyncHttpTransport:
        return _AsyncTransport(self)


class _Transport(HttpTransport):
    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def send(self, request: HttpRequest, **kwargs: Any) -> FakeResponse:
        return FakeResponse(request, self.wire._next(request))

    def sleep(self, duration: float) -> None:
        self.wire.pauses.append(duration)

    def open(self) -> None:
        pass

    def close(self) -> None:
        self.wire.closed += 1

    def __enter__(self) -> _Transport:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()


class _AsyncTransport(AsyncHttpTransport):
    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    async def send(self, request: HttpRequest, **kwargs: Any) -> FakeAsyncResponse:
        return FakeAsyncResponse(request, self.wire._next(request))

    async def sleep(self, duration: float) -> None:
        self.wire.pauses.append(duration)

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        self.wire.closed += 1

    async def __aenter__(self) -> _AsyncTransport:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.close()


class FakeCredential:
    """Hands out a token named after the scope, and remembers."""

    def __init__(self) -> None:
        self.scopes: list[str] = []
        self.closed = False

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        self.scopes += scopes
        return AccessToken(f"token for {scopes[0]}", int(time.time()) + 3600)

    def close(self) -> None:
        self.closed = True


class FakeAsyncCredential(FakeCredential):
    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # type: ignore[override]
        return super().get_token(*scopes)

    async def close(self) -> None:  # type: ignore[override]
        self.closed = True
