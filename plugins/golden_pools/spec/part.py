"""What all parts of a spec share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from golden_pools.spec import names

ResourceGroupName = Annotated[str, StringConstraints(pattern=names.RESOURCE_GROUP)]
RegionName = Annotated[str, StringConstraints(pattern=names.REGION)]


class Part(BaseModel):
    """A part of the spec: unknown keys are faults, values do not change after loading."""

    # A validator is built when it is first used: all of them take 8 MB, and a triggerer uses hardly any.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def normal_region(name: str) -> str:
    """Return a region's name as Azure compares it: ``West Europe`` and ``westeurope`` are one."""
    return name.replace(" ", "").lower()
