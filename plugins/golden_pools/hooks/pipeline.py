"""The pipeline that every request takes: how often it is repeated, what may leave, what is logged.

The SDK's own pipeline is not used, because it does what nobody asked for: it registers resource providers in the
subscription (and sleeps for that without end), repeats any answer that has a ``Retry-After`` however long that is,
logs every request at INFO and, if told to, every body.
"""

from __future__ import annotations

import logging
import random
from typing import Any

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    AsyncRetryPolicy,
    ContentDecodePolicy,
    HeadersPolicy,
    ProxyPolicy,
    RequestIdPolicy,
    RetryPolicy,
    SansIOHTTPPolicy,
    UserAgentPolicy,
)

from golden_pools.errors import ReadOnlyError
from golden_pools.hooks.failures import is_untrusted
from golden_pools.metrics import send
from golden_pools.rules.metrics import of_request

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 30
"""A worker does not sit out a longer ``Retry-After``: the task fails as busy and Airflow waits."""

CONNECTION_SECONDS = 20
READ_SECONDS = 60


class _WhatToRepeat:
    """Repeat 408, 429 and 5xx up to three times, with ``Retry-After`` or growing, jittered pauses.

    A write with a condition (``If-Match``, ``If-None-Match``) and a POST or PATCH are repeated after 429 only, where
    Azure did nothing: after a lost answer the second request would meet the first one's traces, and what this run did
    would look like somebody else's.
    """

    def is_retry(self, settings: dict[str, Any], response: PipelineResponse) -> bool:
        status = response.http_response.status_code
        if (self.get_retry_after(response) or 0) > LONGEST_PAUSE_SECONDS or not settings["total"]:  # type: ignore[attr-defined]
            return False
        return status == 429 or (
            (status == 408 or status >= 500) and self._is_method_retryable(settings, response.http_request)
        )

    def _is_method_retryable(self, settings: dict[str, Any], request: Any, response: Any = None) -> bool:
        conditional = {"if-match", "if-none-match"} & {name.lower() for name in request.headers}
        return request.method.upper() in settings["methods"] and not conditional

    def increment(self, settings: dict[str, Any], response: Any = None, error: Exception | None = None) -> bool:
        if error is not None and is_untrusted(error):
            return False
        return bool(super().increment(settings, response=response, error=error))  # type: ignore[misc]

    def get_backoff_time(self, settings: dict[str, Any]) -> float:
        pause: float = super().get_backoff_time(settings)  # type: ignore[misc]
        return pause * random.uniform(0.5, 1.0)  # noqa: S311


class Retry(_WhatToRepeat, RetryPolicy):  # type: ignore[misc]
    """The repeats of a synchronous client."""


class AsyncRetry(_WhatToRepeat, AsyncRetryPolicy):  # type: ignore[misc]
    """The repeats of an asynchronous client."""


class ReadOnlyGuard(SansIOHTTPPolicy):  # type: ignore[misc]
    """Stops every request that is not a GET or HEAD before a connection is opened or a token fetched.

    It stands behind the repeats and before the authentication, so nothing that the pipeline adds gets around it.
    """

    def on_request(self, request: PipelineRequest) -> None:
        method = request.http_request.method.upper()
        if method not in ("GET", "HEAD"):
            raise ReadOnlyError(
                f"A plan-only run was about to send {method}",
                resource=request.http_request.url.partition("?")[0],
                advice="report the defect: a plan-only run must not get here; nothing was changed",
                code="ReadOnly",
            )


class OneLine(SansIOHTTPPolicy):  # type: ignore[misc]
    """Logs one line per answer at DEBUG: no query, no header, no body, so no secret."""

    def on_response(self, request: PipelineRequest, response: PipelineResponse) -> None:
        headers = response.http_response.headers
        log.debug(
            "%s %s -> %s (request id %s)",
            request.http_request.method,
            request.http_request.url.partition("?")[0],
            response.http_response.status_code,
            headers.get("x-ms-request-id") or headers.get("request-id"),
        )


class Counted(SansIOHTTPPolicy):  # type: ignore[misc]
    """Counts every answer, and every request without one, by service: each repeat is a request of its own."""

    def on_response(self, request: PipelineRequest, response: PipelineResponse) -> None:
        send(of_request(request.http_request.url, response.http_response.status_code))

    def on_exception(self, request: PipelineRequest) -> None:
        send(of_request(request.http_request.url, None))


def policies(*, authentication: Any, read_only: bool, asynchronous: bool, request_id_header: str) -> list[Any]:
    """Return the policies of one client, in the order in which a request passes them.

    Redirects are not followed: Azure sends none, and a token must not travel to another host.
    """
    retry = AsyncRetry if asynchronous else Retry
    return [
        RequestIdPolicy(request_id_header_name=request_id_header),
        HeadersPolicy(),
        UserAgentPolicy("golden-pools"),
        ProxyPolicy(),
        ContentDecodePolicy(),
        retry(retry_total=3, retry_backoff_max=LONGEST_PAUSE_SECONDS),
        *([ReadOnlyGuard()] if read_only else []),
        authentication,
        Counted(),
        OneLine(),
    ]
