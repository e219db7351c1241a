"""Looks at Azure: once for everybody, in the background, and the page goes on without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.utils.session import create_session
from golden_pools.ui import pages, shelf
from golden_pools.ui.looks import LONGEST_PAUSE, Kind, Lease, Looker, Unit, pause_after
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from starlette.testclient import TestClient

from include.airflow_settings import ROOT
from tests.operators.conftest import NEW, OLD, Cloud
from tests.ui.conftest import POLL_SECONDS, Open, let_time_pass
from tests.ui.seed import NOW, Seed
from tests.ui.test_overview import WENT_WELL, overview

ACCOUNT = (
    "/subscriptions/51a51a51-0000-4000-8000-000000000003/resourceGroups/batch"
    "/providers/Microsoft.Batch/batchAccounts/goldenbatch"
)


def asked(azure: Cloud) -> list[str]:
    """What Azure was asked, by method and path."""
    return [f"{entry['method']} {entry['url'].split('?')[0].removeprefix(azure.url)}" for entry in azure.requests()]


def leases() -> dict[str, dict[str, Any]]:
    with create_session() as session:
        rows = session.execute(select(AssetStateStoreModel.key, AssetStateStoreModel.value)).all()
    return {key: json.loads(value) for key, value in rows if key.startswith("page/lease/")}


def test_the_first_view_waits_for_nothing_and_the_next_has_it_all(
    small: Cloud, viewer: TestClient, settled: Callable[[], None]
) -> None:
    first = viewer.get("/golden-pools/api/overview").json()
    settled()

    row = overview(viewer)["small"]

    assert first["pools"][0]["nodes"] is None
    assert first["pools"][0]["azure"] == {"at": None, "error": None}
    assert first["interval_seconds"] == 2
    assert row["nodes"] == {"target": 2, "ready": 2, "starting": 0, "bad": 0, "missing": 0}
    assert (row["image"]["version"], row["image"]["newest"]) == (NEW, True)
    assert row["azure"]["at"] is not None
    assert (row["attention"], row["why"]) == ("fine", "")


def test_a_look_is_few_reads_and_no_write(small: Cloud, viewer: TestClient, settled: Callable[[], None]) -> None:
    overview(viewer)
    settled()

    kinds = sorted(line.rpartition("/")[2] for line in asked(small))
    assert kinds == ["goldenbatch", "nodecounts", "pools", "versions"]
    assert {line.partition(" ")[0] for line in asked(small)} == {"GET"}


def test_however_many_look_azure_is_asked_once(small: Cloud, login: Open, settled: Callable[[], None]) -> None:
    people = [login("VIEWER") for _ in range(10)]
    for one in people:
        overview(one)
    settled()
    once = len(asked(small))

    for one in people:
        overview(one)
    settled()

    assert len(asked(small)) == once == 4


def test_nobody_looks_where_nobody_asks(small: Cloud, login: Open, settled: Callable[[], None]) -> None:
    login(None).get("/golden-pools/api/overview")
    login("").get("/golden-pools/api/overview")
    settled()

    assert asked(small) == []


def test_the_next_look_comes_after_the_connections_interval(
    small: Cloud, viewer: TestClient, settled: Callable[[], None]
) -> None:
    before = datetime.now(tz=UTC)
    overview(viewer)
    settled()
    after = datetime.now(tz=UTC)

    due = {key.split("/")[2]: datetime.fromisoformat(lease["until"]) for key, lease in leases().items()}
    for kind, intervals in (("account", 1), ("image", 20)):
        pause = timedelta(seconds=intervals * POLL_SECONDS)
        assert before + pause <= due[kind] <= after + pause


def test_two_processes_share_one_look(small: Cloud, viewer: TestClient, seed: Seed) -> None:
    script = (
        "from datetime import UTC, datetime\n"
        "from airflow.utils.session import create_session\n"
        "from golden_pools.ui import shelf\n"
        "from golden_pools.ui.looks import Kind, Looker, Unit\n"
        f"unit = Unit(kind=Kind.ACCOUNT, connection='azure_default', subscription={small.subscription!r}, "
        f"about={ACCOUNT!r})\n"
        "looker = Looker()\n"
        "with create_session() as session:\n"
        "    shared = shelf.read(session)\n"
        "print('ready', flush=True)\n"
        "input()\n"
        "looker.see_to([unit], shared, datetime.now(tz=UTC))\n"
        "assert looker.rest(60)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert any("ready" in line for line in iter(process.stdout.readline, "")), "it ended before it was ready"
    for process in processes:
        process.communicate("\n", timeout=120)

    assert [process.returncode for process in processes] == [0, 0]
    assert sum(line.endswith("/pools") for line in asked(small)) == 1
    assert overview(viewer)["small"]["nodes"]["ready"] == 2


def test_of_two_that_swap_at_once_one_succeeds(azure: Cloud) -> None:
    assert [shelf.take("page/x", None, "a", "page/x"), shelf.take("page/x", None, "b")] == [
        {"page/x": "a"},
        None,
    ]
    assert [shelf.take("page/x", "a", "c", "page/x"), shelf.take("page/x", "a", "d")] == [
        {"page/x": "c"},
        None,
    ]


def test_who_lost_the_lease_leaves_what_the_next_one_saw(azure: Cloud) -> None:
    shelf.take("page/x", None, "mine")
    shelf.take("page/x", "mine", "theirs")

    assert not shelf.settle("page/x", "mine", "rest", {"page/seen": "old"})
    assert shelf.settle("page/x", "theirs", "rest", {"page/seen": "new"})
    with create_session() as session:
        assert shelf.read(session, "page/seen") == {"page/seen": "new"}


def test_a_look_that_fails_keeps_the_last_one_with_its_age(
    small: Cloud, viewer: TestClient, settled: Callable[[], None]
) -> None:
    overview(viewer)
    settled()
    before = overview(viewer)["small"]
    let_time_pass()
    small.fault(method="GET", path=".*", status=403, code="AuthorizationFailed", message="no right to read")

    overview(viewer)
    settled()

    row = overview(viewer)["small"]
    assert row["nodes"] == before["nodes"]
    assert row["azure"]["at"] == before["azure"]["at"]
    assert "AuthorizationFailed" in row["azure"]["error"]


def test_where_azure_has_never_answered_the_row_says_so_and_stands(
    azure: Cloud, seed: Seed, viewer: TestClient, settled: Callable[[], None]
) -> None:
    seed.pool("small")
    azure.fault(method="GET", path=".*", status=403, code="AuthorizationFailed", message="no right to read")

    overview(viewer)
    settled()

    row = overview(viewer)["small"]
    assert (row["nodes"], row["image"], row["azure"]["at"]) == (None, None, None)
    assert "AuthorizationFailed" in row["azure"]["error"]
    assert row["attention"] == "unknown"


def test_failures_in_a_row_are_counted_until_a_look_succeeds(
    small: Cloud, viewer: TestClient, settled: Callable[[], None]
) -> None:
    counted = []
    for fails in (True, True, False):
        small.control("DELETE", "faults")
        if fails:
            small.fault(method="GET", path=".*", status=403, code="AuthorizationFailed", message="no")
        let_time_pass()
        overview(viewer)
        settled()
        counted += [lease["failures"] for key, lease in leases().items() if "/account/" in key]

    assert counted == [1, 2, 0]


@given(st.floats(1, 600), st.sampled_from(Kind), st.integers(0, 50))
def test_pauses_grow_with_failures_and_are_never_shorter_than_the_interval(
    interval: float, kind: Kind, failures: int
) -> None:
    usual, pause, next_one = (pause_after(kind, interval, count) for count in (0, failures, failures + 1))

    assert usual <= pause <= next_one <= max(usual, LONGEST_PAUSE)


def test_a_login_that_azure_throttles_is_left_alone(
    azure: Cloud, seed: Seed, viewer: TestClient, settled: Callable[[], None]
) -> None:
    for name in ("one", "two", "three"):
        seed.pool(name)
    azure.fault(
        method="GET", path="/pools$", status=429, code="TooManyRequests", message="slow", retry_after_seconds=240
    )

    overview(viewer)
    settled()

    assert [line.rpartition("/")[2] for line in asked(azure)] == ["pools"], "and none for the images"
    (until,) = (datetime.fromisoformat(lease["until"]) for lease in leases().values())
    assert until - datetime.now(tz=UTC) > timedelta(minutes=3)
    assert "TooManyRequests" in overview(viewer)["one"]["azure"]["error"]


def test_a_login_without_a_connection_is_told_with_what_to_do(
    azure: Cloud, seed: Seed, viewer: TestClient, settled: Callable[[], None]
) -> None:
    seed.pool("small", connection="nowhere")

    overview(viewer)
    settled()

    error = overview(viewer)["small"]["azure"]["error"]
    assert error.startswith("There is no such Airflow connection.")
    assert "make a connection nowhere" in error


def test_a_secret_of_the_connection_is_nowhere_on_the_page(
    azure: Cloud, seed: Seed, viewer: TestClient, settled: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"tenantId": "tenant", "arm_endpoint": "https://127.0.0.1:1", "login_endpoint": "https://127.0.0.1:1"}
    value = json.dumps({"conn_type": "azure", "login": "client", "password": "hunter2-secret", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", value)
    seed.pool("small", connection="away")

    overview(viewer)
    settled()

    answer = viewer.get("/golden-pools/api/overview")
    assert answer.json()["pools"][0]["azure"]["error"]
    with create_session() as session:
        kept = json.dumps(shelf.read(session))
    assert "hunter2" not in answer.text + kept


def test_a_defect_of_a_look_is_told_and_ends_nothing(azure: Cloud, seed: Seed, viewer: TestClient) -> None:
    class Broken(Looker):
        pass

    from contextlib import contextmanager

    class Glances:
        @contextmanager
        def through(self, *_: str) -> Any:
            yield self

        def look(self, *_: Any) -> Any:
            raise KeyError("a secret value")

    seed.pool("small")
    looker = Broken(Glances())  # type: ignore[arg-type]
    pages.LOOKER.see_to = looker.see_to  # type: ignore[method-assign]
    overview(viewer)
    assert looker.rest(60)

    error = overview(viewer)["small"]["azure"]["error"]
    assert error == "KeyError: see the API server's log"


def test_a_process_that_died_with_a_lease_does_not_hold_it_for_ever(
    small: Cloud, viewer: TestClient, settled: Callable[[], None]
) -> None:
    unit = Unit(kind=Kind.ACCOUNT, connection="azure_default", subscription=small.subscription, about=ACCOUNT)
    lease = Lease(until=datetime.now(tz=UTC) + timedelta(minutes=1), holder="dead")
    assert shelf.take(unit.lease_key, None, lease.text()) is not None
    overview(viewer)
    settled()
    assert overview(viewer)["small"]["nodes"] is None

    let_time_pass()
    overview(viewer)
    settled()

    assert overview(viewer)["small"]["nodes"]["ready"] == 2


def test_without_the_watchs_asset_the_page_says_where_looks_would_be_kept(
    azure: Cloud, seed: Seed, viewer: TestClient, settled: Callable[[], None]
) -> None:
    seed.pool("small")
    seed.forget_asset()

    overview(viewer)
    settled()

    assert "watch_pools" in overview(viewer)["small"]["azure"]["error"]
    assert asked(azure) == []


def test_a_node_that_is_missing_needs_a_person_unless_a_run_brings_it(
    small: Cloud, seed: Seed, viewer: TestClient, settled: Callable[[], None]
) -> None:
    seed.spec("small", pool={"targets": {"dedicated": 5, "spot": 0}})
    overview(viewer)
    settled()
    alone = overview(viewer)["small"]
    seed.run("golden_pool_small", "running", {"pool.resize": "deferred"}, run_id="later", started=NOW)

    busy = overview(viewer)["small"]

    assert alone["nodes"]["missing"] == 3
    assert (alone["attention"], alone["why"]) == ("act", "3 of 5 nodes are missing, and no run is bringing them.")
    assert busy["attention"] == "busy"


def test_a_pool_on_an_older_version_is_looked_at(
    azure: Cloud, seed: Seed, viewer: TestClient, settled: Callable[[], None]
) -> None:
    old = azure.make_version(OLD, **{"golden-pools-verdict": "good"})
    azure.make_version(NEW, **{"golden-pools-verdict": "good"})
    azure.make_pool(old, dedicated=2)
    seed.run(seed.pool("small"), "success", WENT_WELL)
    overview(viewer)
    settled()

    row = overview(viewer)["small"]

    assert (row["image"]["version"], row["image"]["newest"], row["attention"]) == (OLD, False, "look")
