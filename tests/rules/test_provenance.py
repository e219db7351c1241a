"""Tags that say where an image comes from: within Azure's limits, and no person among them."""

from __future__ import annotations

from golden_pools.rules.plan import RunPlan, made_by
from golden_pools.rules.provenance import LINK_TAG, SOURCE_TAG, fitting, provenance, version_provenance
from golden_pools.rules.source import ImageSource, Road, System
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.build import plan

LINK = "https://airflow.example.org/dags/golden_pool_small/runs/manual__1"
VM = "/subscriptions/s/resourceGroups/golden/providers/Microsoft.Compute/virtualMachines/golden-vm"


def looked(resource_id: str = VM) -> RunPlan:
    system = System(location="westeurope", os_type="Linux", generation="V2")
    found = ImageSource(
        builds=True, reason="a test", road=Road.SNAPSHOTS, system=system, resource_id=resource_id, fingerprint="vm=1"
    )
    return plan().model_copy(update={"source": found})


def test_what_a_run_makes_says_source_capture_road_and_run() -> None:
    tags = version_provenance(looked(), link=LINK)
    assert {name.removeprefix("golden-pools-"): value for name, value in tags.items()} == {
        "pool": "small",
        "dag": "golden_pools_small",
        "run": "manual__1",
        "source": VM,
        "source-kind": "golden_vm",
        "capture": "deallocated",
        "road": "snapshots",
        "began": "2026-11-22T04:15:00+00:00",
        "started": "by hand",
        "run-link": LINK,
        "fingerprint": "vm=1",
    }


def test_no_user_is_named() -> None:
    assert "ada" not in " ".join(version_provenance(looked(), link=LINK).values()).split("/")
    assert plan().triggered_by == "ada"


def test_a_run_adopts_what_it_made_when_airflow_has_moved_meanwhile() -> None:
    assert made_by(looked(), provenance(looked(), link="http://another-host/"))


def test_a_signature_never_becomes_a_tag() -> None:
    assert SOURCE_TAG not in provenance(looked("https://a.blob.core.windows.net/v/d.vhd?sig=x"), link=None)


def test_what_is_too_long_is_left_out_and_never_cut() -> None:
    tags = provenance(looked(), link=f"https://{'a' * 300}")
    assert LINK_TAG not in tags
    assert tags[SOURCE_TAG] == VM


@given(st.dictionaries(st.text(max_size=600), st.none() | st.text(max_size=300), max_size=70))
@settings(max_examples=60)
def test_tags_are_within_azures_limits_and_whole(wanted: dict[str, str | None]) -> None:
    tags = fitting(wanted)
    assert len(tags) <= 50
    assert all(len(name) <= 512 and 0 < len(value) <= 256 and wanted[name] == value for name, value in tags.items())
