"""The assets that pools and images are for Airflow: DAGs of this project and of other teams start by their events."""

from __future__ import annotations

from collections.abc import Mapping

from airflow.sdk import Asset

from golden_pools.spec.following import maker_of
from golden_pools.spec.image import Publish
from golden_pools.spec.model import PoolSpec


def image_asset(spec: PoolSpec, specs: Mapping[str, PoolSpec]) -> Asset:
    """Return the asset of the image that a spec's pool runs on: an event says that there is a new version.

    :param specs: where a followed spec is looked up
    """
    spec = maker_of(spec, specs) or spec
    image, existing = spec.image, spec.image.source.image_version
    if existing is not None:
        gallery, definition = existing.id.partition("/versions/")[0].split("/")[-3::2]
        return Asset(name=f"golden-image/{gallery}/{definition}", group="golden-images")
    where = image.gallery if image.publish is Publish.GALLERY else image.resource_group
    return Asset(name=f"golden-image/{where}/{image.definition or 'managed-image'}", group="golden-images")


def followed_assets(spec: PoolSpec, specs: Mapping[str, PoolSpec]) -> dict[str, Asset]:
    """Return what a follower listens to, by name of the specs: the image that it follows, and the pools before it."""
    follow = spec.image.source.follow
    if follow is None:
        return {}
    return {
        follow.pool: image_asset(spec, specs),
        **{pool: pool_asset(pool, specs[pool]) for pool in follow.after},
    }


def pool_asset(pool: str, spec: PoolSpec) -> Asset:
    """Return the asset of the pool: an event says that the pool has been refreshed."""
    return Asset(name=f"batch-pool/{spec.pool.account}/{pool}", group="golden-pools")


WATCH = Asset(name="golden-pools/watch", group="golden-pools")
"""The findings of the drift watch: an event for each look, with what is new and what is gone in its extra."""


def retention_asset() -> Asset:
    """Return the asset of retention: an event has the report of a run that looked what of the images may go."""
    return Asset(name="golden-pools/retention", group="golden-pools")
