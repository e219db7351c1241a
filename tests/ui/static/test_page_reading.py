"""Whether everybody can read and use the page: contrast, width, keyboard, screen reader, zones, and 300 rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.ui.static import page_answers as answers
from tests.ui.static.conftest import Open
from tests.ui.static.page_site import Site

pytestmark = pytest.mark.browser

VIEWS = ["#/", "#/pools/nightly", "#/pools/render-farm", "#/pools/small"]

LEAST_CONTRAST = 4.5
"""WCAG 2.2 AA for text of any size."""

CONTRASTS = """() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
    const rgba = colour => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([red, green, blue]) => {
        const [r, g, b] = [red, green, blue].map(part => part / 255).map(
            part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = element => {
        for (let at = element; at; at = at.parentElement) {
            const colour = rgba(getComputedStyle(at).backgroundColor);
            if (colour[3] === 255) return colour;
        }
    };
    const found = {};
    for (const element of document.querySelectorAll("body :not(title)")) {
        if (![...element.childNodes].some(node => node.nodeType === 3 && node.nodeValue.trim())) continue;
        const style = getComputedStyle(element);
        const [one, other] = [light(rgba(element.closest("svg") ? style.fill : style.color)), light(ground(element))];
        const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        const name = ({ tagName, className }) => `${tagName}.${className.baseVal ?? className}`;
        found[`${name(element)} in ${name(element.parentElement)}`] = contrast;
    }
    return found;
}"""

CUT_OFF = """() => [...document.querySelectorAll("main *")]
    .filter(element => !(element instanceof SVGElement || element.closest(".unseen, progress")))
    .filter(element => element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== "inline")
    .map(element => `${element.tagName}.${element.className}: ${element.scrollWidth} in ${element.clientWidth}`)"""

OUT_OF_CELL = """() => [...document.querySelectorAll("td, th")].flatMap(cell => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    return range.getBoundingClientRect().right > cell.getBoundingClientRect().right + 1 ? [cell.textContent] : [];
})"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_text_stands_out_from_its_ground(open_page: Open, view: str, theme: str) -> None:
    page = open_page(view, color_scheme=theme)
    page.locator("summary").evaluate_all("all => all.forEach(summary => { summary.parentElement.open = true })")
    found = page.evaluate(CONTRASTS)
    assert len(found) > 10
    assert {name: ratio for name, ratio in found.items() if ratio < LEAST_CONTRAST} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_dialog_and_a_notice_stand_out_too(site: Site, open_page: Open, theme: str) -> None:
    page = open_page("#/pools/nightly", color_scheme=theme)
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("alert")).to_contain_text("No run has begun.")
    assert {name: ratio for name, ratio in page.evaluate(CONTRASTS).items() if ratio < LEAST_CONTRAST} == {}


