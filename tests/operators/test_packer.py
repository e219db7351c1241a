"""``image.source.packer``: a run goes on from whatever Packer has left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from golden_pools.errors import GoldenPoolsError, PreflightError

from include.azure_simulator.storage.accounts import BlobSection
from tests.operators.conftest import COMPUTE, NEW
from tests.operators.dag_run import State
from tests.operators.test_sources import Nights
from tests.operators.test_sources import nights as nights
from tests.rules.test_packer import VHD, build, manifest

VHD_FACTS = {"region": "West Europe", "os_type": "Linux", "generation": "V2"}
OF_SAMPLE = "https://goldenvhds.blob.core.windows.net/vhds/golden.vhd"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write a manifest with one build; returns the source of a spec that names it."""

    def written(artifact: str, **more: Any) -> dict[str, Any]:
        path = tmp_path / "packer-manifest.json"
        path.write_text(manifest(build(artifact)), encoding="utf-8")
        return {"packer": {"manifest": str(path), **more}}

    return written


def test_a_managed_image_becomes_a_version(nights: Nights, write: Any) -> None:
    image = nights.cloud.make_managed_image("packer-1")
    spec = nights.spec(source=write(image))
    run = nights.night(spec)
    assert run.succeeded, run.errors
    assert not [write for write in nights.cloud.writes() if "/Microsoft.Compute/images/" in write]
    assert run.states["image.managed_image"] is State.SKIPPED
    source = nights.version(run)["properties"]["storageProfile"]["source"]["id"]
    assert source.casefold() == image.casefold()


def test_the_same_build_makes_no_second_version(nights: Nights, write: Any) -> None:
    spec = nights.spec(source=write(nights.cloud.make_managed_image("packer-1")))
    assert nights.night(spec).succeeded
    again = nights.night(spec, run_id="manual__2")
    assert again.succeeded
    assert again.states["image.publish"] is State.SKIPPED
    assert nights.made("versions") == []


def test_a_version_is_taken_as_it_is(nights: Nights, write: Any) -> None:
    version = nights.cloud.make_version(NEW)
    run = nights.night(nights.spec(source=write(version)))
    assert run.succeeded, run.errors
    assert nights.made("versions") == []
    assert nights.cloud.image_of().casefold() == version.casefold()


def test_a_vhd_becomes_a_managed_image_and_a_version(nights: Nights, write: Any) -> None:
    run = nights.night(nights.spec(source=write(OF_SAMPLE, vhd=VHD_FACTS)))
    assert run.succeeded, run.errors
    assert run.states["image.managed_image"] is State.SUCCESS
    assert nights.version(run)["properties"]["provisioningState"] == "Succeeded"


def put_blob(nights: Nights, name: str, **holds: Any) -> str:
    """Put a page blob beside the sample's; returns its address."""
    (account,) = nights.cloud.world.storage
    (container,) = account.section.containers
    container.blobs.append(BlobSection(name=name, size_gib=30, **holds))
    return f"{OF_SAMPLE.rpartition('/')[0]}/{name}"


def test_the_data_disks_of_a_vhd_go_with_it(nights: Nights, write: Any) -> None:
    os_disk = put_blob(nights, "pkros128o59crqz.vhd", os_type="Linux", generation="V2")
    data_disks = [put_blob(nights, f"pkrdd128o59crqz-{number}.vhd") for number in (1, 2)]
    run = nights.night(nights.spec(source=write(os_disk, vhd={**VHD_FACTS, "data_disks": 2})))
    assert run.succeeded, run.errors
    disks = nights.cloud.arm("GET", f"{COMPUTE}/images/{run.run.plan.stem}")["properties"]["storageProfile"]
    assert disks["osDisk"]["blobUri"] == os_disk
    assert [(disk["lun"], disk["blobUri"]) for disk in disks["dataDisks"]] == list(enumerate(data_disks))


def test_a_vhd_whose_data_disks_are_not_there_fails_with_azures_word(nights: Nights, write: Any) -> None:
    os_disk = put_blob(nights, "pkros128o59crqz.vhd", os_type="Linux", generation="V2")
    run = nights.night(nights.spec(source=write(os_disk, vhd={**VHD_FACTS, "data_disks": 1})))
    assert "is not accessible" in run.errors["image.managed_image"].answer


