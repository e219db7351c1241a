"""Pools in waves: one golden VM, and pools that take its image one after the other; whole DAGs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import TriggerRule
from golden_pools.errors import AzureRefusedError, PreflightError
from golden_pools.spec.model import PoolSpec

from dags.golden_pools import pool_dag
from tests.operators.conftest import DEFINITION, Cloud, Run, small_pool
from tests.operators.dag_run import DagRun, State
from tests.virtual_time import VirtualTime, virtual_cloud


@dataclass
class Waves:
    """A world with the pool ``small``, whose runs make the image, and pools that follow it."""

    cloud: Cloud
    virtual: VirtualTime
    specs: dict[str, PoolSpec] = field(default_factory=dict)
    log: dict[str, list[SimpleNamespace]] = field(default_factory=lambda: defaultdict(list))
    runs: int = 0

    def follower(self, name: str, *after: str, pause: int = 0, **parts: dict[str, Any]) -> None:
        """Add a pool that follows ``small``."""
        whole = small_pool(self.cloud).model_dump(mode="json") | {"golden_vm": None}
        whole["image"] = {"source": {"follow": {"pool": "small", "after": after, "pause_minutes": pause}}}
        whole["pool"] |= {"targets": {"dedicated": 1, "spot": 0}}
        for part, fields in parts.items():
            whole[part] |= fields
        self.specs[name] = PoolSpec.model_validate(whole)

    def run(self, pool: str, *, by_hand: bool = False, in_waits: tuple[Any, ...] = (), **conf: Any) -> DagRun:
        """Run a pool's DAG to its end."""
        self.runs += 1
        run = Run(
            self.specs[pool],
            pool=pool,
            conf=conf,
            run_id=f"run__{self.runs}",
            stamp=self.virtual.now(),
            fire=self.virtual.fire,
            followed={name: spec for name, spec in self.specs.items() if name != pool},
            log=self.log,
            clock=self.virtual.now,
            scheduled=not by_hand,
            in_waits=in_waits,
        )
        run.xcoms.pop("source", None)
        self.cloud.forget()
        return DagRun(pool_dag(pool, self.specs[pool], self.specs), run, run.do_with_retries).go()

    def make_version(self) -> str:
        """Let the pool ``small`` make a version; returns its ARM id."""
        made = self.run("small", by_hand=True, force_rebuild=True)
        assert made.succeeded, made.errors
        return made.run.plan.version_id

    def events_of(self, asset: str) -> int:
        return len(self.log[asset])


@pytest.fixture
def waves() -> Iterator[Waves]:
    with virtual_cloud() as (cloud, virtual):
        made = Waves(cloud, virtual)
        whole = small_pool(cloud).model_dump(mode="json")
        whole["golden_vm"]["capture"] = "running"
        made.specs["small"] = PoolSpec.model_validate(whole)
        yield made


def mark_bad(waves: Waves, version: str, why: str = "colours are wrong") -> None:
    """Mark a version bad, as a run or a person would."""
    path = f"{DEFINITION}/versions/{version.rpartition('/')[2]}"
    tags = waves.cloud.arm("GET", path)["tags"] | {"golden-pools-verdict": "bad", "golden-pools-why": why}
    waves.cloud.arm("PATCH", path, {"tags": tags})
    waves.cloud.advance(minutes=10)


def test_a_new_image_goes_through_the_pools_in_waves(waves: Waves) -> None:
    waves.follower("preview")
    waves.follower("farm", "preview", pause=90)
    version = waves.make_version()
    assert waves.events_of("golden-image/golden_gallery/small") == 1

    preview = waves.run("preview")
    assert preview.succeeded, preview.errors
    assert waves.cloud.node_images("preview") == [version]
    assert preview.states["canary.pool"] == State.SKIPPED, "the version proved good on another pool"
    assert preview.states["pool.announce"] == State.SKIPPED, "there is nothing new to announce"
    began = waves.virtual.now()

    farm = waves.run("farm")
    assert farm.succeeded, farm.errors
    assert waves.cloud.node_images("farm") == [version]
    assert waves.virtual.now() - began >= timedelta(minutes=89)
    assert "SoakTrigger" in farm.run.deferrals


