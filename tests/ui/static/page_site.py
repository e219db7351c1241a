"""A small server for the page alone: its files, canned answers, Airflow's shell with its frame, and Airflow's API."""

from __future__ import annotations

import json
import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from golden_pools.ui.app import HEADERS, STATIC

PAGE = "/golden-pools/page"
FRAME = "/plugin/golden-pools"

SHELL = """<!doctype html><html lang="en" class="{theme}"><title>Airflow</title>
<script>addEventListener("popstate", event => {{ window.popped = event.state; }})</script>
<iframe title="Golden pools" sandbox="allow-scripts allow-same-origin allow-forms allow-downloads"
 src="/golden-pools/page" style="width: 100%; height: 700px; border: 0"></iframe></html>"""
"""What Airflow 3.3.2 shows the page in, as far as the page can tell."""


@dataclass
class Site:
    """The server as a test sees it.

    :param answers: by path below ``/golden-pools/api/``: what is answered, or a status that is an error
    :param airflow: by method and path: status and body of an answer of Airflow's own API
    :param asked: method, path and body of each request
    """

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    airflow: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    theme: str = "light"
    prefix: str = ""
    down: bool = False

    def polls(self, path: str = "overview") -> int:
        """How often the page has asked for something."""
        return sum(asked == f"{self.prefix}/golden-pools/api/{path}" for _, asked, _ in self.asked)

    def sent(self) -> list[tuple[str, str, Any]]:
        """What was written to Airflow."""
        return [request for request in self.asked if request[0] != "GET"]

    def answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        """Return status, type and body of an answer."""
        path = path.removeprefix(self.prefix)
        if (method, path) in self.airflow:
            status, body = self.airflow[method, path]
            return status, "application/json", json.dumps(body).encode()
        if path.startswith(FRAME):
            return HTTPStatus.OK, "text/html", SHELL.format(theme=self.theme).encode()
        if path == PAGE:
            return HTTPStatus.OK, "text/html", (STATIC / "page.html").read_bytes()
        if path.startswith("/golden-pools/static/"):
            file = STATIC / Path(path).name
            return HTTPStatus.OK, mimetypes.guess_type(file)[0] or "", file.read_bytes()
        found = self.answers.get(path.removeprefix("/golden-pools/api/"), HTTPStatus.NOT_FOUND)
        if isinstance(found, int):
            return found, "application/json", json.dumps({"detail": HTTPStatus(found).phrase}).encode()
        return HTTPStatus.OK, "application/json", json.dumps(found).encode()


@contextmanager
def serve_page() -> Iterator[Site]:
    """Serve the page at a free port, with the headers that the product gives it."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply()

        def do_POST(self) -> None:
            self.reply()

        def do_PATCH(self) -> None:
            self.reply()

        def reply(self) -> None:
            """Answer whatever is asked."""
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = self.path.partition("?")[0]
            site.asked.append((self.command, path, body))
            if site.down:
                self.close_connection = True
                return
            status, kind, content = site.answer(self.command, path)
            self.send_response(status)
            if path.removeprefix(site.prefix).startswith("/golden-pools"):
                for name, value in HEADERS.items():
                    self.send_header(name, value)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
