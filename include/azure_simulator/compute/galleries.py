"""Compute Galleries: galleries, image definitions and image versions."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ImageVersion:
    """An image version of a gallery.

    ``regions_ready`` holds the normalised names of the regions where replication has completed, as of now.
    ``os_state``, ``os_type``, ``hyper_v_generation``, ``architecture`` and ``security_type`` come from its definition.
    """

    id: str
    location: str
    provisioning_state: str
    regions_ready: set[str]
    os_state: str
    os_type: str
    hyper_v_generation: str
    architecture: str
    security_type: str
    data_disk_luns: list[int]
    os_disk_gib: int
    exclude_from_latest: bool = False
    tags: dict[str, str] = field(default_factory=dict)
