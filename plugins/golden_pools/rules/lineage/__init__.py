"""The line of an image, from the VM to the nodes: what it is, how it is asked for, how it is drawn."""

from __future__ import annotations

from golden_pools.rules.lineage.line import Kind, Line, Link, Seen, Station
from golden_pools.rules.lineage.picture import picture
from golden_pools.rules.lineage.questions import asked_pool, from_node, from_pool, from_version, from_vm

__all__ = [
    "Kind",
    "Line",
    "Link",
    "Seen",
    "Station",
    "asked_pool",
    "from_node",
    "from_pool",
    "from_version",
    "from_vm",
    "picture",
]
