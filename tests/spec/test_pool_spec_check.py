"""``dags/pool_spec_check.py``: an import error of its own for the faults of all specs."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from golden_pools.errors import SpecError

Write = Callable[..., Path]
DAG_FILE = Path(__file__).parents[2] / "dags" / "pool_spec_check.py"


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], object]:
    monkeypatch.setenv("GOLDEN_POOLS_DIR", str(tmp_path))
    return lambda: runpy.run_path(str(DAG_FILE))


def test_faulty_specs_are_one_error_that_names_all_files(write: Write, check: Callable[[], object]) -> None:
    write(("spot: 1", "spot: x"), name="one.yaml")
    write(("spot: 1", "spot: y"), name="two.yaml")
    with pytest.raises(SpecError) as caught:
        check()
    assert [fault.split(": found")[0] for fault in caught.value.faults] == [
        "one.yaml: line 18: pool.targets.spot",
        "two.yaml: line 18: pool.targets.spot",
    ]


def test_good_specs_import_without_a_word_and_without_a_dag(
    write: Write, check: Callable[[], dict[str, object]]
) -> None:
    from airflow.sdk import DAG

    write()
    assert not [value for value in check().values() if isinstance(value, DAG)]


def test_at_a_task_s_start_the_other_files_are_nobody_s_business(
    write: Write, check: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.definitions import context

    monkeypatch.setenv(context._AIRFLOW_PARSING_CONTEXT_DAG_ID, "golden_pool_farm")
    write(("spot: 1", "spot: x"))
    check()


def test_in_airflow_the_good_pool_s_dag_goes_on_beside_the_import_error(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("GOLDEN_POOLS_DIR", str(tmp_path))
    write(name="good.yaml")
    bad = write(("spot: 1", "spot: x"), name="bad.yaml")
    pools = DagBag(DAG_FILE.with_name("golden_pools.py"), bundle_name="dags")
    checks = DagBag(DAG_FILE, bundle_name="dags")
    assert (list(pools.dags), pools.import_errors) == (["golden_pool_good"], {})
    (error,) = checks.import_errors.values()
    assert f"{bad}: 1 fault" in error
    assert "bad.yaml: line 18: pool.targets.spot: found 'x'; allowed: a whole number from 0 to 1,000" in error


def test_airflow_s_search_for_dag_files_finds_it() -> None:
    from airflow.utils.file import might_contain_dag

    assert might_contain_dag(str(DAG_FILE), safe_mode=True)
