"""How messages count, list and cut."""

from __future__ import annotations

import pytest
from golden_pools.words import counted, listed, shortened


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 addresses"), (1, "1 address"), (2, "2 addresses"), (1000, "1000 addresses")]
)
def test_a_number_has_its_noun(number: int, text: str) -> None:
    assert counted(number, "address", "addresses") == text


def test_most_nouns_take_an_s() -> None:
    assert (counted(1, "node"), counted(2, "node")) == ("1 node", "2 nodes")


@pytest.mark.parametrize(("names", "text"), [("", ""), ("a", "a"), ("abc", "a, b, c"), ("abcd", "a, b, c and 1 more")])
def test_long_lists_say_how_much_they_leave_out(names: str, text: str) -> None:
    assert listed(names, 3) == text


@pytest.mark.parametrize(("text", "cut"), [("12345678", "12345678"), ("123456789", "12345...")])
def test_long_texts_are_cut_and_show_it(text: str, cut: str) -> None:
    assert shortened(text, 8) == cut
