"""Workers that are processes of their own and can be killed: what they have not kept or sent is lost with them."""

from __future__ import annotations

import os
import pickle
import signal
import traceback
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import azure.batch.models  # loaded once, and not by every worker
import azure.mgmt.batch
import azure.mgmt.compute  # noqa: F401
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from azure.core.pipeline.transport import RequestsTransport
from golden_pools import errors
from golden_pools.errors import GoldenPoolsError

from tests.operators.conftest import FakeStore, Run

LOST = timedelta(minutes=6)
"""From the death of a worker to the next try: Airflow misses its heartbeats, and waits before a retry."""


class KilledError(Exception):
    """The worker of a task was killed."""


class Kept(MutableMapping[Any, Any]):
    """A mapping in a file: what a process has put into it is there when the process is killed."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def _read(self) -> dict[Any, Any]:
        return pickle.loads(self._file.read_bytes()) if self._file.exists() else {}

    def _write(self, values: dict[Any, Any]) -> None:
        self._file.with_suffix(".new").write_bytes(pickle.dumps(values))
        self._file.with_suffix(".new").replace(self._file)

    def __getitem__(self, key: Any) -> Any:
        return self._read()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._write({**self._read(), key: value})

    def __delitem__(self, key: Any) -> None:
        values = self._read()
        del values[key]
        self._write(values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


@dataclass
class MortalRun(Run):
    """A run whose workers are forked, and one of which is killed by ``SIGKILL`` at a write.

    :param folder: where its XComs and stores are
    :param kill_at: number of the write of the run, from 1; 0: nobody is killed
    :param sent: the write itself still reaches Azure, but not its answer the worker
    """

    folder: Path = field(kw_only=True)
    kill_at: int = 0
    sent: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.pushed = Kept(self.folder / "pushed")
        self.writes: MutableMapping[int, str] = Kept(self.folder / "writes")

    def context(self, task: Any) -> dict[str, Any]:
        self.stores.setdefault(task.task_id, FakeStore(Kept(self.folder / f"store-{task.task_id}")))
        return super().context(task)

    def work(self, task: BaseOperator, method_name: str, context: dict[str, Any], arguments: dict[str, Any]) -> Any:
        """Do it in a child process; what it comes to is what the child would have told Airflow's supervisor."""
        outcome = self.folder / "outcome"
        outcome.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            self._live(outcome, getattr(task, method_name), context, arguments)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            raise KilledError(f"at write {self.kill_at}")
        kind, value = pickle.loads(outcome.read_bytes())
        if kind == "returned":
            return value
        raise _ERRORS[kind](value)

    def _live(self, outcome: Path, method: Any, context: dict[str, Any], arguments: dict[str, Any]) -> NoReturn:
        RequestsTransport.send = self._send(RequestsTransport.send)  # type: ignore[method-assign]
        try:
            told: tuple[str, Any] = ("returned", method(context, **arguments))
        except TaskDeferred as deferred:
            path, values = deferred.trigger.serialize()
            told = ("deferred", (path, values, deferred.method_name, deferred.timeout))
        except AirflowSkipException as skipped:
            told = ("skipped", str(skipped))
        except GoldenPoolsError as error:
            told = ("failed", error.to_dict())
        except BaseException:  # noqa: BLE001 - nothing but the file leaves this process
            told = ("broke", traceback.format_exc())
        outcome.write_bytes(pickle.dumps(told))
        os._exit(0)

    def _send(self, send: Any) -> Any:
        def counted(transport: Any, request: Any, **options: Any) -> Any:
            if request.method in ("GET", "HEAD"):
                return send(transport, request, **options)
            number = len(self.writes) + 1
            path = urlsplit(unquote(request.url)).path
            self.writes[number] = f"{request.method} {'/'.join(path.split('/')[-2:])}"
            if number == self.kill_at and not self.sent:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = send(transport, request, **options)
            if number == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return counted


def _deferred(value: Any) -> TaskDeferred:
    path, arguments, method_name, timeout = value
    module, _, name = path.rpartition(".")
    trigger = getattr(import_module(module), name)(**arguments)
    return TaskDeferred(trigger=trigger, method_name=method_name, timeout=timeout)


def _failed(value: dict[str, str]) -> GoldenPoolsError:
    error: GoldenPoolsError = getattr(errors, value.pop("error"))(value.pop("what"), **value)
    return error


_ERRORS = {
    "deferred": _deferred,
    "skipped": AirflowSkipException,
    "failed": _failed,
    "broke": AssertionError,
}
