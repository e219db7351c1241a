"""The two files that every task leaves: ``stdout.txt`` and ``stderr.txt``; nothing ran, so they say what would have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from include.azure_simulator.batch.errors import not_found
from include.azure_simulator.batch.nodes import Node
from include.azure_simulator.batch.tasks import Task
from include.azure_simulator.resources import JsonObject, timestamp

_LENGTH_IS_A_NUMBER = "2024-07-01.20.0"
"""Its API file alone says so; the others and the SDKs read a 64-bit number from a string."""


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

    def download(self, url: str, *, with_content: bool) -> Response:
        """The file itself, or only its headers."""
        content = self.text.encode()
        headers = {
            "ocp-creation-time": self.written.strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "Last-Modified": self.written.strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "ocp-batch-file-isdirectory": "False",
            "ocp-batch-file-url": url,
            "ocp-batch-file-mode": "0o100644",
            "Content-Length": str(len(content)),
        }
        body = content if with_content else b""
        return Response(body, headers=headers, media_type="application/octet-stream")


def node_files(node: Node, now: datetime) -> list[TextFile]:
    """The files of the start task, as soon as it has begun."""
    run = node.start_task_run
    if run is None or node.start_task is None or now < run.started:
        return []
    failed = run.exit_code if now >= run.ended else 0
    return _output("startup/", str(node.start_task.get("commandLine", "")), failed, run.started)


def task_files(task: Task) -> list[TextFile]:
    """The files of a task, as soon as it has begun."""
    if task.started is None:
        return []
    return _output("", str(task.body.get("commandLine", "")), task.exit_code or 0, task.started)


def find_file(files: list[TextFile], path: str) -> TextFile:
    """The file with this path.

    :raises BatchServiceError: 404 ``FileNotFound``.
    """
    found = next((file for file in files if file.path == path.strip("/")), None)
    if found is None:
        raise not_found("File")
    return found


def _output(folder: str, command_line: str, exit_code: int, written: datetime) -> list[TextFile]:
    stderr = f"The command line ended with exit code {exit_code}\n" if exit_code else ""
    return [
        TextFile(f"{folder}stdout.txt", f"{command_line}\n", written),
        TextFile(f"{folder}stderr.txt", stderr, written),
    ]
