"""Writes files of fresh secrets: the ``.env`` of docker compose, and the keys of a local Airflow.

Needs nothing but Python, since ``make env`` runs it before anything is installed.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

Secret = Callable[[], str]


def fernet_key() -> str:
    """A key for Airflow's encryption at rest: 32 random bytes, URL-safe base64."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def signing_key() -> str:
    """A key for HS512 tokens: 64 random bytes, as PyJWT asks for."""
    return secrets.token_hex(64)


def password() -> str:
    """A password that is safe in a URL and in a shell: 192 bits of letters and digits."""
    return secrets.token_hex(24)


COMPOSE_SECRETS: Mapping[str, Secret] = {
    "AIRFLOW_FERNET_KEY": fernet_key,
    "AIRFLOW_JWT_SECRET": signing_key,
    "AIRFLOW_API_SECRET_KEY": signing_key,
    "AIRFLOW_ADMIN_PASSWORD": password,
    "POSTGRES_PASSWORD": password,
    "REDIS_PASSWORD": password,
}


def write_fresh(path: Path, names: Mapping[str, Secret]) -> None:
    """Write a file of ``NAME=value`` lines that only its owner can read.

    :raises FileExistsError: when the file exists; it is left as it is, since data may be encrypted with its keys.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.writelines(f"{name}={make()}\n" for name, make in names.items())


def main(path: Path) -> int:
    """Write docker compose's ``.env``; the result is the exit status."""
    try:
        write_fresh(path, COMPOSE_SECRETS)
    except FileExistsError:
        print(f"{path} exists and stays as it is. To start anew, move it away and remove the database's volume.")
        return 1
    print(f"{path} written. The admin's password is AIRFLOW_ADMIN_PASSWORD in it.")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
