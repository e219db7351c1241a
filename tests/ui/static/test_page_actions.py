"""The buttons in a real Chromium: what each dialog says and sends, and what a refusal looks like."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.static import page_answers as answers
from tests.ui.static.conftest import Open
from tests.ui.static.page_site import Site

pytestmark = pytest.mark.browser

DAG = "/api/v2/dags/golden_pool_nightly"
RESIZE = "/api/v2/dags/resize_pool"
RUN = {"dag_run_id": "manual__2026-11-30T06:30:00+00:00"}


@pytest.fixture(autouse=True)
def airflow(site: Site) -> None:
    """An Airflow that does what it is asked."""
    for dag in (DAG, RESIZE):
        site.airflow["GET", dag] = (200, {"is_paused": False})
        site.airflow["PATCH", dag] = (200, {"is_paused": False})
        site.airflow["POST", f"{dag}/dagRuns"] = (200, RUN)


def dialog_of(page: Page, button: str) -> Locator:
    """Press a pool's button."""
    page.get_by_role("button", name=button).click()
    return page.get_by_role("dialog", name=f"{button}: nightly")


def begun(dialog: Locator, button: str) -> None:
    """Press the dialog's own button and wait for the run."""
    dialog.get_by_role("button", name=button).click()
    expect(dialog.get_by_role("alert")).to_contain_text("The run has begun: manual__2026-11-30T06:30:00+00:00")


def sent(site: Site) -> dict[str, Any]:
    """Return what the only run was started with."""
    ((method, _, body),) = site.sent()
    assert method == "POST"
    assert body["logical_date"] is None
    conf: dict[str, Any] = body["conf"]
    return conf


def test_refresh_says_what_happens_and_starts_a_run(site: Site, open_page: Open) -> None:
    dialog = dialog_of(open_page("#/pools/nightly"), "Refresh now")
    expect(dialog).to_contain_text("If the golden VM has changed, a new image is made and tried on one node first")
    expect(dialog).to_contain_text("The pool shrinks to zero nodes")
    expect(dialog).to_contain_text("Starts a run of golden_pool_nightly in your name.")
    assert not site.sent()
    begun(dialog, "Refresh now")
    assert sent(site) == {"force_rebuild": False}


def test_the_strategy_decides_what_the_dialog_warns_of(site: Site, open_page: Open) -> None:
    found = answers.page_failed()
    found["row"]["strategy"] = "blue_green"
    site.answers["pools/nightly"] = found
    expect(dialog_of(open_page("#/pools/nightly"), "Refresh now")).to_contain_text("A second pool grows")


def test_plan_only_writes_nothing_and_says_so(site: Site, open_page: Open) -> None:
    dialog = dialog_of(open_page("#/pools/nightly"), "Plan only")
    expect(dialog).to_contain_text("It writes nothing to Azure.")
    begun(dialog, "Plan only")
    assert sent(site) == {"plan_only": True}


def test_resize_sends_numbers_and_leaves_empty_what_the_spec_says(site: Site, open_page: Open) -> None:
    dialog = dialog_of(open_page("#/pools/nightly"), "Resize")
    expect(dialog).to_contain_text("its spec wants 20 dedicated.")
    dialog.get_by_label("Dedicated nodes").fill("5")
    dialog.get_by_label("Why").fill("month's end")
    begun(dialog, "Resize")
    assert site.sent()[0][1] == f"{RESIZE}/dagRuns"
    assert sent(site) == {"pool": "nightly", "dedicated": 5, "spot": None, "why": "month's end"}


def test_a_resize_without_a_reason_is_not_sent(site: Site, open_page: Open) -> None:
    dialog = dialog_of(open_page("#/pools/nightly"), "Resize")
    dialog.get_by_role("button", name="Resize").click()
    assert dialog.locator(":invalid").count() >= 1
    assert not site.sent()


def test_a_roll_back_offers_the_versions_that_are_there(site: Site, open_page: Open) -> None:
    dialog = dialog_of(open_page("#/pools/nightly"), "Roll back")
    options = dialog.locator("option").all_inner_texts()
    assert options == [
        "2026.1129.10203 · made 0 s ago · good · on the pool now",
        "2026.1128.10119 · made 24 h ago · good",
        "2026.1127.10101 · made 2 days ago · marked bad",
    ]
    assert dialog.locator("select").evaluate("select => select.selectedOptions[0].disabled") is False
    dialog.locator("select").select_option(index=2)
    dialog.get_by_label("Force").check()
    begun(dialog, "Roll back")
    conf = sent(site)
    assert conf["image_version"].endswith("/galleries/golden_gallery/images/small/versions/2026.1127.10101")
    assert conf["force"] is True


