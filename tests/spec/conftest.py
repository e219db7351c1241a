from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

GOOD = """\
subscription: 11111111-1111-1111-1111-111111111111
golden_vm:
  resource_group: golden
  name: golden-vm
image:
  resource_group: images
  gallery: golden_gallery
  definition: farm
  target_regions:
    - name: northeurope
pool:
  resource_group: batch
  account: goldenbatch
  vm_size: Standard_D2s_v5
  node_agent_sku: batch.node.ubuntu 22.04
  targets:
    dedicated: 2
    spot: 1
  start_task:
    command_line: /bin/true
  metadata:
    team: rendering
resize:
  timeout_minutes: 15
schedule:
  cron: 0 2 * * *
  timezone: Europe/Berlin
"""
"""A spec without faults; the tests change single lines of it."""


@pytest.fixture
def good() -> str:
    return GOOD


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a spec file: ``write("targets:...")`` or ``write(("old", "new"), ...)`` for a changed good one."""

    def write_file(*changes: tuple[str, str], text: str | bytes | None = None, name: str = "farm.yaml") -> Path:
        content = GOOD if text is None else text
        for old, new in changes:
            assert isinstance(content, str)
            assert content.count(old) == 1, f"{old!r} does not stand just once in the good spec"
            content = content.replace(old, new)
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture
def faults_of(write: Callable[..., Path]) -> Callable[..., list[str]]:
    """Return the faults of a spec file that has some."""
    from golden_pools.errors import SpecError
    from golden_pools.spec.loader import load_pool

    def faults(*changes: tuple[str, str], text: str | bytes | None = None, name: str = "farm.yaml") -> list[str]:
        with pytest.raises(SpecError) as caught:
            load_pool(write(*changes, text=text, name=name))
        return list(caught.value.faults)

    return faults
