"""What the copies of a VM's disks are worth together."""

from __future__ import annotations

import pytest
from golden_pools.rules.capture import consistency_of
from golden_pools.rules.facts import PowerState
from golden_pools.spec.source import Capture


@pytest.mark.parametrize("state", [PowerState.DEALLOCATED, PowerState.STOPPED])
@pytest.mark.parametrize("capture", [Capture.DEALLOCATED, Capture.STOPPED, Capture.RUNNING])
def test_nothing_writes_to_the_disks_of_a_vm_at_rest(capture: Capture, state: PowerState) -> None:
    assert consistency_of(capture, state, 3) == {"word": "at_rest", "note": ""}


def test_disks_of_a_running_vm_may_differ_by_moments() -> None:
    said = consistency_of(Capture.RUNNING, PowerState.RUNNING, 3)
    assert said["word"] == "disk_by_disk"
    assert "3 disks were copied one by one and may differ by moments" in said["note"]


@pytest.mark.parametrize("state", PowerState)
def test_disks_of_a_restore_point_show_one_moment(state: PowerState) -> None:
    assert consistency_of(Capture.RESTORE_POINT, state, 3) == {"word": "one_moment", "note": ""}


def test_a_single_disk_does_not_differ_from_others() -> None:
    said = consistency_of(Capture.RUNNING, PowerState.RUNNING, 1)
    assert said["word"] == "disk_by_disk"
    assert "differ" not in said["note"]
