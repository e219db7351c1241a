"""Reads ``airflow.env``, the one place of the Airflow settings that this project needs."""

from __future__ import annotations

from pathlib import Path

from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parent.parent
"""The project's directory: what Airflow has on its ``PYTHONPATH``."""

SETTINGS_FILE = Path(__file__).with_name("airflow.env")


def settings(path: Path = SETTINGS_FILE) -> dict[str, str]:
    """The settings as environment variables.

    :param path: a file of ``KEY=VALUE`` lines, as docker compose reads it.
    :raises OSError: when the file cannot be read.
    :raises ValueError: when a line is a name without a value.
    """
    with path.open(encoding="utf-8") as lines:
        found = dotenv_values(stream=lines, interpolate=False)
    if missing := [name for name, value in found.items() if value is None]:
        raise ValueError(f"{path}: no value for {', '.join(missing)}")
    return {name: value for name, value in found.items() if value is not None}


def project_environment() -> dict[str, str]:
    """The settings, and where this project's DAGs, plugins and modules are."""
    return settings() | {
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
    }
