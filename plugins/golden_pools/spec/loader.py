"""Reads pool specs: one file, or a whole directory with what only the directory can tell."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from golden_pools.errors import SpecError
from golden_pools.spec.document import Document, Remark, quoted, read_document
from golden_pools.spec.faults import model_faults
from golden_pools.spec.following import following_faults
from golden_pools.spec.limits import limit_warnings
from golden_pools.spec.model import PoolSpec
from golden_pools.spec.names import LONGEST_STEM, PATTERN_IN_WORDS, POOL_NAME_PATTERN
from golden_pools.spec.neighbours import neighbour_faults

DIRECTORY_VARIABLE = "GOLDEN_POOLS_DIR"
"""Environment variable with the directory of the specs; without it, ``include/pools`` beside ``plugins``."""

SUFFIX = ".yaml"

_NAME = "the file's name, which is the pool's"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Specs that were read together. A file is either good, then its pool is in ``specs`` (sorted), or in ``faults``.

    ``warnings`` are lines about good files.
    """

    specs: Mapping[str, PoolSpec]
    faults: Mapping[Path, SpecError]
    warnings: Mapping[Path, list[str]]

    def raise_faults(self) -> None:
        """Raise one error that names every bad file with all its faults.

        :raises SpecError: where there is a bad file
        """
        if self.faults:
            lines = [f"{path.name}: {fault}" for path, error in self.faults.items() for fault in error.faults]
            raise SpecError(", ".join(map(str, self.faults)), lines)


@dataclass
class _File:
    """One file while it is being judged."""

    path: Path
    document: Document | None = None
    spec: PoolSpec | None = None
    faults: list[Remark] = field(default_factory=list)

    @property
    def pool(self) -> str:
        return self.path.stem

    @property
    def good_spec(self) -> PoolSpec:
        """The spec of a file that has no faults."""
        if self.faults or self.spec is None:
            raise self.error()
        return self.spec

    def add(self, remarks: Iterable[Remark]) -> None:
        self.faults += self.with_lines(remarks)

    def with_lines(self, remarks: Iterable[Remark]) -> list[Remark]:
        """Return the remarks, each with the line of its field."""
        assert self.document is not None
        return [remark._replace(line=self.document.line(remark.location)) for remark in remarks]

    def error(self) -> SpecError:
        return SpecError(str(self.path), [str(fault) for fault in sorted(self.faults, key=lambda fault: fault.line)])


def pools_directory() -> Path:
    """Return the directory of the pool specs."""
    beside_plugins = Path(__file__).resolve().parents[3] / "include" / "pools"
    return Path(os.environ.get(DIRECTORY_VARIABLE) or beside_plugins)


def pool_files(directory: Path | None = None) -> list[Path]:
    """Return the spec files of a directory, sorted; also those whose name is a fault.

    :raises SpecError: there is no such directory
    """
    directory = directory or pools_directory()
    try:
        entries = sorted(directory.iterdir())
    except OSError as error:
        raise SpecError(
            str(directory),
            [f"cannot be read: {error.strerror}; allowed: the directory of the pool specs ({DIRECTORY_VARIABLE})"],
        ) from error
    return [path for path in entries if path.suffix.lower() in {SUFFIX, ".yml"} and not path.name.startswith(".")]


def load_pool(path: Path) -> PoolSpec:
    """Return the spec of one file.

    :raises SpecError: with every fault of the file at once
    """
    return _read(path).good_spec


def load_one(pool: str, directory: Path | None = None) -> PoolSpec:
    """Return the spec of one pool, for a task's start: reads just that file, and does not look at its neighbours.

    :raises SpecError: with every fault of the file at once, or because there is none
    """
    return load_pool((directory or pools_directory()) / f"{pool}{SUFFIX}")