def test_a_run_that_has_begun_has_a_link_and_is_not_begun_twice(site: Site, open_page: Open) -> None:
    page = open_page("#/pools/nightly")
    dialog = dialog_of(page, "Refresh now")
    before = site.polls("pools/nightly")
    begun(dialog, "Refresh now")
    link = dialog.get_by_role("link")
    assert (link.get_attribute("href") or "").endswith(
        "/dags/golden_pool_nightly/runs/manual__2026-11-30T06%3A30%3A00%2B00%3A00"
    )
    expect(dialog.get_by_role("button", name="Refresh now")).to_have_count(0)
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Refresh now")).to_be_focused()
    assert site.polls("pools/nightly") > before  # the page looks at once


@pytest.mark.parametrize(
    ("status", "detail", "words"),
    [
        (401, "Not authenticated", "You are no longer logged in; no run has begun. Not authenticated."),
        (403, "Forbidden", "You may not do this; no run has begun. Forbidden."),
        (409, "A run is there", "Another run is in the way; no run has begun. A run is there."),
        (400, "dedicated: 9 is too many", "No run has begun. Dedicated: 9 is too many."),
        (422, [{"msg": "Field required", "loc": ["conf"]}], "No run has begun. Field required."),
        (500, None, "No run has begun. Airflow answered 500 Internal Server Error."),
    ],
)
def test_a_refusal_is_shown_in_airflows_own_words(
    site: Site, open_page: Open, status: int, detail: object, words: str
) -> None:
    site.airflow["POST", f"{DAG}/dagRuns"] = (status, {"detail": detail})
    dialog = dialog_of(open_page("#/pools/nightly"), "Refresh now")
    dialog.get_by_role("button", name="Refresh now").click()
    expect(dialog.get_by_role("alert")).to_have_text(words)
    expect(dialog.get_by_role("button", name="Refresh now")).to_be_enabled()


def test_a_dag_that_is_switched_off_is_switched_on_unless_the_person_says_no(site: Site, open_page: Open) -> None:
    site.airflow["GET", DAG] = (200, {"is_paused": True})
    dialog = dialog_of(open_page("#/pools/nightly"), "Refresh now")
    expect(dialog.get_by_label("golden_pool_nightly is switched off. Switch it on")).to_be_checked()
    begun(dialog, "Refresh now")
    assert [(method, body.get("is_paused")) for method, _, body in site.sent()] == [("PATCH", False), ("POST", None)]


def test_who_may_not_switch_it_on_starts_nothing(site: Site, open_page: Open) -> None:
    site.airflow["GET", DAG] = (200, {"is_paused": True})
    site.airflow["PATCH", DAG] = (403, {"detail": "Forbidden"})
    dialog = dialog_of(open_page("#/pools/nightly"), "Refresh now")
    expect(dialog.get_by_label("golden_pool_nightly is switched off")).to_be_visible()
    dialog.get_by_role("button", name="Refresh now").click()
    expect(dialog.get_by_role("alert")).to_contain_text("You may not do this; no run has begun.")
    assert [method for method, _, _ in site.sent()] == ["PATCH"]


def test_escape_closes_a_dialog_and_gives_the_focus_back(open_page: Open) -> None:
    page = open_page("#/pools/nightly")
    dialog = dialog_of(page, "Resize")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Resize")).to_be_focused()


def test_who_may_not_start_runs_has_no_buttons(site: Site, open_page: Open) -> None:
    site.answers["pools/nightly"] = answers.page_failed() | {"may": {"trigger": False, "resize": False}}
    page = open_page("#/pools/nightly")
    expect(page.locator("main").get_by_role("button")).to_have_count(0)


def test_each_button_needs_its_own_right(site: Site, open_page: Open) -> None:
    site.answers["pools/nightly"] = answers.page_failed() | {"may": {"trigger": False, "resize": True}}
    page = open_page("#/pools/nightly")
    assert page.locator("main").get_by_role("button").all_inner_texts() == ["Resize"]


def test_without_another_version_there_is_no_way_back(site: Site, open_page: Open) -> None:
    found = answers.page_failed()
    site.answers["pools/nightly"] = found | {"versions": found["versions"][:1]}
    page = open_page("#/pools/nightly")
    expect(page.get_by_role("button", name="Refresh now")).to_be_visible()
    expect(page.get_by_role("button", name="Roll back")).to_have_count(0)
