"""Running the application under uvicorn."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from include.azure_simulator.tls import TlsFiles


class DroppableProtocol(H11Protocol):
    """Gives every call its transport, so that a scripted fault can close the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the transport where the calls of this connection find it."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    :raises OSError: when the address cannot be bound.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)  # noqa: FBT003 - the socket module takes it by position only
    return listener


def server_for(app: FastAPI, tls: TlsFiles | None = None) -> uvicorn.Server:
    """A server that ends at once when it is told to. A forwarded scheme is read by the application, not by uvicorn."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=DroppableProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_level="warning",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
            ssl_certfile=_path(tls.certificate if tls else None),
            ssl_keyfile=_path(tls.key if tls else None),
        )
    )


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
