"""Starts and stops a complete Airflow on this machine, for the demo and for the tests.

``airflow standalone`` does nearly the same. It starts the same processes from one more process of 150 MB, opens ports
for logs that lie on this machine's disk anyway, and cannot restart one component; so this module starts them itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import httpx
import psutil
from dotenv import dotenv_values

from include.airflow_settings import project_environment
from include.local_secrets import fernet_key, password, signing_key, write_fresh

API_SERVER = "api-server"
SCHEDULER = "scheduler"
DAG_PROCESSOR = "dag-processor"
TRIGGERER = "triggerer"
WORKER = "worker"

COMMANDS: Mapping[str, tuple[str, ...]] = {
    API_SERVER: ("api-server",),
    SCHEDULER: ("scheduler", "--skip-serve-logs"),
    DAG_PROCESSOR: ("dag-processor",),
    TRIGGERER: ("triggerer", "--skip-serve-logs"),
    WORKER: ("celery", "worker", "--skip-serve-logs", "--concurrency", "4"),
}
"""The ``airflow`` command of each component."""

LOCAL = (API_SERVER, SCHEDULER, DAG_PROCESSOR, TRIGGERER)
"""What LocalExecutor needs; CeleryExecutor needs a ``WORKER`` as well."""

ADMIN = "admin"
_HEALTH_KEYS = {SCHEDULER: "scheduler", DAG_PROCESSOR: "dag_processor", TRIGGERER: "triggerer"}
_LOG_TAIL_LINES = 15
_POLL_SECONDS = 0.2
_LOCKED_SECONDS = 120
"""How long a process waits while another one writes to the database. After 5 s, the default, the API answers 500: on a
busy machine a click in the UI is lost."""
_KILL_SECONDS = 10
"""How long a killed process may take to vanish; one that hangs in the kernel is given up then."""


class LocalAirflowError(Exception):
    """Airflow could not be started; the message says what happened and what to do."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_port(port: int, *, way_round: str) -> None:
    """Make sure that a port of the loopback interface can be taken.

    :param way_round: what the reader can do when it is taken.
    :raises LocalAirflowError: when somebody listens there, or the system refuses the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that has just ended blocks nobody
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LocalAirflowError(f"Port {port} cannot be used ({error.strerror}). {way_round}") from error


@dataclass(frozen=True, slots=True)
class Stopped:
    """How a component ended.

    :param forced: whether it had to be killed.
    """

    component: str
    exit_code: int
    forced: bool


class LocalAirflow:
    """All processes of an Airflow whose files lie in one directory.

    The API server listens on loopback only. Logins are those of the SimpleAuthManager: the user ``admin`` with a random
    password. The keys and the password are kept in the home, so a second start with the same home finds its data.

    :param home: directory of the database, the logs and the keys; made when missing.
    :param port: port of the API server.
    :param environment: further environment variables, which win over this project's settings.
    :param components: what to start, in this order.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int,
        environment: Mapping[str, str] | None = None,
        components: tuple[str, ...] = LOCAL,
    ) -> None:
        self.home = home.resolve()
        self.url = f"http://127.0.0.1:{port}"
        self.components = components
        self._extra = dict(environment or {})
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._sessions: set[int] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def password(self) -> str:
        """The admin's password; exists once :meth:`prepare` or :meth:`start` has run."""
        return self._keys()["ADMIN_PASSWORD"]

    @property
    def database(self) -> Path:
        """The file of Airflow's database, unless the environment names another one."""
        return self.home / "airflow.db"

    def log_file(self, component: str) -> Path:
        """Where a component's output goes."""
        return self.home / "logs" / "components" / f"{component}.log"

    def pid(self, component: str) -> int:
        """The process id of a running component."""
        return self._processes[component].pid

    def environment(self) -> dict[str, str]:
        """The environment of every process: this shell's without its Airflow variables, the settings, the place."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        keys = self._keys()
        return (
            inherited
            | project_environment()
            | {
                "AIRFLOW_HOME": str(self.home),
                "AIRFLOW__API__PORT": self.url.rpartition(":")[2],
                "AIRFLOW__API__BASE_URL": self.url,
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}?timeout={_LOCKED_SECONDS}",
                "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
                "AIRFLOW__CORE__FERNET_KEY": keys["FERNET_KEY"],
                "AIRFLOW__API_AUTH__JWT_SECRET": keys["JWT_SECRET"],
                "AIRFLOW__API__SECRET_KEY": keys["API_SECRET_KEY"],
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                "PYTHONUNBUFFERED": "1",
            }
            | self._extra
        )

    def prepare(self) -> None:
        """Make the home, the keys and the database.

        :raises LocalAirflowError: when the database cannot be made; carries the end of the log.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self.log_file(API_SERVER).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            write_fresh(
                self._keys_file,
                {
                    "FERNET_KEY": fernet_key,
                    "JWT_SECRET": signing_key,
                    "API_SECRET_KEY": signing_key,
                    "ADMIN_PASSWORD": password,
                },
            )
        logins = self.home / "simple_auth_manager_passwords.json.generated"
        logins.touch(mode=0o600)
        logins.write_text(json.dumps({ADMIN: self.password}), encoding="utf-8")
        # Airflow writes a configuration file where there is none; several processes at once would race for it.
        (self.home / "airflow.cfg").touch()
        # The API server refuses to start on a database without tables, so nothing can be started beside this.
        self.run("db", "migrate", timeout_seconds=600)

    def run(self, *command: str, timeout_seconds: float) -> None:
        """Run an ``airflow`` command to its end, its output in a log of its own.

        :raises LocalAirflowError: when it fails or takes too long.
        """
        name = "-".join(command[:2])
        with self._open_log(name) as log:
            process = self._spawn(command, log)
            try:
                exit_code = process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                raise self._failed(name, f"did not end within {timeout_seconds:g} s") from None
            finally:
                _kill_sessions({process.pid})
                process.wait()
        if exit_code != 0:
            raise self._failed(name, f"ended with exit code {exit_code}")

    def start(self, *, timeout_seconds: float = 180) -> None:
        """Prepare the home, start every component and wait until all of them are healthy.

        :raises LocalAirflowError: when one of them does not come up; everything is stopped then.
        """
        require_port(int(self.url.rpartition(":")[2]), way_round="Stop what listens there, or choose another port.")
        try:
            self.prepare()
            for component in self.components:
                self.start_component(component)
            self.wait_until_healthy(timeout_seconds=timeout_seconds)
        except BaseException:
            self.stop(grace_seconds=0)
            raise

    def start_component(self, component: str) -> None:
        """Start one component; its output is added to its log. Does not wait until it is healthy."""
        with self._open_log(component) as log:
            process = self._spawn(COMMANDS[component], log)
        self._processes[component] = process
        self._sessions.add(process.pid)

    def stop_component(self, component: str, *, grace_seconds: float = 10) -> Stopped:
        """End one component and all its processes, politely at first."""
        return self._end((component,), grace_seconds)[0]

    def kill_component(self, component: str) -> None:
        """Kill one component and all its processes at once, as a lost machine would."""
        self._end((component,), 0)

    def stop(self, *, grace_seconds: float = 10) -> list[Stopped]:
        """End all components, politely at first; no process is left behind."""
        return self._end(tuple(self._processes), grace_seconds)

    def processes(self) -> list[psutil.Process]:
        """Every living process of this Airflow, the tasks' too."""
        return list(_members(self._sessions))

    def wait_until_healthy(self, *, timeout_seconds: float) -> None:
        """Wait until the API server answers and all running components say that they are healthy.

        :raises LocalAirflowError: when a component ends, or the time is over.
        """
        wanted = [key for component, key in _HEALTH_KEYS.items() if component in self._processes]
        deadline = time.monotonic() + timeout_seconds
        waiting: list[str] = []
        while time.monotonic() < deadline:
            self._require_alive()
            health = self.health()
            waiting = [key for key in wanted if health.get(key) != "healthy"]
            if health and not waiting:
                return
            time.sleep(_POLL_SECONDS)
        raise LocalAirflowError(
            f"Airflow was not healthy within {timeout_seconds:g} s; still waiting for "
            f"{', '.join(waiting or [API_SERVER])}. Logs: {self.log_file(API_SERVER).parent}"
        )

    def health(self) -> dict[str, str]:
        """The state of each component as the API server knows it; empty while it does not answer."""
        try:
            answer = httpx.get(f"{self.url}/api/v2/monitor/health", timeout=5)
        except httpx.TransportError:
            return {}
        if answer.status_code != httpx.codes.OK:
            return {}
        return {name: str((part or {}).get("status")) for name, part in answer.json().items()}

    def client(self) -> httpx.Client:
        """A client of the REST API that is logged in as the admin; close it after use.

        :raises httpx.HTTPStatusError: when the login is refused.
        """
        answer = httpx.post(
            f"{self.url}/auth/token", json={"username": ADMIN, "password": self.password}, timeout=30
        ).raise_for_status()
        token = answer.json()["access_token"]
        # The first task of all makes the API server deaf for seconds, on a busy machine for a minute: it builds the API
        # that tasks speak to, in its event loop.
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=120)

    @property
    def _keys_file(self) -> Path:
        return self.home / "keys.env"

    def _keys(self) -> dict[str, str]:
        return {name: value or "" for name, value in dotenv_values(self._keys_file, interpolate=False).items()}

    def _open_log(self, name: str) -> IO[bytes]:
        return self.log_file(name).open("ab")

    def _spawn(self, command: tuple[str, ...], log: IO[bytes]) -> subprocess.Popen[bytes]:
        # A session of its own: tasks make process groups of their own, but stay in the session, where they are found.
        return subprocess.Popen(  # noqa: S603 - fixed commands
            [sys.executable, "-m", "airflow", *command],
            env=self.environment(),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _require_alive(self) -> None:
        for component, process in self._processes.items():
            if (exit_code := process.poll()) is not None:
                raise self._failed(component, f"ended with exit code {exit_code}")

    def _failed(self, name: str, what: str) -> LocalAirflowError:
        path = self.log_file(name)
        tail = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return LocalAirflowError("\n".join([f"airflow {name} {what}. The end of {path}:", *tail]))

    def _end(self, components: tuple[str, ...], grace_seconds: float) -> list[Stopped]:
        processes = {component: self._processes.pop(component) for component in components}
        sessions = {process.pid for process in processes.values()}
        try:
            if grace_seconds > 0:
                _ask_to_end(processes, grace_seconds)
            forced = {component for component, process in processes.items() if process.poll() is None}
        finally:
            _kill_sessions(sessions)
        self._sessions -= sessions
        return [Stopped(component, process.wait(), component in forced) for component, process in processes.items()]


def _ask_to_end(processes: Mapping[str, subprocess.Popen[bytes]], grace_seconds: float) -> None:
    for component, process in processes.items():
        # The triggerer of 3.3.2 that is told to stop may wait 10 s for its child, though that has ended long ago. When
        # the child goes first, it ends at once and signs off in the database all the same.
        children = [member for member in _members({process.pid}) if member.pid != process.pid]
        if component == TRIGGERER and children:
            _kill(children)
        else:
            process.terminate()
    deadline = time.monotonic() + grace_seconds
    for process in processes.values():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))


def _members(sessions: set[int]) -> Iterator[psutil.Process]:
    """Every living process of these sessions, those too whose parent is gone."""
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _kill_sessions(sessions: set[int]) -> None:
    deadline = time.monotonic() + _KILL_SECONDS
    while (members := list(_members(sessions))) and time.monotonic() < deadline:
        _kill(members)  # again and again, since a process may fork while its session is being killed
        time.sleep(0.02)
