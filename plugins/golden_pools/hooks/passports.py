"""Passports as files: one folder for each image version, and in it one part for each DAG that knows something of it.

``<path>/<definition>/<version>/<dag>.json``, with ``managed-images`` in the place of the definition where a pool takes
a managed image itself. Each DAG writes its own part only, so no two writers ever meet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from golden_pools.errors import PassportStoreError
from golden_pools.rules.facts import folded, number_of
from golden_pools.rules.passport import Passport
from golden_pools.rules.passport_parts import merge
from golden_pools.spec.image import Passports

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

Answer = TypeVar("Answer")

MANAGED_IMAGES = "managed-images"
SUFFIX = ".json"
LOCAL = ("", "file", "local")


class PassportStore:
    """Reads and writes parts of passports.

    Every method raises :class:`PassportStoreError`, whatever the file system below raises: each has errors of its own.

    :param place: what the spec says of the store
    """

    def __init__(self, place: Passports) -> None:
        self.place = place

    def add(self, writer: str, part: Passport) -> None:
        """Add what a run knows to the part of its DAG; what is there already is not written again.

        :param writer: id of the DAG
        """
        self.change(writer, part.image, lambda before: merge([before, part]) if before else part)

    def change(self, writer: str, image_id: str, change: Callable[[Passport | None], Passport | None]) -> None:
        """Replace the part of a DAG about an image, unless nothing changes.

        :param change: gets the part, or None where there is none; returns the new one, or None for no part
        """
        with self._reported("A passport could not be written", image_id):
            file = self._folder(image_id) / f"{writer}{SUFFIX}"
            before = _read(file, image_id)
            after = change(before)
            if after is not None and after != before:
                _write(file, after.model_dump_json(indent=2) + "\n")

    def document(self, image_id: str) -> Passport | None:
        """Return the passport of an image, put together of its parts, or None where there is no part."""
        with self._reported("A passport could not be read", image_id):
            return _document(self._folder(image_id), image_id)

    def documents(self, definition: str, *, most: int) -> list[Passport]:
        """Return the passports of a definition's newest versions.

        :param definition: its name, or :data:`MANAGED_IMAGES`
        :param most: so many at most
        """
        with self._reported("Passports could not be read", definition):
            folders = sorted(
                _entries(self._root() / definition), key=lambda folder: (number_of(folder.name), folder.name)
            )
            found = (_document(folder) for folder in folders[-most:])
            return [passport for passport in found if passport is not None]

    def look(self) -> None:
        """Look whether the store can be reached at all; one that nobody has written to yet is empty, not broken."""
        with self._reported("The place of the passports cannot be reached", ""):
            _entries(self._root())

    def _root(self) -> ObjectStoragePath:
        from airflow.sdk import ObjectStoragePath

        return ObjectStoragePath(self.place.path, conn_id=self.place.connection)

    def _folder(self, image_id: str) -> ObjectStoragePath:
        parts = image_id.rstrip("/").split("/")
        return self._root() / (parts[-3] if parts[-2].casefold() == "versions" else MANAGED_IMAGES) / parts[-1]

    @contextmanager
    def _reported(self, what: str, about: str) -> Iterator[None]:
        from golden_pools.hooks.failures import mask

        try:
            yield
        except PassportStoreError:
            raise
        except Exception as error:
            raise PassportStoreError(
                what,
                resource=f"{self.place.path}{f' ({about})' if about else ''}",
                # Cloud file systems put whole requests into their messages, and a signature may be among them.
                answer=mask(f"{type(error).__name__}: {error}"),
                advice="correct image.passports.path or its connection, or give the login the rights to list, read and "
                "write there; the file systems of abfs://, s3:// and others come with their provider packages",
            ) from error


def _entries(folder: ObjectStoragePath) -> list[ObjectStoragePath]:
    """Return what is in a folder; one that is not there is empty, and some file systems then say: not a directory."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        if folder.exists():
            raise
        return []


def _document(folder: ObjectStoragePath, image_id: str | None = None) -> Passport | None:
    files = sorted((entry for entry in _entries(folder) if entry.name.endswith(SUFFIX)), key=lambda file: file.name)
    parts = [part for file in files if (part := _read(file, image_id)) is not None]
    return merge(parts) if parts else None


def _read(file: ObjectStoragePath, image_id: str | None) -> Passport | None:
    """Return a part, or None where there is no such file.

    :raises PassportStoreError: it holds something else, or is about another image
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        part = Passport.model_validate_json(text)
    except ValueError as error:
        raise PassportStoreError(
            "A file among the passports is none, or one of another version of this product",
            resource=str(file),
            answer=" ".join(str(error).split()),
            advice="move it elsewhere; the next run of its DAG writes it anew",
        ) from error
    if image_id is not None and folded(part.image) != folded(image_id):
        raise PassportStoreError(
            "Two images have their passport in the same place",
            resource=str(file),
            answer=f"it is about {part.image}, not about {image_id}",
            advice="give one of the two specs an image.passports.path of its own",
        )
    return part


def _write(file: ObjectStoragePath, text: str) -> None:
    """Write a file as a whole or not at all: object storage does so by itself."""
    if file.protocol not in LOCAL:
        file.write_text(text, encoding="utf-8")
        return
    path = Path(file.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
