"""The forms of the DAGs' manual triggers."""

from __future__ import annotations

from airflow.sdk import Param

from golden_pools.spec.model import MOST_DEDICATED_NODES, MOST_SPOT_NODES, PoolSpec, Strategy, Targets


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


def refresh_form(spec: PoolSpec) -> dict[str, Param]:
    """Return the form of the DAG that refreshes a pool."""
    return {
        **node_counts(None if spec.scale else spec.pool.targets),
        "refresh_strategy": Param(
            spec.refresh.strategy.value,
            enum=[strategy.value for strategy in Strategy],
            title="Refresh strategy",
            description="How the pool gets onto the image.",
        ),
        "image_version": Param(
            None,
            type=["null", "string"],
            title="Use this image version instead of building",
            description="`Major.Minor.Patch` of the spec's own definition, or the full ARM id of a version.",
        ),
        "force_rebuild": Param(
            default=False,
            type="boolean",
            title="Build anew",
            description="Make a new image though nothing has changed.",
        ),
        "force": Param(
            default=False,
            type="boolean",
            title="Force",
            description="Recreate a pool even if it has active jobs; take an image version even if it is marked bad.",
        ),
        "plan_only": Param(
            default=False,
            type="boolean",
            title="Plan only",
            description="Say what the run would do and to which resources; write nothing.",
        ),
    }
