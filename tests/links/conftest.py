"""The live simulator of the operators' tests."""

from __future__ import annotations

from tests.operators.conftest import cloud, run, spec

__all__ = ["cloud", "run", "spec"]
