"""The ``batch:`` section of a world file."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from include.azure_simulator.batch.images import DEFAULT_SUPPORTED_IMAGES, SupportedImage
from include.azure_simulator.resources import JsonObject

AuthenticationMode = Literal["AAD", "SharedKey", "TaskAuthenticationToken"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FamilyQuota(_Section):
    """Dedicated cores of one VM family, named as the SKU list names it (``standardDSv5Family``)."""

    name: str
    core_quota: int = Field(ge=0)


class PoolSection(_Section):
    """A pool that exists at the beginning, Steady at its targets; ``properties`` as in an ARM PUT."""

    name: str
    properties: JsonObject
    tags: dict[str, str] | None = None
    identity: JsonObject | None = None


class AccountSection(_Section):
    """A Batch account. ``subscription`` and ``resource_group`` have to be in the same file.

    Where family quotas are enforced, a VM family that is not listed has none.
    """

    name: str = Field(pattern=r"^[a-z0-9]{3,24}$")
    subscription: str
    resource_group: str
    location: str
    pool_allocation_mode: Literal["BatchService", "UserSubscription"] = "BatchService"
    primary_key: str = Field(default="c2ltdWxhdG9yLXByaW1hcnkta2V5", description="base64, as shared keys are")
    secondary_key: str = Field(default="c2ltdWxhdG9yLXNlY29uZGFyeS1rZXk=", description="base64")
    dedicated_core_quota: int = Field(default=6000, ge=0)
    low_priority_core_quota: int = Field(default=3000, ge=0)
    family_quotas: list[FamilyQuota] = Field(default_factory=list)
    family_quotas_enforced: bool = True
    pool_quota: int = Field(default=100, ge=0)
    active_job_and_job_schedule_quota: int = Field(default=300, ge=0)
    allowed_authentication_modes: tuple[AuthenticationMode, ...] = ("AAD", "SharedKey", "TaskAuthenticationToken")
    public_network_access: Literal["Enabled", "Disabled"] = "Enabled"
    identity: JsonObject | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    pools: list[PoolSection] = Field(default_factory=list)


class BatchSection(_Section):
    """Everything of Batch that exists at the beginning. The first account answers at the root of the data plane."""

    accounts: list[AccountSection] = Field(default_factory=list)
    supported_images: list[SupportedImage] = Field(default_factory=lambda: list(DEFAULT_SUPPORTED_IMAGES))
    account_quota_per_region: int = Field(default=3, ge=0)
