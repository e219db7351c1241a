"""Receivers of metrics on loopback, and Airflow's own stats set up to send to them."""

from __future__ import annotations

import atexit
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
from airflow.sdk._shared.observability.metrics.otel_logger import flush_otel_metrics
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
from golden_pools import metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

MARK, STOP = b"mark", b"stop"


class StatsD:
    """A StatsD server: what came in, line by line."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._lines: list[str] = []
        self._marked = Event()
        self._thread = Thread(target=self._receive, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def options(self) -> dict[str, object]:
        """Airflow's options to send here."""
        return {"statsd_on": True, "statsd_host": "127.0.0.1", "statsd_port": self.port}

    def _receive(self) -> None:
        while (packet := self._socket.recv(65536)) != STOP:
            if packet == MARK:
                self._marked.set()
            else:
                self._lines += packet.decode().splitlines()

    def _send(self, packet: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(packet, ("127.0.0.1", self.port))

    def lines(self, *, forget: bool = False) -> list[str]:
        """Return all lines since the last that are to be forgotten, without Airflow's prefix and its own metrics.

        A packet to loopback is in the receiver's queue when it has been sent, so one of our own marks the end.
        """
        self._marked.clear()
        self._send(MARK)
        assert self._marked.wait(30), "the server does not receive"
        lines = [line.removeprefix("airflow.") for line in self._lines]
        if forget:
            self._lines.clear()
        return [line for line in lines if line.startswith("golden_pools")]

    def values(self) -> dict[str, float]:
        """Return the last value of each gauge, the sum of each counter, how many values of each timer."""
        found: dict[str, float] = {}
        for line in self.lines():
            name, _, rest = line.rpartition(":")
            value, kind = rest.split("|")[:2]
            if kind == "g":
                found[name] = float(value)
            else:
                found[name] = found.get(name, 0) + (float(value) if kind == "c" else 1)
        return found

    def close(self) -> None:
        if self._thread.is_alive():
            self._send(STOP)
            self._thread.join()
        self._socket.close()


class Collector:
    """An OpenTelemetry collector: what came in over OTLP."""

    def __init__(self) -> None:
        received = self._received = []  # type: list[ExportMetricsServiceRequest]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(
                    ExportMetricsServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
                )
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_port

    def metrics(self) -> dict[str, Metric]:
        """Return the latest state of each metric, after a flush."""
        from opentelemetry import metrics as api

        api.get_meter_provider().force_flush()  # type: ignore[attr-defined]
        return {
            metric.name: metric
            for request in self._received
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def airflow_sends(options: Mapping[str, object]) -> Iterator[None]:
    """Set Airflow's stats up as its processes do at their start, with these options of the section ``metrics``."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in options.items():
            patch.setenv(f"AIRFLOW__METRICS__{name.upper()}", str(value))
        stats.initialize(factory=get_stats_factory(), export_legacy_names=True)
        metrics._knows_tags.cache_clear()
        yield
    stats.initialize(factory=get_stats_factory(), export_legacy_names=True)
    metrics._knows_tags.cache_clear()


@contextmanager
def to_statsd(**options: object) -> Iterator[StatsD]:
    """Let Airflow send to a StatsD server."""
    server = StatsD()
    try:
        with airflow_sends({**server.options, **options}):
            yield server
    finally:
        server.close()


@contextmanager
def to_collector() -> Iterator[Collector]:
    """Let Airflow send to an OpenTelemetry collector."""
    collector = Collector()
    try:
        with airflow_sends({"otel_on": True, "otel_host": "127.0.0.1", "otel_port": collector.port}):
            yield collector
    finally:
        from opentelemetry import metrics as api

        atexit.unregister(flush_otel_metrics)
        api.get_meter_provider().shutdown()  # type: ignore[attr-defined]
        collector.close()
