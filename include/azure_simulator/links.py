"""Absolute links in answers, built from what the client called."""

from __future__ import annotations

from starlette.requests import Request


def scheme(request: Request) -> str:
    """``http`` or ``https`` as the client sees it: a TLS proxy in front says so in ``X-Forwarded-Proto``."""
    forwarded = request.headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    return forwarded if forwarded in ("http", "https") else request.url.scheme


def host(request: Request) -> str:
    """Host and port as the client called them."""
    return request.headers.get("host") or request.url.netloc


def base_url(request: Request) -> str:
    """Scheme, host and port as the client called them, without a trailing slash."""
    return f"{scheme(request)}://{host(request)}"
