"""The two files that every task leaves: ``stdout.txt`` and ``stderr.txt``. They lie on the node and go with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.batch.errors import BatchServiceError, not_found
from include.azure_simulator.batch.nodes import Node, NodeState
from include.azure_simulator.batch.settings import GoneFilesCode
from include.azure_simulator.batch.tasks import Task, TaskState
from include.azure_simulator.resources import JsonObject, timestamp

_LENGTH_IS_A_NUMBER = "2024-07-01.20.0"
"""Its API file alone says so; the others and the SDKs read a 64-bit number from a string."""

_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})")
_READABLE = frozenset(
    {
        NodeState.IDLE,
        NodeState.RUNNING,
        NodeState.WAITING_FOR_START_TASK,
        NodeState.START_TASK_FAILED,
        NodeState.OFFLINE,
    }
)
"""States in which a node answers; its agent serves the files."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file on a node. ``path`` is relative to the directory that was asked for."""

    path: str
    text: str
    written: datetime

    def listed(self, url: str, version: str) -> JsonObject:
        """The file as a list shows it.

        :param url: URL of the list.
        """
        length = len(self.text.encode())
        return {
            "name": self.path,
            "url": f"{url}/{self.path}",
            "isDirectory": False,
            "properties": {
                "creationTime": timestamp(self.written),
                "lastModified": timestamp(self.written),
                "contentLength": length if version == _LENGTH_IS_A_NUMBER else str(length),
                "contentType": "text/plain",
                "fileMode": "0o100644",
            },
        }

    def answer(self, request: Request) -> Response:
        """The answer to a GET of the file or of a range of it, or to a HEAD.

        :raises BatchServiceError: 400 or 416 for a bad ``ocp-range``.
        """
        content = self.text.encode()
        reads = request.method == "GET"
        if reads and (wanted := request.headers.get("ocp-range")) is not None:
            content = _part(content, wanted)
        headers = {
            "ocp-creation-time": self.written.strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "Last-Modified": self.written.strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "ocp-batch-file-isdirectory": "False",
            "ocp-batch-file-url": str(request.url).split("?")[0],
            "ocp-batch-file-mode": "0o100644",
            "Content-Length": str(len(content)),
        }
        return Response(content if reads else b"", headers=headers, media_type="application/octet-stream")


def node_files(node: Node, now: datetime) -> list[TextFile]:
    """The files of the start task, as soon as it has begun.

    :raises BatchServiceError: 409 ``NodeNotReady`` for a node that does not answer.
    """
    _require_ready(node, now)
    run = node.start_task_run
    if run is None or node.start_task is None or now < run.started:
        return []
    failed = run.exit_code if now >= run.ended else 0
    line = str(node.start_task.get("commandLine", ""))
    return _output("startup/", line, failed, run.started, run.stdout, run.stderr)


def task_files(task: Task, now: datetime, gone: GoneFilesCode) -> list[TextFile]:
    """The files of a task, as soon as it has begun.

    :param gone: code for a task whose node is no longer there.
    :raises BatchServiceError: 404 or 409 when the task waits, or its node is gone or does not answer.
    """
    if task.state is TaskState.ACTIVE:
        raise BatchServiceError(
            409,
            "OperationInvalidForCurrentState",
            "The specified operation is not valid for the current state of the resource.",
            [("Reason", "The files of the specified task cannot be accessed as the task state is still active")],
        )
    if task.node is None or task.started is None:
        raise _unavailable()
    if task.node.gone_at is not None and task.node.gone_at <= now:
        raise not_found("Node") if gone is GoneFilesCode.NODE_NOT_FOUND else _unavailable()
    _require_ready(task.node, now)
    run = task.run
    stdout, stderr = (run.stdout, run.stderr) if run is not None else (None, None)
    return _output("", task.command_line, task.exit_code or 0, task.started, stdout, stderr)


def find_file(files: list[TextFile], path: str) -> TextFile:
    """The file with this path.

    :raises BatchServiceError: 404 ``FileNotFound``.
    """
    found = next((file for file in files if file.path == path.strip("/")), None)
    if found is None:
        raise not_found("File")
    return found


def _require_ready(node: Node, now: datetime) -> None:
    if node.state(now) not in _READABLE:
        raise BatchServiceError(
            409, "NodeNotReady", "Node is not able to perform the requested operations in its current state"
        )


def _unavailable() -> BatchServiceError:
    return BatchServiceError(409, "TaskFilesUnavailable", "The files of the specified task are unavailable.")


def _part(content: bytes, wanted: str) -> bytes:
    """The bytes that ``ocp-range`` asks for; a range that goes beyond the end stops there."""
    match = _RANGE.fullmatch(wanted)
    if match is None:
        raise BatchServiceError(
            400,
            "InvalidHeaderValue",
            "The value provided for one of the HTTP headers was not in the correct format.",
            [("HeaderName", "ocp-range"), ("HeaderValue", wanted)],
        )
    start, end = int(match[1]), int(match[2])
    if start > end or start >= len(content):
        raise BatchServiceError(
            416, "InvalidRange", "The range specified is invalid for the current size of the resource."
        )
    return content[start : end + 1]


def _output(
    folder: str, command_line: str, exit_code: int, written: datetime, stdout: str | None, stderr: str | None
) -> list[TextFile]:
    """Both files; where no script says what they hold, they say what was run and how it failed."""
    if stderr is None:
        stderr = f"The command line ended with exit code {exit_code}\n" if exit_code else ""
    return [
        TextFile(f"{folder}stdout.txt", f"{command_line}\n" if stdout is None else stdout, written),
        TextFile(f"{folder}stderr.txt", stderr, written),
    ]
