"""Who sees what of the page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from include.airflow_settings import ROOT
from tests.ui.conftest import Open
from tests.ui.seed import Seed

if TYPE_CHECKING:
    from fastapi import FastAPI

DATA = ("/golden-pools/api/overview", "/golden-pools/api/pools/alpha", "/golden-pools/api/pools/alpha/runs/one")


@pytest.mark.parametrize("path", DATA)
def test_without_a_login_there_is_no_data(login: Open, seed: Seed, path: str) -> None:
    seed.pool("alpha")

    answer = login(None).get(path)

    assert answer.status_code == 401
    assert "alpha" not in answer.text


def test_without_a_login_the_page_leads_to_airflows_login_and_back(login: Open) -> None:
    answer = login(None).get("/golden-pools/page", follow_redirects=False)

    assert answer.status_code == 307
    assert answer.headers["location"].startswith("/api/v2/auth/login?next=")
    assert "golden-pools%2Fpage" in answer.headers["location"]


@pytest.mark.parametrize(("role", "shown", "may"), [("", False, None), ("VIEWER", True, False), ("USER", True, True)])
def test_what_is_shown_and_offered_follows_from_the_role(
    login: Open, seed: Seed, role: str, shown: bool, may: bool | None
) -> None:
    seed.pool("alpha")
    client = login(role)

    rows = client.get("/golden-pools/api/overview").json()["pools"]
    page = client.get("/golden-pools/api/pools/alpha")

    assert [row["may"] for row in rows] == ([{"trigger": may}] if shown else [])
    assert page.status_code == (200 if shown else 404)
    assert not shown or page.json()["may"] == {"trigger": may, "resize": may}


def test_a_dag_that_somebody_may_not_read_has_no_row_and_no_page(
    viewer: TestClient, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pool in ("mine", "theirs"):
        seed.run(seed.pool(pool), "failed", {"plan": "failed"})
    _let_read(monkeypatch, lambda dag_id: dag_id != "golden_pool_theirs")

    answer = viewer.get("/golden-pools/api/overview")

    assert [row["pool"] for row in answer.json()["pools"]] == ["mine"]
    assert "theirs" not in answer.text
    assert viewer.get("/golden-pools/api/pools/theirs").status_code == 404


def test_runs_of_a_dag_that_somebody_may_not_read_are_not_told(
    viewer: TestClient, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed.pool("alpha")
    seed.dag("resize_pool")
    seed.run("resize_pool", "failed", {"resize": "failed"}, conf={"pool": "alpha"}, run_id="secret")
    _let_read(monkeypatch, lambda dag_id: dag_id != "resize_pool")

    assert viewer.get("/golden-pools/api/overview").json()["pools"][0]["run"] is None
    assert viewer.get("/golden-pools/api/pools/alpha").json()["history"] == []
    assert viewer.get("/golden-pools/api/pools/alpha/runs/secret").status_code == 404


def test_who_may_read_dags_but_no_runs_sees_nothing(
    viewer: TestClient, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed.pool("alpha")
    _let_read(monkeypatch, lambda _: True, entities=False)

    assert viewer.get("/golden-pools/api/overview").json()["pools"] == []


def test_who_may_trigger_one_dag_is_offered_that_one(login: Open, seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    for pool in ("mine", "theirs"):
        seed.pool(pool)
    client = login("USER")
    _let_read(monkeypatch, lambda _: True, trigger=lambda dag_id: dag_id == "golden_pool_mine")

    rows = client.get("/golden-pools/api/overview").json()["pools"]

    assert {row["pool"]: row["may"]["trigger"] for row in rows} == {"mine": True, "theirs": False}


def _let_read(
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[[str], bool],
    *,
    entities: bool = True,
    trigger: Callable[[str], bool] = lambda _: False,
) -> None:
    """Let the auth manager answer DAG by DAG, as those of larger installations do."""
    from airflow.api_fastapi.app import get_auth_manager

    def answer(*, method: str, access_entity: object = None, details: Any = None, user: object) -> bool:
        if details is None or details.id is None:
            return entities
        return read(details.id) if method == "GET" else trigger(details.id)

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", answer)


def test_faults_of_specs_are_for_who_may_read_import_errors(
    login: Open, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    (seed.specs / "broken.yaml").write_text("pool: 1\n", encoding="utf-8")
    client = login("VIEWER")
    told = client.get("/golden-pools/api/overview").json()["faults"]
    monkeypatch.setattr(get_auth_manager(), "is_authorized_view", lambda **_: False)

    assert [fault["file"] for fault in told] == ["broken.yaml"]
    assert client.get("/golden-pools/api/overview").json()["faults"] == []


@pytest.mark.parametrize("path", ["page", "api/overview", "static/page.css", "api/pools/nothing", "nothing"])
def test_every_answer_forbids_the_browser_what_the_page_does_not_need(
    viewer: TestClient, seed: Seed, path: str
) -> None:
    headers = viewer.get(f"/golden-pools/{path}").headers

    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_data_is_never_kept_by_a_browser_and_files_are_asked_after(viewer: TestClient, seed: Seed) -> None:
    assert viewer.get("/golden-pools/api/overview").headers["cache-control"] == "no-store"
    static = viewer.get("/golden-pools/static/page.css").headers
    assert static["cache-control"] == "no-cache"
    assert static["etag"]


def test_the_page_is_the_same_file_for_everybody(login: Open) -> None:
    pages = [login(role).get("/golden-pools/page") for role in ("", "VIEWER", "ADMIN")]

    assert {page.status_code for page in pages} == {200}
    assert len({page.text for page in pages}) == 1


def test_there_is_nothing_but_reading(api_server: FastAPI) -> None:
    from golden_pools.ui.app import app

    methods = {method for route in app.routes for method in getattr(route, "methods", None) or ()}
    assert methods <= {"GET", "HEAD"}


@pytest.mark.parametrize("path", ["docs", "redoc", "openapi.json"])
def test_the_app_describes_itself_to_nobody(viewer: TestClient, path: str) -> None:
    assert viewer.get(f"/golden-pools/{path}").status_code == 404


def test_a_cookie_of_airflows_login_is_enough(login: Open, seed: Seed) -> None:
    token = login("VIEWER").headers["Authorization"].removeprefix("Bearer ")
    client = login(None)
    client.cookies.set("_token", token)

    assert client.get("/golden-pools/api/overview").status_code == 200


def test_a_token_that_is_none_is_refused(login: Open) -> None:
    client = login(None)
    client.headers["Authorization"] = "Bearer nonsense"

    assert client.get("/golden-pools/api/overview").status_code in (401, 403)


def test_who_serves_pages_imports_no_azure_sdk_before_a_look() -> None:
    probe = (
        "import sys, golden_pools.ui.app\n"
        "print([name for name in ('azure.core', 'azure.batch', 'msal') if name in sys.modules])"
    )

    shown = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)

    assert shown.stdout.splitlines()[-1] == "[]"
