"""The page "Golden pools" in a real Airflow, in a real Chromium: what somebody sees there at half past seven."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from golden_pools.rules.airflow_paths import page_path
from playwright.sync_api import Browser, FrameLocator, Page, expect, sync_playwright

from include.local_airflow import ADMIN
from tests.e2e.conftest import DAG_ID, site_of
from tests.e2e.graph import PATIENCE_SECONDS, PICTURES, log_in
from tests.e2e.real_airflow import RealAirflow, wait_for
from tests.operators.conftest import Cloud

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

VIEWER = "viewer"
"""A user who may read everything and start nothing."""

SMALL, FAILED, GROWING, WELL = "small", "transcode", "render", "preview"
"""Pools: rolled back, without quota, in mid-run, and on its image."""

QUOTA = {"code": "AccountCoreQuotaReached", "message": "The specified account has reached its core quota"}
FRAME = "/plugin/golden-pools"

START = datetime.now(UTC) - timedelta(days=10, hours=12)
"""Where Azure's clock begins. It runs 600 times faster: images should not be from the future."""

OLD, NEW = (f"{day.year}.{day.month}{day:%d}.20005" for day in (START, START + timedelta(days=1)))
VERSIONS = {OLD: {"golden-pools-verdict": "good"}, NEW: {}}


@dataclass(frozen=True)
class Site:
    """An Airflow, its Azure, and the runs that the pools have had."""

    airflow: RealAirflow
    cloud: Cloud
    runs: dict[str, str]

    def password_of(self, user: str) -> str:
        """Return a password that Airflow has made up."""
        logins = self.airflow.local.home / "simple_auth_manager_passwords.json.generated"
        return str(json.loads(logins.read_text(encoding="utf-8"))[user])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Four pools after their nights: one well, one rolled back, one that failed, and one whose run stands still."""
    users = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{VIEWER}:viewer"}
    with site_of(tmp_path_factory.mktemp("page"), users, start=START) as (airflow, cloud, specs):
        spec = (specs / f"{SMALL}.yaml").read_text(encoding="utf-8")
        for pool, nodes, definition, hour in ((FAILED, 20, SMALL, 3), (GROWING, 40, GROWING, 4), (WELL, 4, SMALL, 5)):
            own = spec.replace("definition: small", f"definition: {definition}").replace("cron: 0 2", f"cron: 0 {hour}")
            (specs / f"{pool}.yaml").write_text(own.replace("dedicated: 2", f"dedicated: {nodes}"), encoding="utf-8")
        versions = {name: cloud.make_version(name, **good) for name, good in VERSIONS.items()}
        for pool, nodes in ((SMALL, 2), (FAILED, 8), (WELL, 4)):
            cloud.make_pool(versions[OLD], name=pool, dedicated=nodes)
        with airflow:
            yield Site(airflow, cloud, nights(airflow, cloud, versions))


def nights(airflow: RealAirflow, cloud: Cloud, versions: dict[str, str]) -> dict[str, str]:
    """Let the runs of the pools come to where the tests want them; returns their ids by pool."""
    cloud.command(pool=SMALL, kind="starttask", count=2, exit_code=2, stderr="no such share\n")
    cloud.control("POST", "allocations", {"pool": FAILED, "error": QUOTA, "max_dedicated_nodes": 12})
    asked = {
        SMALL: (DAG_ID, {"image_version": versions[NEW]}),
        FAILED: ("resize_pool", {"pool": FAILED, "dedicated": 20, "why": "a large job comes"}),
        WELL: (f"golden_pool_{WELL}", {"image_version": versions[OLD]}),
    }
    runs = {pool: airflow.trigger(dag, conf) for pool, (dag, conf) in asked.items()}
    ends = {pool: airflow.wait(asked[pool][0], run) for pool, run in runs.items()}
    assert ends == {SMALL: "failed", FAILED: "failed", WELL: "success"}
    dag = f"golden_pool_{GROWING}"
    behind = datetime.now(UTC) - timedelta(days=1, hours=12) - cloud.world.clock.now()
    cloud.advance(seconds=max(0.0, behind.total_seconds()))  # so that its image is as young as its name says
    cloud.control("POST", "allocations", {"pool": GROWING, "max_dedicated_nodes": 36})  # it never has all of its nodes
    runs[GROWING] = airflow.trigger(dag)
    airflow.wait_for_task(dag, runs[GROWING], "pool.refresh", states={"success"})
    cloud.control("PATCH", "clock", {"speed": 20})
    wait_for(lambda: ready(cloud, GROWING), range(6, 40).__contains__, lambda: "the pool does not grow")
    cloud.freeze()
    cloud.configure(throttling={"enabled": False})  # by that clock nobody may ask again
    return runs


def ready(cloud: Cloud, pool: str) -> int:
    """Return how many nodes of a pool take work."""
    nodes = cloud.plane("GET", f"/pools/{pool}/nodes")["value"]
    return sum(node["state"] in ("idle", "running") for node in nodes)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for all tests."""
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@contextmanager
def opened(
    browser: Browser, site: Site, *, user: str = ADMIN, height: int = 800, theme: str = "light"
) -> Iterator[tuple[Page, FrameLocator]]:
    """Show the page in Airflow's menu to a user, after the login."""
    context = browser.new_context(
        viewport={"width": 1280, "height": height}, timezone_id="Europe/Berlin", locale="en-GB", device_scale_factor=1
    )
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    page = context.new_page()
    page.goto(f"{site.airflow.local.url}{FRAME}")
    log_in(page, user, site.airflow.local.password if user == ADMIN else site.password_of(user))
    page.wait_for_url(f"**{FRAME}**")
    frame = page.frame_locator("iframe[title='Golden pools']")
    expect(frame.locator("table.pools tbody tr")).to_have_count(4)
    expect(frame.locator(f"tr[data-key={WELL}]")).to_contain_text("4 of 4 ready")  # Azure has been looked at
    expect(frame.locator("#notice")).to_be_empty()
    yield page, frame
    context.close()


