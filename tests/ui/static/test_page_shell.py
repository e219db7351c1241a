"""The page inside Airflow's sandboxed frame and by itself: links that leave it, its colours, its address."""

from __future__ import annotations

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.ui.static.conftest import Open
from tests.ui.static.page_site import FRAME, PAGE, Site

pytestmark = pytest.mark.browser


def inside(page: Page) -> FrameLocator:
    """Return the page in Airflow's frame."""
    frame = page.frame_locator("iframe")
    frame.locator("main h1").wait_for()
    return frame


def open_pool(page: Page, pool: str = "nightly") -> FrameLocator:
    """Open a pool in Airflow's frame."""
    frame = inside(page)
    frame.get_by_role("link", name=pool, exact=True).click()
    expect(frame.locator("h1")).to_have_text(pool)
    return frame


def test_a_link_to_airflow_goes_through_airflows_own_router(site: Site, open_page: Open) -> None:
    page = open_page("", at=FRAME, wait=False)
    open_pool(page).get_by_role("link", name="golden_pool_nightly").click()
    page.wait_for_url("**/dags/golden_pool_nightly")
    assert page.evaluate("window.popped.idx") == 1  # Airflow was told, and not loaded anew
    page.go_back()
    page.wait_for_url(f"**{FRAME}*")


def test_by_itself_the_page_has_ordinary_links(open_page: Open) -> None:
    page = open_page("#/pools/nightly")
    page.get_by_role("link", name="Graph and logs").click()
    page.wait_for_url("**/dags/golden_pool_nightly/runs/*")


def test_links_to_the_portal_open_a_tab_from_inside_the_frame(open_page: Open) -> None:
    page = open_page("", at=FRAME, wait=False)
    page.context.route("https://portal.azure.com/**", lambda route: route.fulfill(body="the portal"))
    frame = open_pool(page)
    with page.context.expect_page() as opened:
        frame.locator(".line").get_by_role("link", name="golden-vm").click()
    assert opened.value.url.startswith("https://portal.azure.com/")
    assert opened.value.evaluate("window.opener") is None


def test_a_link_opens_a_tab_with_the_control_key(open_page: Open) -> None:
    page = open_page("", at=FRAME, wait=False)
    frame = open_pool(page)
    with page.context.expect_page() as opened:
        frame.get_by_role("link", name="golden_pool_nightly").click(modifiers=["ControlOrMeta"])
    assert opened.value.url.endswith("/dags/golden_pool_nightly")


def test_airflow_below_a_path_is_found_there(site: Site, open_page: Open) -> None:
    site.prefix = "/airflow"
    page = open_page("#/pools/nightly")
    link = page.get_by_role("link", name="golden_pool_nightly")
    assert link.evaluate("link => link.pathname") == "/airflow/dags/golden_pool_nightly"
    assert all(path.startswith("/airflow/") for _, path, _ in site.asked)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_inside_airflow_the_page_has_airflows_colours(site: Site, open_page: Open, theme: str) -> None:
    site.theme = theme
    other = "dark" if theme == "light" else "light"
    page = open_page("", at=FRAME, wait=False, color_scheme=other)
    root = page.frame_locator("iframe").locator("html")
    expect(root).to_have_attribute("data-theme", theme)
    page.evaluate("theme => { document.documentElement.className = theme }", other)
    expect(root).to_have_attribute("data-theme", other)  # at once, without being loaded anew


@pytest.mark.parametrize(
    ("stored", "shown"), [("dark", "dark"), ("light", "light"), ("system", "dark"), (None, "dark")]
)
def test_by_itself_it_follows_airflows_setting_and_then_the_systems(
    open_page: Open, stored: str | None, shown: str
) -> None:
    page = open_page(color_scheme="dark", storage={"theme": stored} if stored else None)
    expect(page.locator("html")).to_have_attribute("data-theme", shown)


def test_it_follows_the_system_while_it_is_open(open_page: Open) -> None:
    page = open_page(color_scheme="light")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_airflows_address_bar_names_the_view(open_page: Open) -> None:
    page = open_page("", at=f"{FRAME}{PAGE}", wait=False)
    open_pool(page)
    assert page.url.endswith(f"{FRAME}{PAGE}#/pools/nightly")
    page.go_back()
    expect(page.frame_locator("iframe").locator("h1")).to_have_text("Golden pools")
    page.wait_for_function("() => !location.hash.includes('nightly')")


def test_an_address_leads_to_its_pool(open_page: Open) -> None:
    page = open_page("#/pools/nightly")
    expect(page.locator("h1")).to_have_text("nightly")
    expect(page).to_have_title("nightly - Golden pools")
