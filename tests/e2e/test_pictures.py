"""What a person sees in Airflow's UI: the graph of a finished run, which is also the README's picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from include.local_airflow import ADMIN
from tests.e2e.conftest import DAG_ID
from tests.e2e.real_airflow import RealAirflow
from tests.e2e.test_nightly_run import STAGES

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

PICTURES = os.environ.get("GOLDEN_POOLS_PICTURES")
"""Directory that ``make pictures`` wants them in; without it they are thrown away."""


@pytest.fixture
def page(chromium: str, airflow: RealAirflow) -> Iterator[Page]:
    """A page of a browser that is logged in to Airflow."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 520}, device_scale_factor=1.5)
        page.goto(airflow.local.url)
        page.locator("input[name=username]").fill(ADMIN)
        page.locator("input[name=password]").fill(airflow.local.password)
        page.locator("button[type=submit]").click()
        page.get_by_label("Admin").wait_for()
        yield page
        browser.close()


def test_the_graph_shows_the_stages_of_a_run(page: Page, airflow: RealAirflow, first_run: str, tmp_path: Path) -> None:
    page.goto(f"{airflow.local.url}/dags/{DAG_ID}/runs/{first_run}")
    page.get_by_label("Show Graph").click()
    page.get_by_label("Expand all task groups").click()
    page.get_by_label("Collapse Details Panel").click()
    page.get_by_text("record", exact=True).wait_for()
    page.locator(".react-flow__controls-fitview").click()
    page.wait_for_function("document.querySelectorAll('.react-flow__node').length >= 13")
    page.evaluate("document.querySelectorAll('.react-flow__panel').forEach(panel => panel.remove())")
    graph = page.locator(".react-flow").first
    assert {stage.rpartition(".")[2] for stage in STAGES} <= set(graph.inner_text().split())
    page.wait_for_timeout(1000)  # the graph glides into its place
    graph.screenshot(path=str(Path(PICTURES or tmp_path) / "run.png"))
