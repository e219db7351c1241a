"""The overview in a real Chromium: its sentences, its table, sorting and filtering, changes while somebody reads."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.ui.static import page_answers as answers
from tests.ui.static.conftest import Open
from tests.ui.static.page_site import Site

pytestmark = pytest.mark.browser

QUICK = {"interval_seconds": 0.2}


def names(page: Page) -> list[str]:
    """Return the pools in the order of the table."""
    return page.locator("table.pools tbody th > a").all_inner_texts()


def row_of(page: Page, pool: str) -> str:
    """Return the text of a pool's row."""
    return page.locator(f"tr[data-key='{pool}']").inner_text()


def test_the_first_sentence_answers_the_question_of_the_morning(site: Site, open_page: Open) -> None:
    site.answers["overview"] = answers.overview(answers.many(300))
    page = open_page()
    expect(page.locator(".headline")).to_have_text("298 of 300 pools are on their newest image. 2 need you.")
    expect(page.locator(".headline + p")).to_have_text("Newest runs of the last 24 h: 298 refreshed, 2 rolled back.")


def test_when_all_is_well_it_says_so(site: Site, open_page: Open) -> None:
    site.answers["overview"] = answers.overview([answers.row("a"), answers.row("b")])
    expect(open_page().locator(".headline")).to_have_text("All 2 pools are on their newest image. None needs you.")


def test_a_single_pool_is_spoken_of_as_one(site: Site, open_page: Open) -> None:
    site.answers["overview"] = answers.overview([answers.failed("a")])
    expect(open_page().locator(".headline")).to_have_text("The pool is not on its newest image. It needs you.")


def test_the_table_keeps_the_order_of_the_server(open_page: Open) -> None:
    assert names(open_page()) == [row["pool"] for row in answers.mixed()]


def test_a_row_tells_image_nodes_run_and_what_to_do(open_page: Open) -> None:
    page = open_page()
    text = row_of(page, "nightly")
    for part in (
        "Act The run was rolled back: 8 of 20 nodes did not become ready; look at the start task of node tvm-1.",
        "2026.1128.10119",
        "29 h old",
        "a newer one is there",
        "in place",
        "12 of 20 ready, 1 bad, 7 missing",
        "rolled back",
        "4 h ago",
        "in 18 h",
        "1 error, 1 warning",
    ):
        assert part in text
    assert "1,002 of 1,002 ready" in row_of(page, "small")
    assert "no nodes wanted" in row_of(page, "idle")
    assert "blue/green" in row_of(page, "render-farm")


def test_what_is_not_known_is_said_to_be(open_page: Open) -> None:
    text = row_of(open_page(), "no-answer")
    for part in ("Not known", "Azure not asked yet", "not in Airflow yet", "no time set"):
        assert part in text


def test_findings_open_and_are_text_whatever_they_look_like(open_page: Open) -> None:
    page = open_page()
    row = page.locator("tr[data-key='nightly']")
    row.locator("summary").click()
    found = row.locator(".findings li").all_inner_texts()
    assert found[0].startswith("✕ error <b>exit code 2</b> on tvm-1.")  # errors first
    assert "Ask Azure for 200 more before the pool grows." in found[1]


def test_specs_with_faults_are_named(site: Site, open_page: Open) -> None:
    site.answers["overview"] = answers.overview([], [{"file": "broken.yaml", "faults": ["pool.vm_size: missing"]}])
    page = open_page()
    page.get_by_text("1 pool spec cannot be read").click()
    expect(page.get_by_text("pool.vm_size: missing")).to_be_visible()


def test_who_may_see_no_pool_is_told_why(site: Site, open_page: Open) -> None:
    site.answers["overview"] = answers.overview([])
    page = open_page()
    expect(page.locator(".headline")).to_have_text("There is no pool that you may see.")
    expect(page.locator("table")).to_have_count(0)


def test_columns_sort_up_and_down_and_back(open_page: Open) -> None:
    page = open_page()
    heading = page.locator("th.pool")
    for order, expected in (
        ("ascending", sorted(row["pool"] for row in answers.mixed())),
        ("descending", sorted((row["pool"] for row in answers.mixed()), reverse=True)),
        ("none", [row["pool"] for row in answers.mixed()]),
    ):
        heading.get_by_role("button").click()
        expect(heading).to_have_attribute("aria-sort", order)
        assert names(page) == expected


