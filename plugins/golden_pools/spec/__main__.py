"""``python -m golden_pools.spec``: check spec files, and make what is made from the model.

- ``check [FILE ...]``: every fault and every warning of these files together; without files, of the directory
- ``schema [FILE ...]``: the JSON schema for editors, to files or to the screen
- ``table [FILE ...]``: the table of fields, between the markers of Markdown files or to the screen
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from golden_pools.spec.loader import Loaded, load_files, load_pools
from golden_pools.spec.schema import schema_text
from golden_pools.spec.table import field_table, write_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 1 where a file has faults."""
    options = _parser().parse_args(arguments)
    files: list[Path] = options.files
    if options.command == "check":
        return _check(load_files(files) if files else load_pools())
    if not files:
        _say(schema_text() if options.command == "schema" else field_table())
    for file in files:
        if options.command == "schema":
            file.write_text(schema_text() + "\n", encoding="utf-8")
        else:
            write_table(file)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m golden_pools.spec", description="Check pool specs.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_text in (
        ("check", "say every fault and warning of spec files; without files, of the whole directory"),
        ("schema", "write the JSON schema for editors, to files or to the screen"),
        ("table", "write the table of fields, between the markers of Markdown files or to the screen"),
    ):
        commands.add_parser(name, help=help_text).add_argument("files", nargs="*", type=Path, metavar="FILE")
    return parser


def _check(loaded: Loaded) -> int:
    for error in loaded.faults.values():
        _say(str(error))
    for path, warnings in loaded.warnings.items():
        for warning in warnings:
            _say(f"{path}: warning: {warning}")
    _say(f"{len(loaded.specs)} good, {len(loaded.faults)} with faults")
    return 1 if loaded.faults else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
