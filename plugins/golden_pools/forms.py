"""What the forms of several DAGs have in common."""

from __future__ import annotations

from airflow.sdk import Param

from golden_pools.spec.model import MOST_DEDICATED_NODES, MOST_SPOT_NODES, Targets


def node_counts(usual: Targets | None = None) -> dict[str, Param]:
    """Return the fields ``dedicated`` and ``spot``, which may be left empty.

    :param usual: counts of the spec, where it has the same at all times
    """
    kinds = (("dedicated", "Dedicated", MOST_DEDICATED_NODES), ("spot", "Spot", MOST_SPOT_NODES))
    return {
        kind: Param(
            None,
            type=["null", "integer"],
            minimum=0,
            maximum=most,
            title=f"{title} nodes",
            description=f"Empty: {getattr(usual, kind)}, as the spec says."
            if usual
            else "Empty: as the spec says now.",
        )
        for kind, title, most in kinds
    }
