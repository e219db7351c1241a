"""The page on PostgreSQL, as in production: the tests that ask the database, once more, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from include.airflow_settings import ROOT
from tests.e2e.real_airflow import postgres

pytestmark = pytest.mark.services

FILES = ("test_app.py", "test_overview.py", "test_pool_page.py", "test_looks.py")


def test_the_page_is_the_same_on_postgresql() -> None:
    with postgres() as settings:
        environment = {
            **os.environ,
            "GOLDEN_POOLS_TEST_DATABASE": settings["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
            "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
        }
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-W", "ignore", "-p", "no:cacheprovider"]
        shown = subprocess.run(
            [*command, *(f"tests/ui/{name}" for name in FILES)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )

    assert shown.returncode == 0, shown.stdout[-6000:]
    assert " passed" in shown.stdout.splitlines()[-1]
