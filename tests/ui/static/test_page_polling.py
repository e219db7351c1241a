"""What the page does over time: it asks while it is seen, bears an Airflow or an Azure that is away, and says so."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.ui.static import page_answers as answers
from tests.ui.static.conftest import PATIENCE_MS, Open
from tests.ui.static.page_site import Site

pytestmark = pytest.mark.browser

QUICK = {"interval_seconds": 0.2}

SEEN = """state => {
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""

RECORD_NOTICES = """() => {
    window.notices = [];
    const notice = document.getElementById("notice");
    new MutationObserver(() => window.notices.push(notice.textContent))
        .observe(notice, { childList: true, subtree: true, characterData: true });
}"""


def quick(**changes: Any) -> dict[str, Any]:
    """Return an overview that is asked for five times a second."""
    return answers.overview([answers.row("a", **changes)]) | QUICK


def wait_for_polls(page: Page, site: Site, number: int) -> None:
    """Wait until the page has asked so many times more."""
    before = site.polls()
    while site.polls() < before + number:
        page.wait_for_timeout(50)


def wait_for_quiet(page: Page, site: Site) -> None:
    """Wait until the page asks no more: what was on its way has come, and a second goes by with nothing."""
    for _ in range(PATIENCE_MS // 1000):
        before = site.polls()
        page.wait_for_timeout(1000)
        if site.polls() == before:
            return
    raise AssertionError("the page goes on asking")


def test_it_asks_again_while_it_is_seen(site: Site, open_page: Open) -> None:
    site.answers["overview"] = quick()
    page = open_page()
    wait_for_polls(page, site, 3)
    site.answers["overview"] = quick(nodes={"target": 20, "ready": 7, "starting": 13, "bad": 0, "missing": 0})
    expect(page.get_by_text("7 of 20 ready, 13 starting")).to_be_visible()


def test_nobody_who_looks_elsewhere_asks(site: Site, open_page: Open) -> None:
    site.answers["overview"] = quick()
    page = open_page()
    wait_for_polls(page, site, 1)
    page.evaluate(SEEN, "hidden")
    wait_for_quiet(page, site)
    page.evaluate(SEEN, "visible")
    wait_for_polls(page, site, 2)


def test_a_view_that_was_left_is_asked_for_no_more(site: Site, open_page: Open) -> None:
    site.answers["overview"] = answers.overview(answers.mixed()) | QUICK
    page = open_page()
    page.get_by_role("link", name="nightly", exact=True).click()
    expect(page.locator("h1")).to_have_text("nightly")
    wait_for_quiet(page, site)


def test_an_airflow_that_is_away_leaves_the_last_page_and_says_since_when(site: Site, open_page: Open) -> None:
    site.answers["overview"] = answers.overview([answers.row("a")]) | {"interval_seconds": 300}
    page = open_page(timezone_id="Europe/Berlin")
    site.down = True
    page.evaluate(SEEN, "visible")  # asks at once; the next try by itself is minutes away
    expect(page.locator("#notice")).to_contain_text(
        "Airflow does not answer since 07:30 (0 s). What you see is from then."
    )
    expect(page.locator("#news")).to_have_text("Airflow cannot be reached.")
    expect(page.locator("table.pools")).to_contain_text("20 of 20 ready")
    site.down = False
    page.get_by_role("button", name="Try now").click()
    expect(page.locator("#notice")).to_be_empty()


def test_it_asks_more_and_more_seldom_while_airflow_is_away(site: Site, open_page: Open) -> None:
    site.answers["overview"] = quick()
    page = open_page()
    page.evaluate(RECORD_NOTICES)
    site.down = True
    expect(page.locator("#notice")).to_contain_text("Next try in 6 s.")
    waits = re.findall(r"Next try in (\d+) s", " ".join(page.evaluate("notices")))
    assert [wait for wait, _ in groupby(waits)] == ["0", "1", "2", "3", "6"]  # 0.2, 0.4, 0.8, 1.6, 3.2, 6.4 s, rounded


def test_without_any_answer_there_is_a_notice_and_no_more(site: Site, open_page: Open) -> None:
    site.answers["overview"] = 500
    page = open_page()
    expect(page.locator("#notice")).to_contain_text("Airflow cannot show this")
    expect(page.locator("#notice")).to_contain_text("Internal Server Error.")


def test_who_is_logged_out_may_log_in_again_and_comes_back(site: Site, open_page: Open) -> None:
    site.answers["overview"] = 401
    page = open_page()
    expect(page.locator("#notice")).to_contain_text("You are logged out")
    target = page.get_by_role("link", name="Log in again").get_attribute("href") or ""
    assert "/api/v2/auth/login?next=http" in target
    assert target.endswith("golden-pools%2Fpage%23%2F")


def test_data_of_an_azure_that_is_away_is_marked_with_its_age(site: Site, open_page: Open) -> None:
    silent = {"at": answers.ago(minutes=4), "error": "`management.azure.com` answered 503 (ServerBusy)"}
    site.answers["overview"] = answers.overview([answers.row("a", azure=silent), answers.row("b", azure=silent)])
    page = open_page()
    expect(page.locator(".box.warn")).to_have_count(1)  # once, however many pools it concerns
    expect(page.locator(".box.warn")).to_contain_text("Azure did not answer for 2 pools: ")
    expect(page.locator(".box.warn")).to_contain_text("503 (ServerBusy). Their nodes and images are as of 4 min ago.")
    expect(page.locator("tr[data-key=a]")).to_contain_text("as of 4 min ago; Azure did not answer")


def test_azure_away_shows_on_the_pools_own_page_too(site: Site, open_page: Open) -> None:
    found = answers.page_failed()
    found["row"]["azure"] = {"at": answers.ago(minutes=4), "error": "403 AuthorizationFailed"}
    site.answers["pools/nightly"] = found
    facts = open_page("#/pools/nightly").locator(".facts")
    expect(facts).to_contain_text("as of 4 min ago; Azure did not answer")
    expect(facts).to_contain_text("403 AuthorizationFailed.")


def test_fresh_data_says_nothing_of_its_age(open_page: Open) -> None:
    expect(open_page().locator("tr[data-key=small]")).not_to_contain_text("as of")
