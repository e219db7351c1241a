"""``python -m include.azure_simulator``: start the simulator, or describe its world."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

import yaml
from pydantic import ValidationError

from include.azure_simulator.clock import Clock
from include.azure_simulator.describe import describe
from include.azure_simulator.errors import SimulatedError
from include.azure_simulator.server import build_app
from include.azure_simulator.serving import listen, server_for
from include.azure_simulator.settings import SimulatorSettings
from include.azure_simulator.world import SAMPLE_WORLD, World

_HIGHEST_PORT = 65_535  # a higher one would wrap around and silently become another port


class StartError(Exception):
    """Why the simulator cannot start, in one line."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the result is the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if not 0 <= options.port <= _HIGHEST_PORT:
            raise StartError(f"--port {options.port}: a port is a number from 0 to {_HIGHEST_PORT}")
        world = _world(options)
        if options.describe:
            print(json.dumps(describe(world, _url(options, options.port)), indent=2))
            return 0
        _serve(world, options)
    except StartError as problem:
        print(f"azure_simulator: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.azure_simulator", description="An Azure for one machine.")
    parser.add_argument("--port", type=int, default=8070, help="default 8070; 0 takes a free port")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on, default loopback only")
    parser.add_argument("--world", type=Path, default=SAMPLE_WORLD, metavar="FILE", help="world file (YAML or JSON)")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="settings file (YAML or JSON)")
    parser.add_argument(
        "--speed", type=float, default=60.0, help="simulated seconds per second, default 60; 0 is frozen"
    )
    parser.add_argument(
        "--tls", type=Path, metavar="DIR", help="serve HTTPS; clients trust DIR/ca.pem, made when missing"
    )
    parser.add_argument(
        "--tls-host", action="append", default=[], metavar="NAME", help="further name in the certificate"
    )
    parser.add_argument(
        "--legacy-managed-image-pools", action="store_true", help="pools on managed images, as before 2026-03-31"
    )
    parser.add_argument("--describe", action="store_true", help="print what a client needs to know as JSON, and exit")
    return parser


def _world(options: argparse.Namespace) -> World:
    settings = _settings(options.settings)
    if options.legacy_managed_image_pools:
        settings = settings.patched({"batch": {"legacy_managed_image_pools": True}})
    try:
        clock = Clock(options.speed)
    except ValueError as error:
        raise StartError(f"--speed {options.speed}: {error}") from error
    try:
        return World.load(options.world, clock=clock, settings=settings)
    except (OSError, ValueError, SimulatedError) as error:
        raise StartError(f"world file {options.world}: {_one_line(error)}") from error


def _settings(path: Path | None) -> SimulatorSettings:
    if path is None:
        return SimulatorSettings()
    try:
        return SimulatorSettings.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise StartError(f"settings file {path}: {_one_line(error)}") from error


def _serve(world: World, options: argparse.Namespace) -> None:
    tls = None
    try:
        if options.tls is not None:
            from include.azure_simulator.tls import ensure_certificates  # certificates only load what only TLS needs

            tls = ensure_certificates(options.tls, extra_hosts=options.tls_host)
        listener = listen(options.host, options.port)
    except OSError as error:
        raise StartError(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}") from error
    url = _url(options, listener.getsockname()[1])
    print(f"Azure simulator on {url} (speed {world.clock.speed:g}); Ctrl-C ends it", flush=True)
    # The server stops serving, then passes the signal on: an ordered end is exit status 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server_for(build_app(world), tls).run(sockets=[listener])


def _url(options: argparse.Namespace, port: int) -> str:
    host = "localhost" if options.host in ("127.0.0.1", "::1", "0.0.0.0", "::") else options.host  # noqa: S104
    return f"{'https' if options.tls else 'http'}://{host}:{port}"


def _one_line(error: Exception) -> str:
    """An error in one line; of a validation error each problem with its place."""
    if isinstance(error, ValidationError):
        problems = error.errors(include_url=False)
        return "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
