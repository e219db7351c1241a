"""The pages about the rules say what the rules do."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_pools.rules.preflight import CHECKS, Lookup
from golden_pools.rules.resize.codes import CODES, PROVIDER_CODES, REASONS
from golden_pools.rules.tables import pages

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", pages())
def test_the_committed_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name], (
        "run: PYTHONPATH=plugins python -m golden_pools.rules.tables docs"
    )


def test_every_check_and_lookup_is_on_its_page() -> None:
    page = pages()["preflight.md"]

    assert all(f"| `{name}` | {check.asks} |" in page for name, check in CHECKS.items())
    assert all(f"| {lookup.value} |" in page for lookup in Lookup)
    assert all(check.asks.endswith("?") or "?" in check.asks for check in CHECKS.values())


def test_every_code_is_on_its_page() -> None:
    page = pages()["resize-verdicts.md"]

    for table in (CODES, REASONS, PROVIDER_CODES):
        assert all(f"| `{row.name}` | {row.meaning} |" in page for row in table.values())
