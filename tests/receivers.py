"""Those who are told, on this machine: a web hook and a mail server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class WebHook:
    """A web hook that keeps what it is sent.

    :param status: what it answers; one of the 500s means that it is out of order
    """

    port: int = 0
    status: int = 200
    received: list[dict[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Its address as Apprise writes it, with a password that must not show anywhere."""
        return f"json://hook:{PASSWORD}@127.0.0.1:{self.port}/pools"

    @property
    def titles(self) -> list[str]:
        return [str(one["title"]) for one in self.received]


PASSWORD = "open-sesame-4711"


@contextmanager
def web_hook() -> Iterator[WebHook]:
    """Serve a web hook on a free port."""
    hook = WebHook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if hook.status == 200:
                hook.received.append(json.loads(body))
            self.send_response(hook.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.port = server.server_port
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class MailBox:
    """A mail server that keeps what it is sent."""

    port: int = 0
    received: list[Message] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Its address as Apprise writes it."""
        return f"mailto://127.0.0.1:{self.port}/?from=airflow@example.com&to=team@example.com&mode=insecure"

    def bodies(self, number: int = -1) -> dict[str, str]:
        """Return the parts of a message by their type."""
        parts = (part for part in self.received[number].walk() if not part.is_multipart())
        return {part.get_content_type(): bytes(part.get_payload(decode=True)).decode() for part in parts}  # type: ignore[arg-type]


@contextmanager
def mail_box() -> Iterator[MailBox]:
    """Serve a mail server on a free port."""
    box = MailBox()

    class Keeper:
        async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
            box.received.append(message_from_bytes(envelope.content or b""))  # type: ignore[arg-type]
            return "250 OK"

    with socket() as free:
        free.bind(("127.0.0.1", 0))
        box.port = free.getsockname()[1]
    controller = Controller(Keeper(), hostname="127.0.0.1", port=box.port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
