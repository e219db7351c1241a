"""Starting and stopping processes: ports, keys, failures, and nothing left behind. Real Airflows: ``tests/e2e``."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from include.local_airflow import (
    ADMIN,
    SCHEDULER,
    TRIGGERER,
    LocalAirflow,
    LocalAirflowError,
    free_port,
    require_port,
)

Script = Callable[[str], None]

ENDLESS = "import time\ntime.sleep(600)"
STUBBORN = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\n{ENDLESS}"
FAMILY = f"""
import subprocess
subprocess.Popen([sys.executable, "-c", {ENDLESS!r}], process_group=0)
{ENDLESS}
"""


@pytest.fixture
def airflow(tmp_path: Path) -> Iterator[LocalAirflow]:
    """An Airflow whose ``airflow`` is a script that the test writes: see ``script``."""
    made = LocalAirflow(
        tmp_path / "home",
        port=free_port(),
        components=(SCHEDULER,),
        environment={"PYTHONPATH": str(tmp_path / "fake")},
    )
    yield made
    made.stop(grace_seconds=0)


@pytest.fixture
def script(tmp_path: Path, airflow: LocalAirflow) -> Script:
    """Say what ``python -m airflow`` does, whatever its arguments; ``airflow db migrate`` succeeds at once."""
    (tmp_path / "fake").mkdir()

    def write(code: str) -> None:
        first = "import sys\nif 'migrate' in sys.argv: sys.exit()\n"
        (tmp_path / "fake" / "airflow.py").write_text(first + code, encoding="utf-8")
        airflow.prepare()

    return write


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_taken_port_is_named_with_the_way_round() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(LocalAirflowError, match=rf"Port {port} cannot be used \(.+\)\. make demo PORT=8081"):
            require_port(port, way_round="make demo PORT=8081")


def test_a_free_port_can_be_used() -> None:
    port = free_port()

    require_port(port, way_round="")

    assert 1024 <= port <= 65535


def test_the_home_keeps_its_keys_for_the_next_start(airflow: LocalAirflow, script: Script) -> None:
    script("")
    first = airflow.password, airflow.environment()["AIRFLOW__CORE__FERNET_KEY"]
    airflow.prepare()

    assert (airflow.password, airflow.environment()["AIRFLOW__CORE__FERNET_KEY"]) == first


def test_the_password_is_the_one_of_the_auth_manager(airflow: LocalAirflow, script: Script) -> None:
    script("")
    logins = airflow.home / "simple_auth_manager_passwords.json.generated"

    assert json.loads(logins.read_text()) == {ADMIN: airflow.password}
    assert len(airflow.password) >= 32


def test_files_with_secrets_are_readable_by_their_owner_only(airflow: LocalAirflow, script: Script) -> None:
    script("")
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (airflow.home / "keys.env", airflow.home / "simple_auth_manager_passwords.json.generated")
    }

    assert set(modes.values()) == {0o600}


def test_the_shells_own_airflow_does_not_leak_in(
    airflow: LocalAirflow, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script("")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", "{}")

    environment = airflow.environment()

    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW_CONN_AZURE_DEFAULT" not in environment


def test_a_failed_command_shows_the_end_of_its_log(airflow: LocalAirflow, script: Script) -> None:
    script("print('no space left')\nsys.exit(3)")

    with pytest.raises(LocalAirflowError, match=r"(?s)airflow users-create ended with exit code 3.*no space left"):
        airflow.run("users", "create", timeout_seconds=120)


def test_a_command_that_hangs_is_killed(airflow: LocalAirflow, script: Script) -> None:
    script(ENDLESS)

    with pytest.raises(LocalAirflowError, match=r"did not end within 0\.2 s"):
        airflow.run("users", "create", timeout_seconds=0.2)


def test_a_component_that_ends_at_its_start_is_named(airflow: LocalAirflow, script: Script) -> None:
    script("sys.exit('database is locked')")

    with pytest.raises(LocalAirflowError, match=r"(?s)airflow scheduler ended with exit code 1.*database is locked"):
        airflow.start(timeout_seconds=120)
    assert airflow.processes() == []


def test_what_does_not_become_healthy_is_named(airflow: LocalAirflow, script: Script) -> None:
    script(ENDLESS)

    with pytest.raises(LocalAirflowError, match=r"not healthy within 0\.5 s; still waiting for scheduler"):
        airflow.start(timeout_seconds=0.5)
    assert airflow.processes() == []


def test_a_child_in_a_process_group_of_its_own_is_ended_too(airflow: LocalAirflow, script: Script) -> None:
    script(FAMILY)
    airflow.start_component(SCHEDULER)
    _wait_until(lambda: len(airflow.processes()) == 2)
    family = airflow.processes()

    airflow.stop()

    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family)


def test_an_orphan_is_ended_too(airflow: LocalAirflow, script: Script) -> None:
    script(FAMILY)
    airflow.start_component(SCHEDULER)
    _wait_until(lambda: len(airflow.processes()) == 2)
    psutil.Process(airflow.pid(SCHEDULER)).kill()
    _wait_until(lambda: len(airflow.processes()) == 1)

    airflow.stop()

    assert airflow.processes() == []


def test_a_component_that_ends_when_asked_is_not_killed(airflow: LocalAirflow, script: Script) -> None:
    script(ENDLESS)
    airflow.start_component(SCHEDULER)

    stopped = airflow.stop_component(SCHEDULER)

    assert not stopped.forced


def test_a_component_that_does_not_end_is_killed(airflow: LocalAirflow, script: Script) -> None:
    script(STUBBORN)
    airflow.start_component(SCHEDULER)
    _wait_until(lambda: airflow.log_file(SCHEDULER).read_text() == "ready\n")

    stopped = airflow.stop_component(SCHEDULER, grace_seconds=0.3)

    assert stopped.forced
    assert stopped.exit_code == -9


def test_the_triggerers_child_goes_first(airflow: LocalAirflow, script: Script) -> None:
    # The triggerer ends when its child does; told to stop itself, it may wait 10 s for that child.
    script(
        "import signal, subprocess\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"subprocess.run([sys.executable, '-c', {ENDLESS!r}])\nsys.exit(7)"
    )
    airflow.start_component(TRIGGERER)
    _wait_until(lambda: len(airflow.processes()) == 2)

    stopped = airflow.stop_component(TRIGGERER, grace_seconds=60)

    assert (stopped.exit_code, stopped.forced) == (7, False)


def test_a_killed_component_can_be_started_again(airflow: LocalAirflow, script: Script) -> None:
    script(ENDLESS)
    airflow.start_component(SCHEDULER)
    first = airflow.pid(SCHEDULER)

    airflow.kill_component(SCHEDULER)
    airflow.start_component(SCHEDULER)

    assert airflow.pid(SCHEDULER) != first
    assert not psutil.pid_exists(first)


def test_airflow_loads_the_package_by_its_own_name_only() -> None:
    # Every module below plugins/ that is not in .airflowignore is loaded as a top-level module named after its file,
    # which for one named like `errors` or `azure` hides another module of that name.
    code = (
        "import sys; from airflow import plugins_manager; plugins_manager.ensure_plugins_loaded();"
        "print([name for name, module in list(sys.modules.items())"
        " if '/plugins/golden_pools/' in (getattr(module, '__file__', None) or '')"
        " and not name.startswith('golden_pools')], plugins_manager.get_import_errors())"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)

    assert done.stdout.strip().endswith("[] {}"), done.stdout + done.stderr


def test_no_process_of_a_component_shares_the_terminals_session(airflow: LocalAirflow, script: Script) -> None:
    # Ctrl-C reaches the session of the terminal; the one who started Airflow decides how its processes end.
    script(ENDLESS)
    airflow.start_component(SCHEDULER)

    assert os.getsid(airflow.pid(SCHEDULER)) == airflow.pid(SCHEDULER) != os.getsid(0)


def test_a_silent_api_server_has_no_health(airflow: LocalAirflow) -> None:
    assert airflow.health() == {}
