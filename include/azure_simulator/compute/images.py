"""Managed images."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ManagedImage:
    """A managed image.

    ``source_ids`` are the snapshots, disks or the VM that it was made from; ``data_disk_luns`` in the order given.
    """

    id: str
    location: str
    provisioning_state: str
    os_type: str
    os_state: str
    hyper_v_generation: str
    os_disk_gib: int
    data_disk_luns: list[int]
    source_ids: list[str]
    tags: dict[str, str] = field(default_factory=dict)
