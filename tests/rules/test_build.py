"""Whether a run makes an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from golden_pools.errors import RunConfError
from golden_pools.rules import fingerprint
from golden_pools.rules.build import decide, is_fit, newest_fit
from golden_pools.rules.facts import GoldenVm, ImageVersion, PowerState
from golden_pools.rules.plan import RunPlan, make_plan
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.build import DEFINITION_ID, NOW, disk, golden_vm, plan, spec, version

USED = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)


def vm(*, used: datetime | None = USED, **changes: Any) -> GoldenVm:
    """Return a golden VM whose disks were last used at one time."""
    facts = {"os_disk": disk(last_used=used), "data_disks": (disk(lun=0, last_used=used),), **changes}
    return golden_vm(**{"vm_id": "vm-1", "flagged_generalized": False, **facts})


def made(name: str = "2026.1121.41500", **changes: Any) -> ImageVersion:
    """Return a version that a run of the pool made, of the VM as it is."""
    tags = {
        "golden-pools-pool": "small",
        "golden-pools-run": "scheduled__1",
        "golden-pools-fingerprint": fingerprint.of_vm(vm()),
        **changes.pop("tags", {}),
    }
    facts = {"published": NOW - timedelta(days=1), **changes}
    return version(id=f"{DEFINITION_ID}/versions/{name}", name=name, tags=tags, **facts)


def differs(seen: GoldenVm) -> Callable[[str], str]:
    return lambda before: fingerprint.why_vm_differs(seen, before)


def decided(run: RunPlan, *versions: ImageVersion, seen: GoldenVm | None = None, failures: int = 0) -> tuple[bool, str]:
    """Return whether the run builds, and the reason or the version that it uses."""
    decision = decide(run, versions, differs(seen or vm()), failures=failures, now=NOW)
    if not decision.builds and decision.version is not None:
        return False, decision.version.name
    return decision.builds, decision.reason


def with_build(*, scheduled: bool = True, conf: dict[str, Any] | None = None, **build: Any) -> RunPlan:
    return make_plan(
        spec(image={"build": build}),
        pool="small",
        dag_id="golden_pool_small",
        run_id="r",
        triggered_by="somebody",
        stamp=NOW,
        conf=conf or {},
        params=conf or {},
        scheduled=scheduled,
    )


def test_nothing_is_built_of_a_vm_that_nobody_touched() -> None:
    assert decided(plan(), made()) == (False, "2026.1121.41500")


def test_a_version_that_the_pool_s_region_has_not_is_no_reason_not_to_build() -> None:
    """The pool went to another region, and nobody touched the golden VM."""
    there = made(target_regions={"westeurope": 1, "northeurope": 1})
    for region, versions, builds in (
        ("northeurope", [made()], True),
        ("northeurope", [there], False),
        (None, [made()], False),
    ):
        found = decide(plan(), versions, differs(vm()), failures=0, now=NOW, region=region)
        assert found.builds is builds


def test_the_first_run_builds() -> None:
    assert decided(plan())[0]


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (vm(power_state=PowerState.RUNNING), "the VM is running"),
        (vm(power_state=PowerState.STOPPED), "the VM is stopped"),
        (vm(used=USED + timedelta(hours=13, minutes=12)), "was last attached"),
        (vm(used=None), "Azure does not say when disk os was last used"),
        (replace(vm(), vm_id="vm-2"), "another VM"),
        (vm(vm_size="Standard_D4s_v5"), "its size"),
        (vm(data_disks=()), "its disks"),
        (vm(os_disk=disk(size_gib=128, last_used=USED)), "its disks"),
        (vm(os_disk=disk(unique_id="new", last_used=USED)), "its disks"),
    ],
)
def test_what_changed_is_named(seen: GoldenVm, reason: str) -> None:
    builds, why = decided(plan(), made(), seen=seen)
    assert builds
    assert reason in why


def test_the_reason_names_disk_and_time() -> None:
    _, why = decided(plan(), made(), seen=vm(used=datetime(2026, 11, 24, 7, 12, tzinfo=UTC)))
    assert "disk os was last attached" in why
    assert "2026-11-24 07:12 UTC" in why


def test_ids_of_another_spelling_are_the_same_vm() -> None:
    seen = vm()
    loud = replace(seen, id=seen.id.upper(), os_disk=replace(seen.os_disk, id=str(seen.os_disk.id).upper()))
    assert fingerprint.of_vm(loud) == fingerprint.of_vm(seen)


def test_a_flagged_vm_cannot_start_and_need_not_be_deallocated() -> None:
    assert fingerprint.why_vm_differs(vm(power_state=PowerState.STOPPED, flagged_generalized=True), "") != ""
    seen = vm(power_state=PowerState.STOPPED, flagged_generalized=True)
    assert fingerprint.why_vm_differs(seen, fingerprint.of_vm(seen)) == ""


def test_a_fingerprint_fits_into_a_tag() -> None:
    many = vm(data_disks=tuple(disk(lun=lun, last_used=USED) for lun in range(64)))
    assert len(fingerprint.of_vm(many)) <= 256


@pytest.mark.parametrize(
    "unfit",
    [
        made(provisioning_state="Failed"),
        made(provisioning_state="Creating"),
        made(tags={"golden-pools-verdict": "bad"}),
        made(tags={"golden-pools-retired": "2026-11-20T00:00:00Z"}),
        made(end_of_life=NOW - timedelta(days=1)),
        made(tags={"golden-pools-pool": "another"}),
        made(tags={"golden-pools-run": ""}),
    ],
)
def test_versions_that_are_not_fit_are_not_used(unfit: ImageVersion) -> None:
    assert decided(plan(), unfit)[0]


def test_versions_compare_by_number_not_by_text() -> None:
    newest = newest_fit([made("2026.1101.1"), made("2026.902.1")], NOW)
    assert newest is not None
    assert newest.name == "2026.1101.1"


def test_a_version_that_is_too_old_is_built_anew() -> None:
    run = with_build(max_age_days=7)
    assert decided(run, made(published=NOW - timedelta(days=6, hours=23)))[0] is False
    builds, why = decided(run, made(published=NOW - timedelta(days=7)))
    assert builds
    assert "max_age_days is 7" in why


def test_an_age_that_azure_does_not_tell_counts_as_too_old() -> None:
    assert decided(with_build(max_age_days=7), made(published=None))[0]


def test_always_builds() -> None:
    assert decided(with_build(when="always"), made()) == (
        True,
        "image.build.when is always",
    )


def test_force_rebuild_builds() -> None:
    assert decided(with_build(scheduled=False, conf={"force_rebuild": True}), made())[0]


@pytest.mark.parametrize(
    ("conf", "fault"),
    [
        ({"force_rebuild": "yes"}, "force_rebuild is 'yes', not true or false"),
        ({"force_rebuild": True, "image_version": "2026.1121.41500"}, "allowed: one of them"),
    ],
)
def test_force_rebuild_is_checked(conf: dict[str, Any], fault: str) -> None:
    with pytest.raises(RunConfError, match=fault):
        with_build(conf=conf)


def test_failures_in_a_row_stop_scheduled_builds() -> None:
    good, untried = made(tags={"golden-pools-verdict": "good"}), made("2026.1122.1")
    running = vm(power_state=PowerState.RUNNING)
    run = with_build(stop_after_failures=3)
    assert decided(run, good, untried, seen=running, failures=2)[0]
    assert decided(run, good, untried, seen=running, failures=3) == (False, good.name)
    decision = decide(run, [good], differs(running), failures=3, now=NOW)
    assert "3 builds in a row have failed" in decision.reason


def test_a_run_by_hand_builds_after_failures() -> None:
    assert decided(with_build(scheduled=False), made(), seen=vm(power_state=PowerState.RUNNING), failures=9)[0]


def test_zero_never_stops() -> None:
    assert decided(with_build(stop_after_failures=0), made(), seen=vm(used=None), failures=99)[0]


@given(
    versions=st.lists(
        st.builds(
            made,
            name=st.builds("{}.{}.{}".format, st.just(2026), st.integers(101, 1231), st.integers(0, 235959)),
            provisioning_state=st.sampled_from(["Succeeded", "Failed", "Creating", "Deleting"]),
            tags=st.dictionaries(
                st.sampled_from(["golden-pools-verdict", "golden-pools-retired", "golden-pools-pool"]),
                st.sampled_from(["good", "bad", "BAD", "small"]),
            ),
            end_of_life=st.sampled_from([None, NOW - timedelta(seconds=1), NOW + timedelta(days=1)]),
        ),
        max_size=8,
    ),
    seen=st.builds(vm, used=st.sampled_from([USED, None, NOW]), power_state=st.sampled_from(list(PowerState))),
    failures=st.integers(0, 5),
)
def test_what_is_used_instead_is_always_fit_and_unchanged(
    versions: list[ImageVersion], seen: GoldenVm, failures: int
) -> None:
    decision = decide(with_build(), versions, differs(seen), failures=failures, now=NOW)
    if decision.version is not None:
        assert not decision.builds
        assert is_fit(decision.version, NOW)
        assert decision.version.tags["golden-pools-pool"] == "small"
        assert failures >= 3 or (seen.power_state is PowerState.DEALLOCATED and seen.os_disk.last_used == USED)
    elif failures < 3:
        assert decision.builds
