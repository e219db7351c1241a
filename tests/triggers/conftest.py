"""The live simulator of the operators' tests."""

from __future__ import annotations

from tests.operators.conftest import cloud, spec

__all__ = ["cloud", "spec"]
