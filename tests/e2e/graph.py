"""A run's graph as a person sees it in the browser, and pictures of it."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from include.local_airflow import ADMIN

from .real_airflow import RealAirflow

PICTURES = os.environ.get("GOLDEN_POOLS_PICTURES")
"""Directory that ``make pictures`` wants them in; without it they are thrown away."""

PATIENCE_SECONDS = 180
"""Longest wait for anything on the page: the browser's half a minute is too short on a machine full of tests."""

MARGIN = 16
"""Pixels around a picture's subject."""


ALL_IN_VIEW = """nodes => {
    document.querySelector('.react-flow__controls-fitview')?.click();
    return nodes.every(node => document.querySelector(node));
}"""
"""Fit the graph into the view, and say whether all nodes are there."""


@contextmanager
def graph_of(chromium: str, airflow: RealAirflow, dag_id: str, run_id: str) -> Iterator[Page]:
    """Show a run's graph from top to bottom, all groups open, on a page that is closed with the block.

    :param chromium: path of the browser
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1000, "height": 1900}, device_scale_factor=1.5)
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        page.goto(airflow.local.url)
        log_in(page, ADMIN, airflow.local.password)
        page.get_by_label("Admin").wait_for()
        page.evaluate("([key, value]) => localStorage.setItem(key, value)", [f"direction-{dag_id}", json.dumps("DOWN")])
        page.goto(f"{airflow.local.url}/dags/{dag_id}/runs/{run_id}")
        page.get_by_label("Show Graph").click()
        page.get_by_label("Expand all task groups").click()
        page.get_by_label("Collapse Details Panel").click()
        # Nodes outside the view are not in the page, and groups that open push others out of it.
        nodes = [node(task_id) for task_id in airflow.task_states(dag_id, run_id)]
        page.wait_for_function(ALL_IN_VIEW, arg=nodes, polling=1000)
        page.mouse.move(500, 2)  # away from what would show a tip
        page.wait_for_timeout(1000)  # the graph glides into its place
        page.evaluate("document.querySelectorAll('.react-flow__panel').forEach(panel => panel.remove())")
        yield page
        browser.close()


def log_in(page: Page, user: str, password: str) -> None:
    """Fill and send Airflow's login, which the browser has been sent to."""
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").click()


def take_picture(page: Page, names: Collection[str], picture: Path) -> None:
    """Make a picture of these tasks and groups of a graph, one above the other."""
    boxes = [box for name in names if (box := page.locator(node(name)).bounding_box())]
    assert len(boxes) == len(names), f"not all of {names} can be seen"
    left, top = min(box["x"] for box in boxes) - MARGIN, min(box["y"] for box in boxes) - MARGIN
    right = max(box["x"] + box["width"] for box in boxes) + MARGIN
    bottom = max(box["y"] + box["height"] for box in boxes) + MARGIN
    page.screenshot(path=str(picture), clip={"x": left, "y": top, "width": right - left, "height": bottom - top})


def node(name: str) -> str:
    """Return the selector of a task or a group."""
    return f".react-flow__node[data-id='{name}']"