def test_a_follower_writes_nothing_before_its_turn(waves: Waves) -> None:
    waves.follower("farm", pause=600)
    waves.make_version()
    writes: list[list[str]] = []
    waves.run("farm", in_waits=(lambda: writes.append(waves.cloud.writes()),))
    assert writes[0] == []


def test_nobody_moves_before_those_that_go_first(waves: Waves) -> None:
    waves.follower("preview")
    waves.follower("farm", "preview")
    version = waves.make_version()
    farm = waves.run("farm")
    assert not farm.succeeded
    told = farm.errors["source"]
    assert isinstance(told, PreflightError)
    assert f"the newest is {version.rpartition('/')[2]}; pool preview" not in str(told)
    assert "preview has no run on record that succeeded" in str(told)
    assert "bring preview onto it first" in str(told)
    assert "farm" not in waves.cloud.pools()


def test_a_pool_that_fails_stops_the_waves_behind_it(waves: Waves) -> None:
    waves.follower("preview")
    waves.follower("farm", "preview")
    first = waves.make_version()
    assert waves.run("preview").succeeded
    assert waves.run("farm").succeeded
    waves.virtual.sleep(3600)
    waves.make_version()
    before = waves.events_of("batch-pool/goldenbatch/preview")
    refusal = {"max_dedicated_nodes": 0, "resizes": None, "error": {"code": "UnsupportedVMSize"}}
    waves.cloud.allocation(pool="preview", **refusal)
    assert not waves.run("preview").succeeded
    assert waves.events_of("batch-pool/goldenbatch/preview") == before, "so nothing starts the farm"
    farm = waves.run("farm")
    assert farm.succeeded, farm.errors
    assert waves.cloud.image_of("farm") == first, "it stays on the version that it has"


def test_a_version_that_turns_out_bad_in_the_pause_is_not_taken(waves: Waves) -> None:
    waves.follower("farm", pause=60)
    version = waves.make_version()
    farm = waves.run("farm", in_waits=(lambda: mark_bad(waves, version),))
    told = farm.errors["wave"]
    assert isinstance(told, PreflightError)
    assert "it was marked bad: colours are wrong" in str(told)
    assert "nothing for this pool, which stays on the version that it has" in str(told)
    assert "farm" not in waves.cloud.pools()
    assert farm.states["pool.refresh"] == State.UPSTREAM_FAILED


def test_a_pool_that_goes_back_in_the_pause_stops_the_next(waves: Waves) -> None:
    waves.follower("preview")
    waves.follower("farm", "preview", pause=60)
    old = waves.make_version()
    waves.virtual.sleep(3600)
    waves.make_version()
    assert waves.run("preview").succeeded

    def go_back() -> None:
        back = waves.run("preview", by_hand=True, image_version=old)
        assert back.succeeded, back.errors

    farm = waves.run("farm", in_waits=(go_back,))
    assert f"pool preview is on {old.rpartition('/')[2]} since" in str(farm.errors["wave"])
    assert "farm" not in waves.cloud.pools()


def test_a_run_by_hand_does_not_pause(waves: Waves) -> None:
    waves.follower("farm", pause=600)
    version = waves.make_version()
    farm = waves.run("farm", by_hand=True)
    assert farm.succeeded, farm.errors
    assert waves.cloud.image_of("farm") == version
    assert "SoakTrigger" not in farm.run.deferrals


def test_a_run_with_a_version_of_its_own_waits_for_nobody(waves: Waves) -> None:
    waves.follower("preview")
    waves.follower("farm", "preview", pause=600)
    version = waves.make_version()
    farm = waves.run("farm", by_hand=True, image_version=version.rpartition("/")[2])
    assert farm.succeeded, farm.errors
    assert farm.states["wave"] == State.SKIPPED
    assert waves.cloud.image_of("farm") == version