@pytest.mark.parametrize("width", [1280, 1216, 800])
@pytest.mark.parametrize("view", VIEWS)
def test_no_text_is_cut_off_and_the_page_does_not_scroll_sideways(open_page: Open, view: str, width: int) -> None:
    page = open_page(view, width=width)
    page.locator("summary").evaluate_all("all => all.forEach(summary => { summary.parentElement.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate(CUT_OFF) == []
    assert page.evaluate(OUT_OF_CELL) == []


def test_a_pool_of_the_longest_name_fits_its_own_page(site: Site, open_page: Open) -> None:
    found = answers.page_failed(answers.LONG_NAME)
    site.answers[f"pools/{answers.LONG_NAME}"] = found
    page = open_page(f"#/pools/{answers.LONG_NAME}", width=800)
    assert page.evaluate(CUT_OFF) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def tab_stops(page: Page, most: int = 400) -> list[str]:
    """Return what the tab key reaches, in its order, each with whether its focus can be seen."""
    describe = """() => {
        const { activeElement } = document;
        if (activeElement === document.body) return null;
        const style = getComputedStyle(activeElement);
        if (style.outlineStyle === "none") return "no visible focus: " + activeElement.outerHTML;
        return (activeElement.textContent || activeElement.id).trim();
    }"""
    found: list[str] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        stop = page.evaluate(describe)
        if stop is None or (found and stop == found[0]):
            break
        found.append(stop)
    return found


@pytest.mark.parametrize("view", ["#/", "#/pools/nightly"])
def test_the_keyboard_reaches_everything_and_is_never_trapped(open_page: Open, view: str) -> None:
    page = open_page(view)
    stops = tab_stops(page)
    assert not [stop for stop in stops if stop.startswith("no visible focus")]
    interactive = "main :is(a[href], button, input, summary, [tabindex='0'])"
    shown = page.locator(interactive).evaluate_all("all => all.filter(one => one.checkVisibility()).length")
    assert len(stops) == shown + 1  # the way past everything comes first
    assert stops[0] == "To the content"


def test_the_way_to_the_content_works(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert page.url.endswith("#/")


def test_a_pool_and_its_dialog_are_reached_by_keyboard_alone(open_page: Open) -> None:
    page = open_page()
    page.locator("tr[data-key=nightly] a").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_be_focused()
    page.get_by_role("button", name="Plan only").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Plan only: nightly")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_screen_reader_finds_its_way(open_page: Open) -> None:
    page = open_page()
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.get_by_role("main").count() == 1
    table = page.get_by_role("table", name="Pools, what needs a person first unless you sort by a column")
    assert table.get_by_role("columnheader").count() == 7
    assert table.get_by_role("rowheader").count() == 7
    page.get_by_role("link", name="nightly", exact=True).click()
    expect(page.get_by_role("navigation", name="Where you are")).to_be_visible()
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(heading => heading.tagName)")
    assert levels[0] == "H1"
    assert levels.count("H1") == 1
    assert page.get_by_role("region", name="From golden VM to pool").count() == 1
    unnamed = page.locator("button, a[href], input, select, [role=img]").evaluate_all(
        "all => all.filter(one => !(one.textContent.trim() || one.ariaLabel || one.labels?.length)).length"
    )
    assert unnamed == 0


def test_colour_is_never_the_only_sign(open_page: Open) -> None:
    page = open_page()
    kinds = page.locator("tr[data-key=nightly] .bar rect").evaluate_all(
        "all => all.map(rect => getComputedStyle(rect).fill)"
    )
    assert len(set(kinds)) == 3
    assert [kind for kind in kinds if "pattern" in kind] == kinds[1:]
    assert page.locator(".chip").evaluate_all("all => all.every(chip => chip.textContent.trim().length > 3)")


def test_the_bar_shows_one_bad_node_of_thousands(site: Site, open_page: Open) -> None:
    nodes = {"target": 5000, "ready": 4999, "starting": 0, "bad": 1, "missing": 0}
    site.answers["overview"] = answers.overview([answers.row("a", nodes=nodes)])
    page = open_page()
    widths = page.locator(".bar rect").evaluate_all("all => all.map(rect => rect.getBoundingClientRect().width)")
    assert widths[1] > 2
    assert sum(widths) == pytest.approx(page.locator(".bar").bounding_box()["width"], abs=0.5)  # type: ignore[index]


@pytest.mark.parametrize(
    ("zone", "chosen", "exact"),
    [
        ("Europe/Berlin", None, "Mon, Nov 30, 2026, 02:38 GMT+1"),
        ("America/Los_Angeles", None, "Sun, Nov 29, 2026, 17:38 PST"),
        ("Europe/Berlin", '"Asia/Kolkata"', "Mon, Nov 30, 2026, 07:08 GMT+5:30"),
        ("Europe/Berlin", "No/Where", "Mon, Nov 30, 2026, 02:38 GMT+1"),
    ],
)
def test_times_are_the_viewers_or_those_chosen_in_airflow(
    open_page: Open, zone: str, chosen: str | None, exact: str
) -> None:
    page = open_page(timezone_id=zone, locale="en-US", storage={"timezone": chosen} if chosen else None)
    time = page.locator("tr[data-key=small] td time[datetime='2026-11-30T01:38:00Z']")
    expect(time).to_have_text("4 h ago")
    assert time.get_attribute("title") == exact


def test_who_wants_no_motion_has_none(open_page: Open) -> None:
    page = open_page("#/pools/render-farm", reduced_motion="reduce")
    moving = page.locator("body *").evaluate_all(
        "all => all.filter(one => getComputedStyle(one).transitionDuration !== '0s').length"
    )
    assert moving == 0


@pytest.mark.benchmark
def test_300_pools_cost_little_more_than_30(site: Site, open_page: Open, figures: Callable[[str], None]) -> None:
    painted, elements = {}, {}
    for number in (30, 300):
        site.answers["overview"] = answers.overview(answers.many(number))
        page = open_page(at_now=False)
        painted[number] = page.evaluate("performance.getEntriesByName('painted')[0].startTime")
        elements[number] = page.locator("main *").count()
        asked = len([path for _, path, _ in site.asked if "/api/" in path])
        site.asked.clear()
        assert asked == 1
    ratio = painted[300] / painted[30]
    figures(
        f"The overview is on the screen after {painted[30]:.0f} ms with 30 pools and {painted[300]:.0f} ms with 300"
        f" (x{ratio:.1f}), in one request; {elements[300]:,} elements."
    )
    assert elements[300] < 300 * 45
