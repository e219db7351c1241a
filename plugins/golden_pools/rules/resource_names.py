"""Short names of Azure resources for people: an ARM id is too long for a table's cell or a sentence."""

from __future__ import annotations

_KINDS = {
    "disks": "disk",
    "images": "managed image",
    "pools": "pool",
    "restorepoints": "restore point",
    "snapshots": "snapshot",
    "virtualmachines": "VM",
}


def image_name(image_id: str | None) -> str:
    """Return what a version or a managed image is called: ``definition/version``, or what stands last."""
    parts = (image_id or "none").rstrip("/").split("/")
    return "/".join(parts[-3::2]) if len(parts) > 2 and parts[-2].casefold() == "versions" else parts[-1]


def resource_name(resource_id: str) -> str:
    """Return kind and name: ``pool small``, ``version golden/2026.1121.41500``, ``definition gallery/golden``."""
    parts = resource_id.rstrip("/").split("/")
    kind = parts[-2].casefold() if len(parts) > 1 else ""
    if kind == "versions":
        return f"version {image_name(resource_id)}"
    if kind == "images" and len(parts) > 3 and parts[-4].casefold() == "galleries":
        return f"definition {'/'.join(parts[-3::2])}"
    return f"{_KINDS[kind]} {parts[-1]}" if kind in _KINDS else parts[-1]
