"""VM sizes and what they can boot."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Generation = Literal["V1", "V2"]
Architecture = Literal["x64", "Arm64"]
DiskController = Literal["SCSI", "NVMe"]


SPOT_CORES = "lowPriorityCores"
"""Name of the quota of all Spot cores of a region."""


class VmSize(BaseModel):
    """A VM size as the SKU list describes it.

    ``regions`` limits where it is offered (normalised names); empty is everywhere. ``restricted_in`` names regions
    where the subscription may not use it, which the SKU list shows as a restriction.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    family: str
    vcpus: int = Field(ge=1)
    memory_gib: float = Field(gt=0)
    generations: frozenset[Generation]
    architecture: Architecture = "x64"
    disk_controllers: frozenset[DiskController] = frozenset({"SCSI"})
    premium_io: bool = True
    trusted_launch: bool = True
    confidential: bool = False
    accelerated_networking: bool = True
    max_data_disks: int = Field(default=4, ge=0)
    temp_disk_gib: int = Field(default=0, ge=0)
    ephemeral_os_disk: bool = False
    spot: bool = True
    zones: tuple[str, ...] = ("1", "2", "3")
    regions: frozenset[str] = frozenset()
    restricted_in: frozenset[str] = frozenset()