def open_pool(frame: FrameLocator, pool: str) -> None:
    """Follow a pool's link."""
    frame.get_by_role("link", name=pool, exact=True).click()
    expect(frame.locator("h1")).to_have_text(pool)


def picture(page: Page, name: str, tmp_path: Path) -> None:
    """Take a picture of the browser's window; a README shows it, so it must not be large."""
    target = Path(PICTURES or tmp_path) / f"page-{name}.png"
    page.mouse.move(640, 2)
    page.screenshot(path=str(target))
    assert target.stat().st_size < 200_000


@pytest.mark.parametrize(("theme", "name"), [("light", "overview"), ("dark", "overview-dark")])
def test_the_overview_shows_what_needs_a_person_first(
    browser: Browser, site: Site, tmp_path: Path, theme: str, name: str
) -> None:
    with opened(browser, site, height=620, theme=theme) as (page, frame):
        expect(frame.locator("html")).to_have_attribute("data-theme", theme)
        icon = page.get_by_role("link", name="Golden pools").locator("img")
        assert icon.evaluate("image => image.naturalWidth") > 0, "Airflow's menu shows the page by its icon"
        rolled_back, growing = (frame.locator(f"tr[data-key={pool}]") for pool in (SMALL, GROWING))
        expect(rolled_back).to_contain_text("rolled back")
        expect(rolled_back).to_contain_text("2 of 2 ready")
        expect(rolled_back).to_contain_text("10 days old")  # images are looked at after nodes
        names = frame.locator("table.pools tbody th > a").all_inner_texts()
        assert set(names[:2]) == {SMALL, FAILED}
        expect(growing).to_contain_text("running")
        expect(growing).to_contain_text("of 40 ready")
        picture(page, name, tmp_path)


def test_a_run_in_progress_shows_how_far_it_is(browser: Browser, site: Site, tmp_path: Path) -> None:
    with opened(browser, site, height=1150) as (page, frame):
        open_pool(frame, GROWING)
        expect(frame.locator(".strip [data-key='image.publish']")).to_contain_text("done")
        expect(frame.locator(".strip")).to_contain_text("waits for Azure")
        expect(frame.get_by_role("progressbar").first).to_be_visible()
        expect(frame.locator(".chart figcaption")).to_contain_text(re.compile(r"[1-9]\d* of 40 nodes ready"))
        picture(page, "run", tmp_path)


def test_a_failed_resize_says_why_and_what_to_do(browser: Browser, site: Site, tmp_path: Path) -> None:
    with opened(browser, site, height=1150) as (page, frame):
        open_pool(frame, FAILED)
        expect(frame.locator(".facts")).to_contain_text("12 of 20 ready")
        expect(frame.locator("[data-key=verdict]")).to_contain_text("AccountCoreQuotaReached")
        expect(frame.locator("[data-key=verdict]")).to_contain_text("What to do:")
        expect(frame.locator(".strip .stage[data-key=resize]")).to_contain_text("failed")
        picture(page, "failed", tmp_path)


def test_a_rollback_is_shown_as_one(browser: Browser, site: Site, tmp_path: Path) -> None:
    with opened(browser, site, height=1150) as (page, frame):
        open_pool(frame, SMALL)
        expect(frame.locator(".about")).to_contain_text("rolled back")
        expect(frame.locator(".strip [data-key='rollback.restore']")).to_contain_text("done")
        picture(page, "rollback", tmp_path)