def load_with_followed(pool: str, directory: Path | None = None) -> dict[str, PoolSpec]:
    """Return the spec of one pool, for a task's start, and those of the pools that it follows or waits for.

    :raises SpecError: with every fault of the first file that has some, or because there is none
    """
    specs = {pool: load_one(pool, directory)}
    if (follow := specs[pool].image.source.follow) is not None:
        specs |= {other: load_one(other, directory) for other in (follow.pool, *follow.after)}
    return specs


def load_pools(directory: Path | None = None) -> Loaded:
    """Return what all files of a directory hold, good and bad; a bad file does not touch the others."""
    directory = directory or pools_directory()
    try:
        return load_files(pool_files(directory))
    except SpecError as error:
        return Loaded(specs={}, faults={directory: error}, warnings={})


def load_files(paths: Iterable[Path]) -> Loaded:
    """Return what these files hold; two that are good each by itself and in each other's way are both bad."""
    files = [_read(path) for path in paths]
    _compare_names(files)
    alone = {file.pool: file for file in files if not file.faults}
    for pool, faults in neighbour_faults({pool: file.good_spec for pool, file in alone.items()}).items():
        alone[pool].add(faults)
    _compare_following(files)
    good = [file for file in files if not file.faults]
    warnings = {file.path: file.with_lines(limit_warnings(file.good_spec)) for file in good}
    return Loaded(
        specs={file.pool: file.good_spec for file in sorted(good, key=lambda file: file.pool)},
        faults={file.path: file.error() for file in files if file.faults},
        warnings={path: [str(remark) for remark in remarks] for path, remarks in warnings.items() if remarks},
    )


def _read(path: Path) -> _File:
    """Read and judge one file by itself."""
    file = _File(path, faults=_name_faults(path))
    document = read_document(path)
    if isinstance(document, Remark):
        file.faults.append(document)
        return file
    file.document = document
    file.faults += document.faults
    try:
        file.spec = PoolSpec.model_validate(document.data)
    except ValidationError as error:
        file.faults += [fault for fault in model_faults(error, document) if fault.location not in document.unreadable]
    else:
        file.add(_stem_faults(file.pool, file.spec))
    return file


def _name_faults(path: Path) -> list[Remark]:
    faults = []
    if path.suffix != SUFFIX:
        faults.append(Remark((), f"the file's name: found the ending {quoted(path.suffix)}; allowed: {SUFFIX}"))
    if not re.fullmatch(POOL_NAME_PATTERN, path.stem):
        text = f"{_NAME}: found {quoted(path.stem)}; allowed: {PATTERN_IN_WORDS[POOL_NAME_PATTERN]}"
        faults.append(Remark((), text))
    return faults


def _stem_faults(pool: str, spec: PoolSpec) -> list[Remark]:
    """The pool's name may be longer than what a snapshot's name has room for."""
    if spec.image.name or len(pool) <= LONGEST_STEM:
        return []
    text = (
        f"found nothing, and the pool's own name is too long for a snapshot's ({len(pool)} characters); "
        f"allowed: {LONGEST_STEM} characters at most, so give a shorter name here"
    )
    return [Remark(("image", "name"), text)]


def _compare_following(files: Iterable[_File]) -> None:
    """Look again after each fault: who follows a pool with faults has one, too."""
    while True:
        good = {file.pool: file for file in files if not file.faults}
        broken = {file.pool for file in files if file.faults}
        faults = following_faults({pool: file.good_spec for pool, file in good.items()}, broken)
        if not faults:
            return
        for pool, remarks in faults.items():
            good[pool].add(remarks)


def _compare_names(files: Iterable[_File]) -> None:
    """Batch compares pool names without case, and so do some file systems."""
    by_name: dict[str, list[_File]] = defaultdict(list)
    for file in files:
        by_name[file.pool.lower()].append(file)
    for alike in by_name.values():
        for file in alike:
            if others := ", ".join(other.path.name for other in alike if other is not file):
                file.faults.append(Remark((), f"{_NAME}: found the name of {others} too; allowed: one file per pool"))
