"""What can be known of page blobs beforehand: next to nothing, since only holders of the account's keys see them.

Source: "Prepare a Windows VHD or VHDX to upload to Azure", "Create an image definition and an image version".
"""

from __future__ import annotations

from collections.abc import Iterator

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
