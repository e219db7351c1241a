"""Everything that is known of where images came from and where they went, as one chart; see :mod:`rules.lineage`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from golden_pools.rules.facts import ImageVersion, Pool, Snapshot, folded
from golden_pools.rules.family import ALIAS
from golden_pools.rules.lineage.line import Chart, Kind, Seen, Station
from golden_pools.rules.lineage.stations import (
    all_nodes,
    facts_of,
    image_station,
    known_as,
    moment,
    pool_station,
    said_of,
    set_of,
    source_station,
    state_of,
    vm_of,
)
from golden_pools.rules.passport import Became, Passport, PoolOf
from golden_pools.rules.provenance import SOURCE_TAG
from golden_pools.rules.retention.world import run_of
from golden_pools.spec.model import PoolSpec
from golden_pools.words import counted

POOL_TAG = "golden-pools-pool"

GONE = "not in Azure"

NO_PASSPORTS = (
    "no spec names image.passports: since when pools use a version, what used it before and what was deleted is "
    "not known"
)


@dataclass
class _Origin:
    """What one version came from, as far as anything says."""

    source: str | None = None
    snapshots: tuple[str, ...] = ()
    image: str | None = None


def chart_of(seen: Seen) -> Chart:
    """Return the chart of all that was read."""
    return _Drawing(seen).chart


class _Drawing:
    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.chart = Chart(seen.unknown)
        if not seen.kept:
            self.chart.miss("", NO_PASSPORTS)
        self._versions = {folded(one.id): one for one in seen.versions}
        self._images = {folded(one.id): one for one in seen.images}
        self._snapshots = {folded(one.id): one for one in seen.snapshots}
        self._pools = {folded(one.id): one for one in seen.pools}
        self._sets: dict[tuple[str, str], list[Snapshot]] = defaultdict(list)
        for snapshot in seen.snapshots:
            if run := run_of(snapshot.tags):
                self._sets[run].append(snapshot)
        self._specs()
        passports = {folded(one.image): one for one in seen.passports}
        for key in dict.fromkeys((*passports, *self._versions)):
            self._version(passports.get(key), self._versions.get(key))
        self._without_version()
        for pool in seen.pools:
            self._pool(pool)
        self._nodes()

    def _specs(self) -> None:
        """A VM of a spec is known though nothing was made of it yet."""
        for spec in self.seen.specs.values():
            if (vm := vm_of(spec)) is not None:
                self.chart.add(source_station(vm))

    def _version(self, passport: Passport | None, version: ImageVersion | None) -> None:
        image_id = version.id if version else passport.image if passport else ""
        station = image_station(image_id)
        marks = state_of(version) if version else ""
        if passport:  # runs have noted more than tags hold; but that it is to go Azure shows at once
            state = marks if marks.startswith("retired") else passport.became.value
            key = self.chart.add(known_as(station, state, said_of(passport)))
        else:
            assert version is not None, "one of them is there"
            key = self.chart.add(known_as(station, marks, facts_of(version)))
        if version is None and folded(image_id) not in self._images:
            self._gone(key, "version" if "/versions/" in folded(image_id) else "managed image")
        self._chain(key, self._origin(passport, version), station.name)
        for use in passport.pools if passport else ():
            self._use(key, image_id, use)
        if version and not passport and self.seen.kept:
            self.chart.miss(key, f"version {station.name} has no passport: tags and Azure's own words are all there is")

    def _gone(self, key: str, what: str) -> None:
        station = self.chart.stations[key]
        if self.seen.unknown:
            self.chart.miss(
                key, f"{what} {station.name} was not seen, which may be because of the look-ups that failed"
            )
        elif station.state != Became.RETIRED:
            words = f"{station.state}, {GONE}" if station.state else GONE
            self.chart.stations[key] = known_as(station, words, ())

    def _origin(self, passport: Passport | None, version: ImageVersion | None) -> _Origin:
        found = _Origin()
        if passport:
            source = passport.golden_vm or (passport.source.id if passport.source else None)
            found.source = source if source and folded(source) != folded(passport.image) else None
            found.snapshots, found.image = passport.snapshots, passport.managed_image
        if version is None:
            return found
        made_from = version.source_id or ""
        if "/images/" in folded(made_from):
            found.image = found.image or made_from
        image = self._images.get(folded(found.image)) if found.image else None
        own_set = set_of(self._sets.get(run_of(version.tags) or ("", ""), []))
        direct = (made_from,) if "/snapshots/" in folded(made_from) else ()
        found.snapshots = found.snapshots or own_set or (image.snapshot_ids if image else ()) or direct
        tags = [version.tags, image.tags if image else {}, *(self._tags(one) for one in found.snapshots)]
        said = next((tag[SOURCE_TAG] for tag in tags if tag.get(SOURCE_TAG)), None)
        machine = made_from if "/virtualmachines/" in folded(made_from) else None
        found.source = found.source or said or machine
        return found

    def _tags(self, snapshot_id: str) -> Mapping[str, str]:
        snapshot = self._snapshots.get(folded(snapshot_id))
        return snapshot.tags if snapshot else {}

    def _chain(self, last: str, origin: _Origin, name: str) -> None:
        """Link a version with all that it came from; what is not known is left out, and named."""
        keys = []
        if origin.source:
            keys.append(self.chart.add(source_station(origin.source)))
        elif (spec := self._spec_of(origin)) and (vm := vm_of(spec)):
            keys.append(self.chart.add(source_station(vm)))
            self.chart.miss(
                last, f"nothing but the pool spec of today says that {name} came from {vm.rpartition('/')[2]}"
            )
        else:
            self.chart.miss(last, f"nothing says what {name} was made from: no passport, no tag {SOURCE_TAG}")
        if origin.snapshots:
            keys.append(self.chart.add(self._set_station(origin.snapshots)))
        if origin.image and image_station(origin.image).key != last:
            keys.append(self._image(origin.image))
        for before, after in pairwise([*keys, last]):
            self.chart.link(before, after)

    def _spec_of(self, origin: _Origin) -> PoolSpec | None:
        """Return the spec whose run made the snapshots or the image; None where nothing says it."""
        image = self._images.get(folded(origin.image)) if origin.image else None
        tags = [*(self._tags(one) for one in origin.snapshots), image.tags if image else {}]
        return next((self.seen.specs[one[POOL_TAG]] for one in tags if one.get(POOL_TAG) in self.seen.specs), None)

    def _set_station(self, ids: tuple[str, ...]) -> Station:
        first = ids[0]
        there = [snapshot for one in ids if (snapshot := self._snapshots.get(folded(one)))]
        sizes = [snapshot.size_gib for snapshot in there if snapshot.size_gib]
        gib = f", {sum(sizes)} GiB" if sizes else ""
        state = "" if there or self.seen.unknown else GONE
        name = first.rpartition("/")[2].removesuffix("-os")
        disks = f"{counted(len(ids), 'disk')}{gib}"
        return Station(kind=Kind.SNAPSHOTS, id=first, name=name, state=state, facts=(disks,))

    def _image(self, image_id: str) -> str:
        state = "" if folded(image_id) in self._images or self.seen.unknown else GONE
        return self.chart.add(known_as(image_station(image_id), state, ()))

    def _without_version(self) -> None:
        """Add what runs have made of a VM that never became a version."""
        drawn = set(self.chart.stations)
        for run, snapshots in self._sets.items():
            station = self._set_station(set_of(snapshots))
            if station.key in drawn:
                continue
            key = self.chart.add(known_as(station, "no version came of it", station.facts))
            if source := next((one.tags[SOURCE_TAG] for one in snapshots if one.tags.get(SOURCE_TAG)), None):
                self.chart.link(self.chart.add(source_station(source)), key)
            for image in self.seen.images:
                if run_of(image.tags) == run:
                    self.chart.link(key, self._image(image.id))

    def _use(self, version: str, image_id: str, use: PoolOf) -> None:
        there = self._pools.get(folded(use.id))
        key = self.chart.add(known_as(pool_station(use.id), "" if there or self.seen.unknown else GONE, ()))
        words, over = f"since {moment(use.since)}", use.until is not None
        if use.until:
            words = f"{moment(use.since)} to {moment(use.until)}"
        elif (there is None and not self.seen.unknown) or (there and folded(there.image_id or "") != folded(image_id)):
            words, over = f"{words}, no longer", True
        self.chart.link(version, key, words, over=over)

    def _pool(self, pool: Pool) -> None:
        alias = pool.metadata.get(ALIAS)
        facts = (f"of spec {alias}",) if alias and alias.casefold() != pool.name.casefold() else ()
        key = self.chart.add(known_as(pool_station(pool.id), "", (*facts, pool.vm_size)))
        if pool.image_id is None:
            return
        if "/galleries/" in folded(pool.image_id) and "/versions/" not in folded(pool.image_id):
            self.chart.miss(key, f"pool {pool.name} names a definition: each node gets what is latest when it comes")
            return
        station = image_station(pool.image_id)
        known = self.chart.links.get((station.key, key))
        version = self.chart.add(station)
        self.chart.link(version, key)
        if known is None and self.seen.kept:
            self.chart.miss(key, f"no passport says since when pool {pool.name} runs on {station.name}")

    def _nodes(self) -> None:
        for pool_id, counts in self.seen.counts.items():
            pool = self._pools.get(pool_id)
            if pool is not None and (station := all_nodes(pool, counts)) is not None:
                self.chart.link(pool_station(pool.id).key, self.chart.add(station))
