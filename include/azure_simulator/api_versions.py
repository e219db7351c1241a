"""The ``api-version`` of a call: always required, never unknown."""

from __future__ import annotations

import re

from include.azure_simulator.errors import ArmError

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}(-(preview|beta|alpha|privatepreview))?$", re.IGNORECASE)

OLDEST = "2016-03-30"
"""Compute still answers clients of its first years."""

NEWEST = {
    "microsoft.compute/disks": "2026-03-02",
    "microsoft.compute/snapshots": "2026-03-02",
    "microsoft.compute/galleries": "2026-03-03",
    "microsoft.compute/skus": "2021-07-01",
    "microsoft.compute": "2026-04-01",
    "microsoft.network": "2026-03-01",
    "microsoft.batch": "2025-06-01",
    "microsoft.resources": "2025-04-01",
    "microsoft.storage": "2026-09-01",
}
"""The newest version that the simulator knows, by type or by namespace."""


def check_api_version(version: str | None, namespace: str, kind: str) -> None:
    """Refuse a call whose ``api-version`` ARM would refuse.

    :param version: the query parameter.
    :param namespace: namespace of the provider; ``Microsoft.Resources`` for subscriptions and resource groups.
    :param kind: first type of the resource, such as ``snapshots``.
    :raises ArmError: 400 ``MissingApiVersionParameter``, ``InvalidApiVersionParameter`` or
        ``NoRegisteredProviderFound``.
    """
    if not version:
        text = "The api-version query parameter (?api-version=) is required for all requests."
        raise ArmError(400, "MissingApiVersionParameter", text)
    if not _DATE.match(version):
        example = NEWEST["microsoft.resources"]
        text = f"The api-version '{version}' is invalid. The supported versions are dates such as '{example}'."
        raise ArmError(400, "InvalidApiVersionParameter", text)
    lowered = namespace.lower()
    newest = NEWEST.get(f"{lowered}/{kind.lower()}") or NEWEST.get(lowered)
    if newest is not None and not OLDEST <= version[:10] <= newest:
        text = (
            f"No registered resource provider found for API version '{version}' for type '{kind}'. "
            f"The supported api-versions are '{OLDEST}' to '{newest}'."
        )
        raise ArmError(400, "NoRegisteredProviderFound", text)
