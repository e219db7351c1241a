"""Prices of nodes by VM size, and what approval is asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from golden_pools.spec.image import Prices
from golden_pools.spec.model import Refresh
from golden_pools.spec.schema import pool_spec_schema
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from tests.rules.build import spec

PRICES = Prices(node_hour={"Standard_D4s_v5": 0.23}, spot_node_hour={"standard_d4s_v5": 0.05})


@pytest.mark.parametrize("size", ["Standard_D4s_v5", "STANDARD_D4S_V5", "standard_d4s_v5"])
def test_a_price_is_found_however_azure_writes_the_size(size: str) -> None:
    assert (PRICES.of_node(size, spot=False), PRICES.of_node(size, spot=True)) == (0.23, 0.05)


def test_another_size_has_no_price() -> None:
    assert PRICES.of_node("Standard_D2s_v5", spot=False) is None


@pytest.mark.parametrize(
    ("prices", "fault"),
    [
        ({"big one": 1.0}, "VM sizes, such as Standard_D4s_v5, as keys, but there is big one"),
        ({"Standard_A1": 1.0, "STANDARD_A1": 2.0}, "each VM size once, but standard_a1 stands more than once"),
        ({"Standard_A1": -0.1}, "greater than or equal to 0"),
    ],
)
def test_a_price_that_is_none_is_a_fault(prices: dict[str, float], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Prices(node_hour=prices)


def test_a_fault_is_told_with_its_line(faults_of: Callable[..., list[str]]) -> None:
    (fault,) = faults_of(("resize:\n", "prices:\n  node_hour:\n    big: 1.0\nresize:\n"))
    assert "prices.node_hour" in fault
    assert "VM sizes, such as Standard_D4s_v5, as keys, but there is big" in fault


def test_an_editor_sees_a_wrong_size_too() -> None:
    whole = spec().model_dump(mode="json", exclude_none=True, exclude_unset=True)
    check = Draft202012Validator(pool_spec_schema())
    assert check.is_valid({**whole, "prices": {"node_hour": {"Standard_D4s_v5": 0.23}}})
    assert not check.is_valid({**whole, "prices": {"node_hour": {"big one": 0.23}}})


def test_nobody_has_to_approve_unless_the_spec_says_so() -> None:
    refresh = Refresh()
    assert (refresh.approve, refresh.approval_minutes, refresh.approval_default.value) == (False, 720, "reject")
    with pytest.raises(ValidationError):
        Refresh.model_validate({"approval_minutes": 4})