@pytest.mark.parametrize(
    ("column", "first", "last"),
    [
        ("image", "weekly", "no-answer"),
        ("nodes", "render-farm", "no-answer"),
        ("strategy", "render-farm", "idle"),
        ("state", "nightly", "idle"),
    ],
)
def test_each_column_sorts_by_what_it_means_and_the_unknown_comes_last(
    open_page: Open, column: str, first: str, last: str
) -> None:
    page = open_page()
    page.locator(f"th.{column} button").click()
    assert (names(page)[0], names(page)[-1]) == (first, last)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("night", ["nightly"]),
        ("a2345678", [answers.LONG_NAME]),
        ("rolled back", ["nightly", answers.LONG_NAME]),
        ("BLUE/green", ["render-farm"]),
        ("fine small", ["small"]),
        ("nothing is like this", []),
    ],
)
def test_the_filter_finds_by_name_account_and_state(open_page: Open, words: str, expected: list[str]) -> None:
    page = open_page()
    page.get_by_label("Filter").fill(words)
    assert names(page) == expected


def test_the_counts_are_filters_too(open_page: Open) -> None:
    page = open_page()
    button = page.get_by_role("button", name="2 need you")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert names(page) == ["nightly", answers.LONG_NAME]
    expect(page.get_by_text("2 of 7 pools shown")).to_be_visible()
    button.click()
    assert len(names(page)) == 7


def test_a_newer_answer_moves_neither_focus_nor_scroll_nor_what_is_open(site: Site, open_page: Open) -> None:
    rows = answers.many(60)
    site.answers["overview"] = answers.overview(rows) | QUICK
    page = open_page()
    page.locator("tr[data-key='ab-second'] summary").click()
    link = page.locator("tr[data-key='pool-030'] a").first
    link.focus()
    top = page.evaluate("scrollY")
    site.answers["overview"] = (
        answers.overview([answers.row("pool-030", attention="act", why="moved up"), *rows[:30], *rows[33:]]) | QUICK
    )
    expect(page.locator("tr[data-key='pool-030']")).to_contain_text("Moved up.")
    assert names(page)[0] == "pool-030"
    expect(link).to_be_focused()
    assert page.evaluate("scrollY") == top > 0
    assert page.locator("tr[data-key='ab-second'] details").get_attribute("open") is not None


def test_typing_goes_on_while_answers_come(site: Site, open_page: Open) -> None:
    site.answers["overview"] = answers.overview(answers.mixed()) | QUICK
    page = open_page()
    field = page.get_by_label("Filter")
    field.type("nig")
    before = site.polls()
    page.wait_for_function("() => document.querySelectorAll('table.pools tbody th').length === 1")
    while site.polls() < before + 2:
        page.wait_for_timeout(50)
    field.type("htly")
    expect(field).to_have_value("nightly")
    assert names(page) == ["nightly"]


def test_only_changes_are_read_aloud(site: Site, open_page: Open) -> None:
    rows = [answers.row("a"), answers.row("b")]
    site.answers["overview"] = answers.overview(rows) | QUICK
    page = open_page()
    while site.polls() < 3:
        page.wait_for_timeout(50)
    expect(page.locator("#news")).to_have_text("")
    site.answers["overview"] = answers.overview([answers.failed("a"), rows[1]]) | QUICK
    expect(page.locator("#news")).to_have_text("1 of 2 pools is on its newest image. 1 needs you.")


def test_coming_back_from_a_pool_finds_the_place_again(site: Site, open_page: Open) -> None:
    site.answers["overview"] = answers.overview([*answers.many(60), answers.failed("nightly")])
    page = open_page()
    page.locator("tr[data-key='nightly'] a").first.scroll_into_view_if_needed()
    top = page.evaluate("scrollY")
    page.locator("tr[data-key='nightly'] a").first.click()
    expect(page.locator("h1")).to_have_text("nightly")
    assert page.evaluate("scrollY") == 0
    page.go_back()
    expect(page.locator("h1")).to_have_text("Golden pools")
    assert page.evaluate("scrollY") == top > 0
