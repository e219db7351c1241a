"""Which specs a finding is about: their people hear of it."""

from __future__ import annotations

from collections.abc import Sequence

from golden_pools.rules.watch.findings import Finding
from golden_pools.rules.watch.seen import Watched


def whose(finding: Finding, specs: Sequence[Watched]) -> list[Watched]:
    """Return the specs that a finding is about, by its subject.

    A pool belongs to the spec of its name, or of the name before its version; a version to all pools on its definition;
    what lies beside images to those whose runs make images there. What can be told to be nobody's, such as a pool
    without a spec, is a matter of all specs of its subscription.
    """
    subject = finding.subject.casefold().partition(" in ")[0]
    for belongs in (_is_pool_of, _is_second_pool_of, _is_version_of, _is_in_group_of, _is_in_subscription_of):
        if found := [one for one in specs if belongs(subject, one)]:
            return found
    return list(specs)


def _is_pool_of(subject: str, one: Watched) -> bool:
    """Return whether it is the pool of the spec's name, or a retired part of it: ``<account>: <part>: <pool>``."""
    account, colon, rest = subject.partition(": ")
    part_of_it = colon and account == one.account_id.casefold() and rest.endswith(f": {one.name.casefold()}")
    return bool(part_of_it) or subject == _pool_id(one)


def _is_second_pool_of(subject: str, one: Watched) -> bool:
    """Return whether it is ``<name>-<version>``, as a blue/green refresh and a canary call theirs."""
    name, dash, version = subject.removeprefix(f"{_pool_id(one)}").partition("-")
    return subject.startswith(_pool_id(one)) and not name and bool(dash) and version[:1].isdigit()


def _pool_id(one: Watched) -> str:
    return f"{one.account_id}/pools/{one.name}".casefold()


def _is_version_of(subject: str, one: Watched) -> bool:
    return one.definition is not None and subject.partition("/versions/")[0] == one.definition.casefold()


def _is_in_group_of(subject: str, one: Watched) -> bool:
    return one.image_group is not None and subject.startswith(f"{one.image_group.casefold()}/")


def _is_in_subscription_of(subject: str, one: Watched) -> bool:
    return subject.startswith(f"/subscriptions/{one.spec.subscription.casefold()}/")
