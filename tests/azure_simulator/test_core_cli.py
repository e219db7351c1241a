"""``python -m include.azure_simulator``."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.identity import ClientSecretCredential

from include.azure_simulator.__main__ import main
from include.azure_simulator.tls import ensure_certificates
from tests.simulator import ANSWER_SECONDS

ROOT = Path(__file__).parents[2]


@contextmanager
def _running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A simulator on a free port, with its base URL."""
    command = [sys.executable, "-m", "include.azure_simulator", "--port", "0", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[3]
    finally:
        process.kill()
        process.communicate()


def test_describe_prints_the_world_and_exits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--describe", "--port", "9001"]) == 0
    body = json.loads(capsys.readouterr().out)
    wanted = {"arm", "login", "batch", "tenant", "client_id", "client_secret", "subscription", "location"}
    assert body.keys() >= wanted | {"resource_group", "vm", "gallery", "batch_account"}
    assert body["arm"] == "http://localhost:9001"


def test_describe_with_tls_names_https(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--describe", "--tls", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["login"] == "https://localhost:8070"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with _running() as (process, url):
        assert httpx.get(f"{url}/_simulator/health", timeout=ANSWER_SECONDS).json()["status"] == "ok"
        process.send_signal(number)
        _, errors = process.communicate(timeout=ANSWER_SECONDS)
        assert (process.returncode, errors) == (0, "")


def test_a_port_in_use_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors == [f"azure_simulator: cannot listen on 127.0.0.1:{port}: Address already in use"]


def test_a_port_that_cannot_be_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "99999", "--describe"]) == 1
    assert capsys.readouterr().err == "azure_simulator: --port 99999: a port is a number from 0 to 65535\n"


@pytest.mark.parametrize(
    ("option", "content", "problem"),
    [
        ("--world", "tenant: {}", "tenant.client_id: Field required"),
        ("--world", "a: [", "not YAML"),
        ("--settings", "compute: {image_creat: 1}", "compute.image_creat: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_file_is_one_line_and_status_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, content: str, problem: str
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(content, encoding="utf-8")
    assert main([option, str(file)]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert str(file) in errors[0]
    assert problem in errors[0]


def test_a_missing_file_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--world", "/nowhere/world.yaml"]) == 1
    assert "No such file" in capsys.readouterr().err


def test_a_wrong_speed_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--speed", "-1"]) == 1
    assert "--speed -1.0" in capsys.readouterr().err


def test_settings_speed_and_switch_come_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("compute: {image_create: PT5M}\n", encoding="utf-8")
    with _running("--settings", str(file), "--speed", "7", "--legacy-managed-image-pools") as (_, url):
        settings = httpx.get(f"{url}/_simulator/settings", timeout=ANSWER_SECONDS).json()
        assert settings["compute"]["image_create"] == "PT5M"
        assert settings["batch"]["legacy_managed_image_pools"] is True
        assert httpx.get(f"{url}/_simulator/clock", timeout=ANSWER_SECONDS).json()["speed"] == 7


def test_it_stays_small() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc to read the memory of a process from")
    with _running() as (process, url):
        httpx.get(f"{url}/_simulator/health", timeout=ANSWER_SECONDS)
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        assert resident < 80 * 1024


def test_it_imports_no_azure_sdk() -> None:
    script = "import sys, include.azure_simulator.__main__; print([m for m in sys.modules if m.startswith('azure')])"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_azure_identity_signs_in_over_tls(tmp_path: Path) -> None:
    with _running("--tls", str(tmp_path)) as (_, url):
        assert url.startswith("https://localhost:")
        trusted = str(tmp_path / "ca.pem")
        world: dict[str, Any] = httpx.get(
            f"{url}/_simulator/world", verify=ssl.create_default_context(cafile=trusted), timeout=ANSWER_SECONDS
        ).json()
        credential = ClientSecretCredential(
            world["tenant"],
            world["client_id"],
            world["client_secret"],
            authority=world["login"],
            disable_instance_discovery=True,
            connection_verify=trusted,
        )
        assert credential.get_token("https://management.azure.com/.default").token.count(".") == 2


def test_private_keys_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (files.key, tmp_path / "ca.key")}
    assert modes == {"server.key": 0o600, "ca.key": 0o600}


def test_valid_certificates_are_reused(tmp_path: Path) -> None:
    before = ensure_certificates(tmp_path).certificate.read_bytes()
    assert ensure_certificates(tmp_path).certificate.read_bytes() == before


@pytest.mark.parametrize("broken", ["ca.pem", "server.pem", "server.key"])
def test_broken_certificates_are_made_anew(tmp_path: Path, broken: str) -> None:
    before = ensure_certificates(tmp_path).certificate.read_bytes()
    (tmp_path / broken).write_text("garbage", encoding="utf-8")
    assert ensure_certificates(tmp_path).certificate.read_bytes() != before


def test_a_further_host_name_makes_a_new_certificate(tmp_path: Path) -> None:
    before = ensure_certificates(tmp_path).certificate.read_bytes()
    assert ensure_certificates(tmp_path, extra_hosts=["simulator"]).certificate.read_bytes() != before
