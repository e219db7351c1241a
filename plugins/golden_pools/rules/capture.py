"""How the golden VM's disks are copied, and what the copies are worth together.

Rules: "Create a snapshot of a virtual hard disk" (a VM at rest), "Overview of Virtual Machine restore points" (all
disks of a VM that runs, at one moment).
"""

from __future__ import annotations

from enum import StrEnum

from golden_pools.rules.facts import PowerState
from golden_pools.spec.source import Capture

AT_REST = frozenset({PowerState.STOPPED, PowerState.DEALLOCATED})
"""Nothing writes to the disks."""


COPIED_LATER = frozenset({"PremiumV2_LRS", "UltraSSD_LRS"})
"""Kinds of disk whose snapshots Azure fills in the background ("Create an incremental snapshot for managed disks")."""

_ENDS_AS = {
    PowerState.STARTING: PowerState.RUNNING,
    PowerState.STOPPING: PowerState.STOPPED,
    PowerState.DEALLOCATING: PowerState.DEALLOCATED,
}


def found_state(seen: PowerState) -> PowerState:
    """Return the power state to be given back to a VM that is found so: where it was on its way."""
    return _ENDS_AS.get(seen, seen)


class Consistency(StrEnum):
    """What the copies of a VM's disks are worth together."""

    AT_REST = "at_rest"
    ONE_MOMENT = "one_moment"
    DISK_BY_DISK = "disk_by_disk"


def consistency_of(capture: Capture, power_state: PowerState, disks: int) -> dict[str, str]:
    """Return the word for copies that begin now, and a sentence where the disks may differ: ``{"word", "note"}``.

    :param power_state: the VM's, as the copying begins
    :param disks: how many are copied
    """
    if capture is Capture.RESTORE_POINT:  # whatever has become of the VM since
        return _said(Consistency.ONE_MOMENT)
    if power_state in AT_REST:
        return _said(Consistency.AT_REST)
    many = f"its {disks} disks were copied one by one and may differ by moments"
    note = f"the VM was left running: {many if disks > 1 else 'its disk shows what a power cut would have left'}"
    return _said(Consistency.DISK_BY_DISK, note)


def _said(word: Consistency, note: str = "") -> dict[str, str]:
    return {"word": word.value, "note": note}
