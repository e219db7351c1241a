"""Where a pool's image comes from, as a line: golden VM, snapshots, managed image, version, pool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from golden_pools.rules.board.attention import Nodes
from golden_pools.rules.board.facts import Json, Look, PoolLook
from golden_pools.rules.board.looks import VersionSeen, moment, same_image
from golden_pools.rules.portal import portal_url
from golden_pools.spec.model import PoolSpec
from golden_pools.words import counted


@dataclass(frozen=True, kw_only=True)
class Station:
    """One thing of the line.

    :param kind: ``golden_vm``, ``snapshots``, ``managed_image``, ``version`` or ``pool``
    :param at: since when it is there
    :param portal: where the Azure portal shows it
    """

    kind: str
    name: str
    detail: str
    at: datetime | None
    portal: str | None


def portal(look: Look | None, arm_id: str | None) -> str | None:
    """Return where the portal shows a resource; None where no portal does."""
    if look is None or look.portal is None or not arm_id or not arm_id.startswith("/"):
        return None
    return portal_url(arm_id, str(look.portal["cloud"]), look.portal["tenant"])


def line(
    spec: PoolSpec,
    pool: str,
    *,
    there: PoolLook | None,
    nodes: Nodes | None,
    passports: Iterable[Json],
    versions: Iterable[VersionSeen],
    look: Look | None,
) -> list[Station]:
    """Return the line as far as it is known; what no passport of the pool's last runs tells is left out.

    :param there: the pool; None: not seen
    :param passports: of the pool's last runs, newest first
    :param look: last look at the account
    """
    mine = [one for one in passports if there and same_image(one.get("image"), there.image_id)]
    made = next((one for one in mine if one.get("built")), {})
    stations = [_source(spec, made, look), *_captured(made, look)]
    if there is not None and there.image_id:
        stations.append(_version(there.image_id, mine, versions, look))
    since = next((moment(use["since"]) for one in mine for use in one.get("pools", ())), None)
    detail = f"{nodes.ready} of {nodes.target} nodes ready" if nodes else "not seen yet"
    name = there.id.rpartition("/")[2] if there else pool
    stations.append(
        Station(kind="pool", name=name, detail=detail, at=since, portal=portal(look, there.id if there else None))
    )
    return stations


def _source(spec: PoolSpec, made: Json, look: Look | None) -> Station:
    """Return what the image is made from, as the version's passport says, or else as the spec does."""
    kind = spec.image.source.kind
    vm = spec.golden_vm or spec.image.source.generalized_vm
    wanted = (
        f"/subscriptions/{spec.subscription}/resourceGroups/{vm.resource_group}"
        f"/providers/Microsoft.Compute/virtualMachines/{vm.name}"
        if vm
        else None
    )
    source: Mapping[str, Any] = made.get("source") or {}
    id_ = made.get("golden_vm") or source.get("id") or wanted
    follow = spec.image.source.follow
    name = follow.pool if follow else id_.rstrip("/").rpartition("/")[2] if id_ else kind.value
    return Station(
        kind="golden_vm",
        name=name,
        detail=str(source.get("why") or (f"in group {vm.resource_group}" if vm else kind.value.replace("_", " "))),
        at=None,
        portal=portal(look, id_),
    )


def _captured(made: Json, look: Look | None) -> list[Station]:
    """Return what was made between the source and the version."""
    stamp = moment((made.get("run") or {}).get("stamp"))
    stations = []
    if snapshots := made.get("snapshots") or ():
        worth = (made.get("consistency") or {}).get("word") or ""
        stations.append(
            Station(
                kind="snapshots",
                name=_name(snapshots[0]).removesuffix("-os"),
                detail=", ".join(filter(None, (counted(len(snapshots), "disk"), str(worth).replace("_", " ")))),
                at=stamp,
                portal=portal(look, snapshots[0]),
            )
        )
    if image := made.get("managed_image"):
        stations.append(
            Station(kind="managed_image", name=_name(image), detail="", at=stamp, portal=portal(look, image))
        )
    return stations


def _version(image_id: str, mine: list[Json], versions: Iterable[VersionSeen], look: Look | None) -> Station:
    seen = next((version for version in versions if same_image(version.id, image_id)), None)
    words = {True: "proved good", False: "marked bad", None: "not judged yet"}
    became = str(mine[0].get("became", "")) if mine else ""
    return Station(
        kind="version",
        name=_name(image_id),
        detail=words[seen.good] if seen else became.replace("_", " "),
        at=seen.made_at if seen else None,
        portal=portal(look, image_id),
    )


def _name(arm_id: str) -> str:
    return arm_id.rstrip("/").rpartition("/")[2]
