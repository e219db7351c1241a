"""``image.source``: where an image comes from, and what that asks of the rest of the spec."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml
from golden_pools.spec.loader import load_pool
from golden_pools.spec.schema import pool_spec_schema
from golden_pools.spec.source import SourceKind

SUBNET = "/subscriptions/1/resourceGroups/golden/providers/Microsoft.Network/virtualNetworks/net/subnets/builders"
VERSION = "/subscriptions/1/resourceGroups/images/providers/Microsoft.Compute/galleries/g/images/d/versions/1.0.0"
GOLDEN = "golden_vm:\n  resource_group: golden\n  name: golden-vm\n"
IMAGE = "image:\n  resource_group: images\n  gallery: golden_gallery\n  definition: farm\n"
MADE_ELSEWHERE = (GOLDEN, ""), (IMAGE, "image:\n")

SOURCES = {
    "generalized_vm": "generalized_vm: {resource_group: golden, name: build-vm}",
    "vhd": (
        "vhd: {os_disk: 'https://vhds.blob.core.windows.net/v/a.vhd', "
        "region: westeurope, os_type: Linux, generation: V2}"
    ),
    "packer": "packer: {manifest: /builds/packer-manifest.json}",
    "image_version": f"image_version: {{id: {VERSION}}}",
    "follow": "follow: {pool: render-farm}",
}


def with_source(line: str, *, image: str = IMAGE) -> list[tuple[str, str]]:
    """Return the changes that give the good spec another source."""
    return [(GOLDEN, ""), (IMAGE, f"{image}  source:\n    {line}\n")]


@pytest.mark.parametrize("kind", SOURCES)
def test_each_source_makes_a_good_spec(kind: str, write: Callable[..., Path]) -> None:
    makes_images = SourceKind(kind).makes_images
    path = write(*with_source(SOURCES[kind], image=IMAGE if makes_images else "image:\n"))
    spec = load_pool(path)
    assert spec.image.source.kind is SourceKind(kind)
    assert spec.golden_vm is None
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), pool_spec_schema())


def test_without_a_source_it_is_the_golden_vm(write: Callable[..., Path]) -> None:
    spec = load_pool(write())
    assert spec.image.source.kind is SourceKind.GOLDEN_VM
    assert spec.model_validate(json.loads(spec.model_dump_json())) == spec


CLONE = "  name: golden-vm\n", "  name: golden-vm\n  generalize: clone\n"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ([(GOLDEN, "")], "golden_vm: found nothing; allowed: a mapping with resource_group and name"),
        ([(IMAGE, f"{IMAGE}  source: {{{SOURCES['vhd']}}}\n")], "nothing, since the image comes from image.source.vhd"),
        (
            with_source(SOURCES["vhd"] + "\n    " + SOURCES["packer"]),
            "allowed: one source, but vhd stands there too",
        ),
        (with_source(SOURCES["follow"]), "nothing: image.source.follow says which definition it is"),
        (with_source(SOURCES["packer"], image="image:\n"), "a name; the images that the runs make lie there"),
        ([CLONE], "golden_vm.clone: found nothing; allowed: a mapping with at least subnet_id"),
        (
            [("  name: golden-vm\n", f"  name: golden-vm\n  clone: {{subnet_id: {SUBNET}}}\n")],
            "allowed: nothing, or generalize: clone",
        ),
        (
            with_source(SOURCES["vhd"].replace("a.vhd", "a.vhd?sig=abc")),
            "allowed: the address of a page blob without a signature",
        ),
        (
            with_source(
                SOURCES["follow"],
                image="image:\n  publish: managed_image\n  legacy_direct_pool: true\n",
            ),
            "image.publish: found 'managed_image'; allowed: gallery",
        ),
    ],
)
def test_a_source_that_does_not_fit(changes: list[tuple[str, str]], fault: str, write: Callable[..., Path]) -> None:
    from golden_pools.errors import SpecError

    path = write(*changes)
    with pytest.raises(SpecError) as caught:
        load_pool(path)
    assert any(fault in text for text in caught.value.faults), caught.value.faults
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), pool_spec_schema())


def test_a_clone_has_its_subnet(write: Callable[..., Path]) -> None:
    clone = f"  name: golden-vm\n  generalize: clone\n  clone: {{subnet_id: {SUBNET}}}\n"
    spec = load_pool(write(("  name: golden-vm\n", clone)))
    assert spec.golden_vm is not None
    assert spec.golden_vm.clone is not None
    assert spec.golden_vm.clone.minutes == 30
