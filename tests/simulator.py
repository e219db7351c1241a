"""A simulator in a process of its own with its control routes as methods, and one in a thread of this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from include.azure_simulator.server import build_app
from include.azure_simulator.serving import listen, server_for
from include.azure_simulator.tls import TlsFiles
from include.azure_simulator.world import World
from include.demo.azure import running_simulator
from include.local_airflow import free_port

ANSWER_SECONDS = 60
"""For an answer of a simulator, or its end, on a machine that is busy with other things."""


class SimulatorProcess:
    """A running simulator; what it tells and what can be asked of it.

    :param url: base URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=f"{url}/_simulator", timeout=ANSWER_SECONDS)

    @property
    def connection(self) -> str:
        """The Airflow connection to it, as the value of an ``AIRFLOW_CONN_...`` variable."""
        return json.dumps({"conn_type": "azure", "extra": {"arm_endpoint": self.url, "poll_seconds": 1}})

    def describe(self) -> dict[str, Any]:
        """Addresses, credentials and names of its world."""
        return dict(self._ask("GET", "world").json())

    def counters(self) -> dict[str, int]:
        """Calls by method and route template."""
        return dict(self._ask("GET", "counters").json())

    def log(self) -> list[dict[str, Any]]:
        """Every request and its answer, in order."""
        return [json.loads(line) for line in self._ask("GET", "log").text.splitlines()]

    def writes(self) -> list[str]:
        """Method and path of every request that was no read, in order."""
        return [
            f"{entry['method']} {httpx.URL(entry['url']).path}"
            for entry in self.log()
            if entry["method"] not in ("GET", "HEAD")
        ]

    def clear(self) -> None:
        """Forget log, counters and faults; the world stays."""
        for what in ("log", "counters", "faults"):
            self._ask("DELETE", what)

    def fault(self, **fault: Any) -> None:
        """Script a fault; the keywords are the fields of ``POST /_simulator/faults``."""
        self._ask("POST", "faults", fault)

    def allocation(self, **outcome: Any) -> None:
        """Script how the next allocations of a pool go; the keywords are those of ``POST /_simulator/allocations``."""
        self._ask("POST", "allocations", outcome)

    def set_speed(self, speed: float) -> None:
        """Let simulated time pass this many times faster than real time; 0 stops it."""
        self._ask("PATCH", "clock", {"speed": speed})

    def configure(self, **settings: Any) -> None:
        """Change some settings."""
        self._ask("PATCH", "settings", settings)

    def _ask(self, method: str, what: str, body: dict[str, Any] | None = None) -> httpx.Response:
        return self._client.request(method, f"/{what}", json=body).raise_for_status()


@contextmanager
def start_simulator(log_file: Path, *, speed: float) -> Iterator[SimulatorProcess]:
    """Run a simulator with the sample world on a free port; it ends with the block."""
    with running_simulator(free_port(), speed=speed, log_file=log_file) as running:
        yield SimulatorProcess(running.url)


@contextmanager
def serve(world: World, tls: TlsFiles | None = None) -> Iterator[str]:
    """Serve a world in a thread of this process on a free port; returns the base URL. It ends with the block.

    :param tls: over https with these
    """
    listener = listen("127.0.0.1", 0)
    server = server_for(build_app(world), tls)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=ANSWER_SECONDS)
        listener.close()
