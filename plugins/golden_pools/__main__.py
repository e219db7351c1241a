"""``python -m golden_pools lineage``: where an image came from and where it went. Reads only.

- ``from_node POOL NODE``: what a node booted from, back to the VM
- ``from_pool POOL``: what a pool runs on and ran on, back to the VM, and its nodes
- ``from_version VERSION``: both ways
- ``from_vm VM``: everything that came of a VM, forward to the nodes

It runs outside of tasks, with the specs of ``GOLDEN_POOLS_DIR`` and the connections of the Airflow that it finds itself
in: its environment variables, its secrets backends, its database.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from golden_pools.errors import GoldenPoolsError
from golden_pools.rules import lineage
from golden_pools.spec.loader import load_pools

if TYPE_CHECKING:
    from golden_pools.rules.lineage import Line, Station


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 1 where it has no answer."""
    options = _parser().parse_args(arguments)
    try:
        line = _line(options)
    except GoldenPoolsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if options.picture is not None:
        options.picture.write_text(lineage.picture(line), encoding="utf-8")
    if options.json:
        sys.stdout.write(json.dumps(line.to_dict(), indent=2) + "\n")
    else:
        _show(line)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m golden_pools", description="Ask about pools and their images.")
    commands = parser.add_subparsers(dest="command", required=True)
    asked = commands.add_parser("lineage", help="where an image came from, and where it went")
    questions = asked.add_subparsers(dest="question", required=True)
    for name, names, words in (
        ("from_node", ("pool", "node"), "what a node booted from, back to the VM"),
        ("from_pool", ("pool",), "what a pool runs on and ran on, back to the VM, and its nodes"),
        ("from_version", ("version",), "where an image version came from, and where it went"),
        ("from_vm", ("vm",), "everything that came of a VM, forward to the nodes"),
    ):
        question = questions.add_parser(name, help=words, description=words)
        for positional in names:
            question.add_argument(positional, metavar=positional.upper(), help=_HELP[positional])
        if name != "from_node":
            words = "so many of the newest versions, beside those that pools are on (default: %(default)s)"
            question.add_argument("--last", type=_number, default=10, metavar="N", help=words)
        question.add_argument("--json", action="store_true", help="as JSON")
        question.add_argument("--picture", type=Path, metavar="FILE.svg", help="draw it, too")
    return parser


_HELP = {
    "pool": "name of a pool spec, id of a pool, account/pool, or the whole ARM id",
    "node": "id of a node",
    "version": "number of a version, definition/number, or the whole ARM id",
    "vm": "name of a VM, resource group/VM, or the whole ARM id",
}


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a number of things, 0 or more")
    return int(text)


def _start_airflow() -> None:
    """Let Airflow read its settings, before anything that would take its failure for one of its own.

    :raises GoldenPoolsError: it does not start
    """
    try:
        import airflow.settings  # noqa: F401
    except Exception as error:
        raise GoldenPoolsError(
            f"Airflow, which knows the connections, does not start here: {type(error).__name__}: {error}",
            advice="run this in the environment of the Airflow whose connections it is to use; AIRFLOW_HOME has to be "
            "an absolute path",
        ) from error


def _line(options: argparse.Namespace) -> Line:
    _start_airflow()
    from golden_pools.hooks.lineage import look

    question = options.question
    pool_of_node = options.pool if question == "from_node" else None
    seen = look(load_pools(), datetime.now(tz=UTC), pool_of_node=pool_of_node)
    if question == "from_node":
        return lineage.from_node(seen, options.pool, options.node)
    if question == "from_pool":
        return lineage.from_pool(seen, options.pool, last=options.last)
    if question == "from_version":
        return lineage.from_version(seen, options.version, last=options.last)
    return lineage.from_vm(seen, options.vm, last=options.last)


def _show(line: Line) -> None:
    """Print the line as a table: from the VM down to the nodes, each with what it came from."""
    console = Console(highlight=False)
    names = {station.key: station for station in line.stations}
    console.print(line.question)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("", "what", "name", "state", "from", "known"):
        table.add_column(head, overflow="fold")
    for station in line.stations:
        before = [
            " ".join(filter(None, (names[link.before].name, f"({link.words})" if link.words else "")))
            for link in line.links
            if link.after == station.key
        ]
        table.add_row(*_cells(station, before))
    console.print(table)
    for gap in line.unknown:
        console.print(f"Not known: {gap}", markup=False)


def _cells(station: Station, before: Sequence[str]) -> list[str]:
    mark = ">" if station.asked else ""
    return [mark, station.kind, station.name, station.state, "\n".join(before), "\n".join(station.facts)]


if __name__ == "__main__":
    # Airflow's name for a process that may read its database; without it connections kept there are not found.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    logging.disable(logging.INFO)  # Airflow and the Azure SDKs tell of themselves
    sys.exit(main())