def test_links_lead_into_airflow_and_back(browser: Browser, site: Site) -> None:
    with opened(browser, site) as (page, frame):
        open_pool(frame, FAILED)
        frame.locator(".strip .stage[data-key=resize]").get_by_role("link").click()
        page.wait_for_url("**/dags/resize_pool/runs/**/tasks/resize**")
        expect(page.get_by_text("resize").first).to_be_visible()  # Airflow's own page of the task
        page.go_back()
        expect(frame.locator("h1")).to_have_text(FAILED)


def test_an_address_leads_to_a_pool_inside_airflow(browser: Browser, site: Site) -> None:
    with opened(browser, site) as (page, frame):
        open_pool(frame, FAILED)
        page.wait_for_url(f"**{page_path(FAILED)}")
        page.reload()
        expect(frame.locator("h1")).to_have_text(FAILED)
        frame.get_by_role("link", name="Golden pools", exact=True).click()
        expect(frame.locator("h1")).to_have_text("Golden pools")
        page.go_back()
        expect(frame.locator("h1")).to_have_text(FAILED)


def test_a_plan_only_run_is_started_from_the_page(browser: Browser, site: Site) -> None:
    with opened(browser, site) as (_, frame):
        open_pool(frame, WELL)
        before = frame.locator("table.runs tbody tr").count()
        frame.get_by_role("button", name="Plan only").click()
        dialog = frame.get_by_role("dialog")
        dialog.get_by_role("button", name="Plan only").click()
        expect(dialog.get_by_role("alert")).to_contain_text("The run has begun: manual__")
        dialog.get_by_role("button", name="Close").click()
        expect(frame.locator("table.runs tbody tr")).to_have_count(before + 1)
        expect(frame.locator(".about")).to_contain_text(f"by hand by {ADMIN}")
        expect(frame.get_by_role("heading", name="Plan", exact=True)).to_be_visible()


def test_what_airflow_refuses_is_shown_in_its_words(browser: Browser, site: Site) -> None:
    with opened(browser, site) as (_, frame):
        open_pool(frame, WELL)
        frame.get_by_role("button", name="Resize").click()
        dialog = frame.get_by_role("dialog")
        dialog.get_by_label("Dedicated nodes").fill("100000")
        dialog.get_by_label("Why").fill("too much")
        dialog.get_by_role("button", name="Resize").click()
        expect(dialog.get_by_role("alert")).to_contain_text("No run has begun.")
        expect(dialog.get_by_role("alert")).to_contain_text("100000 is greater than the maximum")


def test_who_may_only_read_has_no_buttons_and_is_refused_by_airflow(browser: Browser, site: Site) -> None:
    with opened(browser, site, user=VIEWER) as (page, frame):
        open_pool(frame, SMALL)
        expect(frame.locator(".strip").first).to_be_visible()
        expect(frame.locator("main").get_by_role("button")).to_have_count(0)
        status = page.evaluate(
            """async dag => (await fetch(`/api/v2/dags/${dag}/dagRuns`, {
                method: "POST", headers: { "Content-Type": "application/json" }, body: '{"logical_date": null}'
            })).status""",
            DAG_ID,
        )
        assert status == 403


def test_who_is_not_logged_in_sees_nothing_but_the_login(browser: Browser, site: Site) -> None:
    context = browser.new_context()
    page = context.new_page()
    answer = context.request.get(f"{site.airflow.local.url}/golden-pools/api/overview")
    assert answer.status == 401
    page.goto(f"{site.airflow.local.url}/golden-pools/page")
    page.wait_for_url("**/auth/**login**")
    expect(page.locator("input[name=password]")).to_be_visible()
    assert SMALL not in page.content()
    context.close()


def test_an_azure_that_is_away_leaves_the_page_with_its_age(browser: Browser, site: Site) -> None:
    away: dict[str, Any] = {"status": 503, "code": "ServerBusy", "message": "the region is away", "count": None}
    with opened(browser, site) as (_, frame):
        expect(frame.locator(f"tr[data-key={WELL}]")).to_contain_text("4 of 4 ready")
        site.cloud.fault(**away)
        try:
            expect(frame.locator(".box.warn")).to_contain_text("Azure did not answer")
            expect(frame.locator(f"tr[data-key={WELL}]")).to_contain_text("4 of 4 ready")
            expect(frame.locator(f"tr[data-key={WELL}]")).to_contain_text("Azure did not answer")
        finally:
            site.cloud.control("DELETE", "faults")
        expect(frame.locator(".box.warn")).to_have_count(0)
