"""What the page's files may not have: HTML from text, code or style inside the HTML, anything from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from golden_pools.ui.app import STATIC

SCRIPTS = sorted(STATIC.glob("*.js"))
FILES = sorted(STATIC.iterdir())

WAYS_TO_HTML = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTML|createContextualFragment|DOMParser|srcdoc"
    r"|\beval\b|new Function|javascript:|\.on(click|load|error|input)\s*="
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_no_script_makes_html_or_code_of_text(script: Path) -> None:
    assert not WAYS_TO_HTML.findall(script.read_text(encoding="utf-8"))


def test_the_shell_has_no_code_and_no_style_of_its_own() -> None:
    html = (STATIC / "page.html").read_text(encoding="utf-8")
    assert not re.findall(r"<style|\sstyle=|\son\w+=", html)
    assert all(content == "" for content in re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_is_fetched_from_elsewhere(file: Path) -> None:
    text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "").replace('"https://"', "")
    assert not re.findall(r"https?://|@import|url\((?!#)(?!\$)", text)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_module_that_a_script_imports_is_there(script: Path) -> None:
    imported = re.findall(r'from "\./([^"]+)"', script.read_text(encoding="utf-8"))
    assert {STATIC / name for name in imported} <= set(FILES)


def test_all_modules_are_fetched_at_once_and_not_one_after_the_other() -> None:
    html = (STATIC / "page.html").read_text(encoding="utf-8")
    fetched = re.findall(r'(?:modulepreload" href|script type="module" src|script src)="static/([^"]+)"', html)
    assert sorted(fetched) == [script.name for script in SCRIPTS]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_files_stay_small(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 300
    assert max(map(len, lines)) <= 150
