"""The newest artifact of a manifest that Packer wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest
from golden_pools.rules.packer import ArtifactKind, ManifestError, data_disks, newest_build

GROUP = "/subscriptions/1/resourceGroups/images/providers/Microsoft.Compute"
IMAGE = f"{GROUP}/images/farm-1"
VERSION = f"{GROUP}/galleries/golden_gallery/images/farm/versions/1.2.3"
VHD = "https://goldenvhds.blob.core.windows.net/system/packer-osDisk.1.vhd"


def build(artifact: str = IMAGE, *, name: str = "farm", at: int = 1_790_000_000, **more: Any) -> dict[str, Any]:
    """Return one build as the post-processor writes it."""
    return {
        "name": name,
        "builder_type": "azure-arm",
        "build_time": at,
        "files": None,
        "artifact_id": artifact,
        "packer_run_uuid": "6d5d3185-fa95-44e1-8775-9e64fe2e2d8f",
        "custom_data": {"commit": "abc"},
        **more,
    }


def manifest(*builds: dict[str, Any]) -> str:
    return json.dumps({"builds": builds, "last_run_uuid": "6d5d3185-fa95-44e1-8775-9e64fe2e2d8f"})


@pytest.mark.parametrize(
    ("artifact", "kind"),
    [
        (IMAGE, ArtifactKind.MANAGED_IMAGE),
        (IMAGE.lower(), ArtifactKind.MANAGED_IMAGE),
        (VERSION, ArtifactKind.VERSION),
        (VERSION.lower(), ArtifactKind.VERSION),
        (VHD, ArtifactKind.VHD),
    ],
)
def test_what_the_artifact_is(artifact: str, kind: ArtifactKind) -> None:
    found = newest_build(manifest(build(artifact)), None)
    assert (found.kind, found.artifact_id) == (kind, artifact)


def test_the_newest_counts_wherever_it_stands() -> None:
    text = manifest(build(VERSION, at=1_790_000_500), build(IMAGE), build(VHD, at=1_789_000_000))
    found = newest_build(text, None)
    assert found.artifact_id == VERSION
    assert str(found) == "Packer build farm of 2026-09-21 14:21 UTC"


def test_without_times_the_last_counts() -> None:
    one, two = build(IMAGE), build(VERSION)
    del one["build_time"], two["build_time"]
    assert newest_build(manifest(one, two), None).artifact_id == VERSION


def test_a_named_build_counts_even_where_another_is_newer() -> None:
    text = manifest(build(IMAGE, name="farm"), build(VERSION, name="other", at=1_790_009_000))
    assert newest_build(text, "farm").artifact_id == IMAGE


def test_builds_of_other_clouds_do_not_count() -> None:
    text = manifest(build(IMAGE), build("ami-1", at=1_790_009_000, builder_type="amazon-ebs"))
    assert newest_build(text, None).artifact_id == IMAGE


@pytest.mark.parametrize(
    ("text", "name", "what", "advice"),
    [
        ("", None, "it is no manifest of Packer", 'post-processor "manifest" {}'),
        ("[]", None, "it is no manifest of Packer", 'post-processor "manifest" {}'),
        ('{"builds": [{"name": 1}]}', None, "builds.0.name", 'post-processor "manifest" {}'),
        (manifest(), None, "it has no build of Azure's; its builds: none", "run Packer again"),
        (manifest(build()), "fram", "it has no build fram; its builds: farm (azure-arm)", "correct image.source"),
        (manifest(build("UNKNOWN ID")), None, "is UNKNOWN ID, which is no managed image", "without keep_os_disk"),
        (manifest(build(f"{GROUP}/disks/os")), None, "which is no managed image", "without keep_os_disk"),
        (manifest(build(f"{GROUP}/galleries/g/images/d")), None, "which is no managed image", "shared_image_gallery"),
    ],
)
def test_a_manifest_that_names_no_image(text: str, name: str | None, what: str, advice: str) -> None:
    with pytest.raises(ManifestError) as caught:
        newest_build(text, name)
    assert what in str(caught.value)
    assert advice in caught.value.advice


CONTAINER = "https://goldenvhds.blob.core.windows.net/images"
VM_ID = "4085bb15-3644-4641-b9cd-f575918640b4"


@pytest.mark.parametrize(
    ("os_disk", "data_disk"),
    [
        (f"{CONTAINER}/packer-osDisk.{VM_ID}.vhd", f"{CONTAINER}/packer-datadisk-%d.{VM_ID}.vhd"),
        (
            f"{CONTAINER}/Microsoft.Compute/Images/i/p-osDisk.{VM_ID}.vhd",
            f"{CONTAINER}/Microsoft.Compute/Images/i/p-datadisk-%d.{VM_ID}.vhd",
        ),
        (f"{CONTAINER}/packer.pkros128o59crqz.vhd", f"{CONTAINER}/packer.pkrdd128o59crqz-%d.vhd"),
        (f"{CONTAINER}/pkros128osabcde.vhd", f"{CONTAINER}/pkrdd128osabcde-%d.vhd"),
        (f"{CONTAINER}/farmos1a2b3.vhd", f"{CONTAINER}/farmdd1a2b3-%d.vhd"),
    ],
)
def test_the_data_disks_are_named_after_the_os_disk(os_disk: str, data_disk: str) -> None:
    """packer-plugin-azure#339, #522: numbers from 1, LUNs from 0."""
    assert data_disks(os_disk, 2) == {0: data_disk % 1, 1: data_disk % 2}
    assert data_disks(os_disk, 0) == {}


def test_data_disks_of_an_os_disk_with_a_name_of_somebodys_own_cannot_be_found() -> None:
    assert data_disks(f"{CONTAINER}/golden.vhd", 0) == {}
    with pytest.raises(ManifestError, match=r"the names of its 1 data disk do not follow") as refused:
        data_disks(f"{CONTAINER}/golden.vhd", 1)
    assert "leave the names of temporary resources to Packer" in refused.value.advice
