"""What things cost by the prices of a spec: a quantity or a price that is not known makes no amount."""

from __future__ import annotations


def cost_of(quantity: float | None, price: float | None) -> float | None:
    """Return quantity times price; None where one of them is not known."""
    return None if quantity is None or price is None else quantity * price


def money(cost: float | None, currency: str) -> str:
    """Return an amount for people, a dash where there is none."""
    return "-" if cost is None else f"{cost:,.2f} {currency}"