def test_a_run_without_a_new_version_brings_the_pool_to_its_spec(waves: Waves) -> None:
    waves.follower("farm", pause=60)
    version = waves.make_version()
    assert waves.run("farm").succeeded
    waves.follower("farm", pause=60, pool={"targets": {"dedicated": 2, "spot": 0}})
    farm = waves.run("farm")
    assert farm.succeeded, farm.errors
    assert waves.cloud.node_images("farm") == [version] * 2
    assert farm.run.plan.model_copy(update={"source": None}).definition_id in version


def test_plan_only_waits_for_nothing_and_says_which_version(waves: Waves) -> None:
    waves.follower("farm", pause=600)
    version = waves.make_version()
    farm = waves.run("farm", plan_only=True)
    assert farm.succeeded, farm.errors
    assert farm.states["wave"] == State.SKIPPED
    assert farm.run.xcom("source")["version_id"] == version
    assert farm.run.deferrals == []
    assert waves.cloud.writes() == []


def test_nothing_has_proved_good_yet(waves: Waves) -> None:
    waves.follower("farm")
    waves.cloud.make_version()
    told = waves.run("farm").errors["source"]
    assert "No version of small's image has proved good yet" in str(told)
    assert "trigger the DAG of small" in str(told)


class TestRegions:
    """A follower in a region that the version is still to come to."""

    @pytest.fixture
    def version(self, waves: Waves) -> str:
        """Return a version without the region that the spec has been given since."""
        account = waves.cloud.world.batch.account("goldenbatch")
        assert account is not None
        north = {"name": "goldennorth", "location": "northeurope"}
        waves.cloud.world.batch.add_account(account.facts.model_copy(update=north))
        self.replicate(waves, [])
        version = waves.make_version()
        self.replicate(waves, [{"name": "northeurope"}])
        waves.follower("farm", pool={"account": "goldennorth"})
        return version

    def replicate(self, waves: Waves, regions: list[dict[str, str]]) -> None:
        whole = waves.specs["small"].model_dump(mode="json")
        whole["image"]["target_regions"] = regions
        waves.specs["small"] = PoolSpec.model_validate(whole)

    def test_it_waits_until_the_version_is_there(self, waves: Waves, version: str) -> None:
        def copy() -> None:
            path = f"{DEFINITION}/versions/{version.rpartition('/')[2]}"
            regions = [{"name": name, "regionalReplicaCount": 1} for name in ("westeurope", "northeurope")]
            found = waves.cloud.arm("GET", path)
            found["properties"]["publishingProfile"]["targetRegions"] = regions
            waves.cloud.arm("PUT", path, found)

        farm = waves.run("farm", in_waits=(copy,))
        assert farm.succeeded, farm.errors
        assert farm.run.deferrals[:2] == ["SoakTrigger", "ReplicationTrigger"]

    def test_it_gives_up_when_it_does_not_come(self, waves: Waves, version: str) -> None:
        farm = waves.run("farm")
        told = farm.errors["wave"]
        assert isinstance(told, AzureRefusedError)
        assert "did not come to northeurope within 12 hours" in str(told)
        assert "look at task replicate of the DAG of small" in str(told)
        assert set(farm.run.deferrals) == {"SoakTrigger"}
        assert version in str(told)

    def test_a_region_that_nobody_brings_it_to_is_said_at_once(self, waves: Waves, version: str) -> None:
        self.replicate(waves, [])
        told = str(waves.run("farm").errors["source"])
        assert f"the newest is {version.rpartition('/')[2]}; it is in westeurope" in told
        assert "add northeurope to image.target_regions of small.yaml" in told


def test_only_followers_have_a_wave(waves: Waves) -> None:
    waves.follower("farm", pause=1)
    assert "wave" not in pool_dag("small", waves.specs["small"], waves.specs).task_dict
    dag = pool_dag("farm", waves.specs["farm"], waves.specs)
    assert dag.task_dict["wave"].upstream_task_ids == {"preflight"}
    assert dag.task_dict["wave"].downstream_task_ids == {"canary.pool"}
    assert dag.task_dict["canary.pool"].trigger_rule == TriggerRule.NONE_FAILED
    assert not any(name.startswith("image.") for name in dag.task_dict)
