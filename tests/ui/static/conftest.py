"""A browser with the page in it, served from canned answers at one fixed moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.ui.static import page_answers as answers
from tests.ui.static.page_site import PAGE, Site, serve_page

PATIENCE_MS = 60_000
"""Longest wait for anything: a machine may be full of tests."""


expect.set_options(timeout=PATIENCE_MS)


class Open(Protocol):
    """Open the page: ``open_page("#/pools/small", width=800)``."""

    def __call__(self, place: str = "#/", *, at: str = PAGE, wait: bool = True, **context: Any) -> Page: ...


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for a file's tests."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture
def site() -> Iterator[Site]:
    """The server, with pools of every kind."""
    with serve_page() as found:
        found.answers["overview"] = answers.overview(answers.mixed())
        for page in (answers.page_failed(), answers.page_in_progress(), answers.page_planned()):
            found.answers[f"pools/{page['row']['pool']}"] = page
        yield found


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Open]:
    """Open the page in a context of its own; whatever it complains of fails the test at its end."""
    complaints: list[str] = []
    contexts = []

    def open_one(
        place: str = "#/",
        *,
        at: str = PAGE,
        wait: bool = True,
        at_now: bool = True,
        width: int = 1280,
        storage: dict[str, str] | None = None,
        **context: Any,
    ) -> Page:
        made = browser.new_context(viewport={"width": width, "height": 800}, **context)
        contexts.append(made)
        made.set_default_timeout(PATIENCE_MS)
        page = made.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None
        )
        if at_now:
            page.clock.set_fixed_time(answers.NOW)
        if storage:
            script = "; ".join(
                f"localStorage.setItem({json.dumps(key)}, {json.dumps(value)})" for key, value in storage.items()
            )
            page.add_init_script(script)
        page.goto(f"{site.url}{site.prefix}{at}{place}")
        if wait:
            page.locator("main h1").wait_for()
        return page

    yield open_one
    for made in contexts:
        made.close()
    assert not complaints
