"""Where snapshots, managed images and versions come from, as tags beside those that say who made them.

Limits: "Use tags to organize your Azure resources". What does not fit is left out whole: half an id leads nowhere. Who
triggered the run stands in the passport only, since a tag shows to everybody who may read the resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC

from golden_pools.rules.plan import FINGERPRINT_TAG, LONGEST_TAG, RunPlan
from golden_pools.spec.source import SourceKind

SOURCE_TAG = "golden-pools-source"
"""Tag: ARM id of the VM or managed image, or address of the blob, that it was made from."""

SOURCE_KIND_TAG = "golden-pools-source-kind"
CAPTURE_TAG = "golden-pools-capture"
ROAD_TAG = "golden-pools-road"
BEGAN_TAG = "golden-pools-began"
"""Tag: when the run began, ISO 8601."""

STARTED_TAG = "golden-pools-started"
"""Tag: whether a person started the run (``by hand``) or not (``by itself``)."""

LINK_TAG = "golden-pools-run-link"
"""Tag: address of the run in Airflow."""

MOST_TAGS, LONGEST_NAME = 50, 512


def provenance(plan: RunPlan, *, link: str | None) -> dict[str, str]:
    """Return the tags of what the run makes of an image.

    :param link: address of the run in Airflow
    """
    found, vm = plan.source, plan.spec.golden_vm
    return fitting(
        {
            **plan.tags,
            SOURCE_TAG: _without_signature(found.resource_id) if found else None,
            SOURCE_KIND_TAG: (SourceKind.GOLDEN_VM if vm else plan.spec.image.source.kind).value,
            CAPTURE_TAG: vm.capture.value if vm else None,
            ROAD_TAG: found.road.value if found and found.road else None,
            BEGAN_TAG: plan.stamp.astimezone(UTC).isoformat(timespec="seconds"),
            STARTED_TAG: "by itself" if plan.scheduled else "by hand",
            LINK_TAG: link,
        }
    )


def version_provenance(plan: RunPlan, *, link: str | None) -> dict[str, str]:
    """Return the tags of the version that the run makes: those of everything, and the state of its source."""
    state = plan.source.fingerprint if plan.source else None
    return fitting({**provenance(plan, link=link), FINGERPRINT_TAG: state})


def fitting(tags: Mapping[str, str | None]) -> dict[str, str]:
    """Return the tags that Azure takes: those that are known and not too long, and the first fifty of them."""
    fit = {
        name: value for name, value in tags.items() if value and len(value) <= LONGEST_TAG and len(name) <= LONGEST_NAME
    }
    return dict(list(fit.items())[:MOST_TAGS])


def _without_signature(source: str | None) -> str | None:
    return None if source and "?" in source else source