def test_more_data_disks_are_a_changed_source(nights: Nights, write: Any) -> None:
    os_disk = put_blob(nights, "pkros128o59crqz.vhd", os_type="Linux", generation="V2")
    put_blob(nights, "pkrdd128o59crqz-1.vhd")
    for count, night in ((0, "manual__1"), (1, "manual__2")):
        run = nights.night(nights.spec(source=write(os_disk, vhd={**VHD_FACTS, "data_disks": count})), run_id=night)
        assert run.states["image.publish"] is State.SUCCESS


@pytest.mark.parametrize(("known", "warnings"), [({}, 1), ({"data_disks": 0}, 0)])
def test_it_is_said_that_data_disks_of_a_vhd_may_be_left_out(
    nights: Nights, write: Any, known: dict[str, int], warnings: int
) -> None:
    run = nights.night(nights.spec(source=write(OF_SAMPLE, vhd={**VHD_FACTS, **known})), plan_only=True)
    said = [found for found in run.run.xcom("preflight")["findings"] if found["check"] == "packers-data-disks"]
    assert len(said) == warnings
    assert all("image.source.packer.vhd.data_disks" in found["advice"] for found in said)


def refusal(nights: Nights, source: dict[str, Any], **parts: Any) -> GoldenPoolsError:
    """Return why a run stops before it writes anything."""
    run = nights.night(nights.spec(source=source, **parts))
    assert not run.succeeded
    assert nights.cloud.writes() == []
    return run.errors.get("source") or run.errors["preflight"]


def test_a_vhd_of_which_nothing_is_known(nights: Nights, write: Any) -> None:
    error = refusal(nights, write(VHD))
    assert error.answer == VHD
    assert "image.source.packer.vhd with region, os_type and generation" in error.advice


def test_data_disks_of_a_vhd_that_packer_did_not_name(nights: Nights, write: Any) -> None:
    error = refusal(nights, write(OF_SAMPLE, vhd={**VHD_FACTS, "data_disks": 1}))
    assert "do not follow from that of the OS disk" in error.answer
    assert "let it publish to a gallery" in error.advice


def test_a_managed_image_that_is_gone(nights: Nights, write: Any) -> None:
    gone = f"/subscriptions/{nights.cloud.subscription}/{COMPUTE}/images/packer-0"
    error = refusal(nights, write(gone))
    assert "is not there" in error.what
    assert error.resource == gone
    assert "run Packer again" in error.advice


def test_a_managed_image_of_another_subscription(nights: Nights, write: Any) -> None:
    error = refusal(nights, write(f"/subscriptions/another/{COMPUTE}/images/packer-1"))
    assert "in another subscription" in error.what
    assert "shared_image_gallery_destination" in error.advice


@pytest.mark.parametrize("name", ["nowhere.json", "."])
def test_a_manifest_that_cannot_be_read(nights: Nights, tmp_path: Path, name: str) -> None:
    error = refusal(nights, {"packer": {"manifest": str(tmp_path / name)}})
    assert isinstance(error, PreflightError)
    assert error.what.startswith("Packer's manifest cannot be read: ")
    assert str(tmp_path) in error.what
    assert "Azure answered" not in str(error)
    assert "correct image.source.packer.manifest or its connection" in error.advice


def test_a_direct_pool_of_packers_managed_image_in_a_batch_service_account(nights: Nights, write: Any) -> None:
    legacy = {"publish": "managed_image", "legacy_direct_pool": True}
    image = nights.cloud.make_managed_image("packer-1")
    whole = nights.spec(source=write(image)).model_dump(mode="json")
    whole["image"] |= {**legacy, "gallery": None, "definition": None}
    run = nights.night(type(nights.spec()).model_validate(whole))
    error = run.errors["preflight"]
    assert "packer-direct" in error.what
    assert "let Packer make a VHD and go on from there" in error.advice
    assert nights.cloud.writes() == []
