"""What can be known of page blobs beforehand: next to nothing, since only holders of the account's keys see them.

Source: "Prepare a Windows VHD or VHDX to upload to Azure", "Create an image definition and an image version".
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from golden_pools.rules.preflight.case import Case, check
from golden_pools.rules.preflight.findings import Finding


@check(building=True)
def page_blobs_unseen(case: Case) -> Iterator[Finding]:
    """Is the image made of page blobs, about which only the spec says what is on them?"""
    if (vhd := case.plan.spec.image.source.vhd) is not None:
        yield case.info(
            f"nobody has looked at the page blobs: the spec says {vhd.os_type}, generation {vhd.generation}, "
            f"generalized, in {vhd.region}",
            "nothing, if it is true: Azure refuses a blob that is missing or elsewhere when the image is made; what is "
            "wrong about the system shows in the canary, whose node does not come",
            f"az storage blob show --blob-url {vhd.os_disk} --auth-mode login --output json",
        )


@check(building=True)
def packers_data_disks(case: Case) -> Iterator[Finding]:
    """Does the spec say how many data disks a VHD of Packer's has? The manifest names the OS disk alone."""
    packer, found = case.plan.spec.image.source.packer, case.plan.source
    blob = found.resource_id if found and not case.plan.given_image_id else None
    if packer and packer.vhd and packer.vhd.data_disks is None and blob:
        where = urlsplit(blob)
        yield case.warning(
            "only the OS disk is taken: Packer's manifest names no other, whether or not there are data disks",
            "say in image.source.packer.vhd.data_disks how many disk_additional_size of the template makes; 0 for none",
            f"az storage blob list --account-name {where.netloc.partition('.')[0]} "
            f"--container-name {where.path.split('/')[1]} --auth-mode login --output table",
        )
