"""Waiting for quota that other pools hold."""

from __future__ import annotations

from typing import Any

import pytest
from golden_pools.errors import FullNowError, NeverFitsError, from_dict
from golden_pools.hooks.batch import BatchHook
from golden_pools.rules.quota import QuotaKind, QuotaQuestion, known_sizes
from golden_pools.spec.model import Targets
from golden_pools.triggers import pool as triggers
from golden_pools.triggers.quota import QuotaTrigger

from tests.operators.conftest import Cloud, fire, reborn
from tests.triggers.test_pool import base, over


@pytest.fixture
def image(cloud: Cloud) -> str:
    """An image version, and a clock that stands still."""
    cloud.freeze()
    return cloud.make_version()


def set_quota(cloud: Cloud, cores: int) -> None:
    """Give the account so many dedicated cores, of whatever family."""
    account = cloud.world.batch.account("goldenbatch")
    assert account is not None
    changes = {"dedicated_core_quota": cores, "family_quotas_enforced": False}
    account.facts = account.facts.model_copy(update=changes)


def asks(
    cloud: Cloud, *, dedicated: int, kind: QuotaKind, beside: tuple[str, ...] = (), **changes: Any
) -> QuotaTrigger:
    """Return the wait of a new pool for nodes, as the resize stage begins it after it got this answer."""
    with BatchHook("azure_default", cloud.subscription) as hook:
        account, pools = hook.account("batch", "goldenbatch"), hook.pools("batch", "goldenbatch")
        question = QuotaQuestion(
            account=account,
            sizes=known_sizes(hook.vm_sizes(account.location), {}),
            pool="new",
            vm_size="Standard_D2s_v5",
            targets=Targets(dedicated=dedicated),
            beside=beside,
        )
    assert question.verdict(pools).kind is kind
    trigger = reborn(QuotaTrigger(question=question.to_dict(pools), **base(cloud, pool="new", **changes)))
    assert isinstance(trigger, QuotaTrigger)
    return trigger


def test_the_wait_ends_when_another_pool_has_shrunk(cloud: Cloud, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pitfall 7: what was full once is looked at again."""
    set_quota(cloud, 10)
    cloud.make_pool(image, dedicated=4)
    wait = asks(cloud, dedicated=2, kind=QuotaKind.FULL_NOW)
    verdicts = []
    look = QuotaTrigger.look

    def watched(self: QuotaTrigger, *seen: Any) -> Any:
        event = look(self, *seen)
        verdicts.append(event)
        if len(verdicts) == 2:
            cloud.resize(dedicated=2)
            cloud.advance(minutes=20)
        return event

    monkeypatch.setattr(QuotaTrigger, "look", watched)
    assert fire(wait).payload == {"fits": True}
    assert verdicts[:2] == [None, None]
    assert len(verdicts) == 3


def test_a_wait_in_vain_names_who_holds_the_quota(cloud: Cloud, image: str) -> None:
    """Pitfall 24: numbers, holders and what to do, not an obscure failure."""
    set_quota(cloud, 10)
    cloud.make_pool(image, dedicated=4)
    error = from_dict(fire(asks(cloud, dedicated=2, kind=QuotaKind.FULL_NOW, **over())).payload["failure"])
    assert isinstance(error, FullNowError)
    assert "the targets need 4 dedicated cores, other pools take 8 of 10: small 8" in error.answer
    assert "waited 2h" in error.answer
    assert "shrink small" in error.advice


def test_room_that_no_waiting_brings_ends_the_wait_at_once(cloud: Cloud, image: str) -> None:
    """The pool that has to stay grew meanwhile, far from the deadline."""
    set_quota(cloud, 10)
    cloud.make_pool(image, dedicated=3)
    wait = asks(cloud, dedicated=2, kind=QuotaKind.FITS, beside=("small",))
    cloud.resize(dedicated=4)
    cloud.advance(minutes=20)
    error = from_dict(fire(wait).payload["failure"])
    assert isinstance(error, NeverFitsError)
    assert "beside small 8, 12 in all" in error.answer


def test_a_wait_shares_the_accounts_poll(cloud: Cloud, image: str) -> None:
    cloud.make_pool(image, dedicated=1)
    wait = asks(cloud, dedicated=1, kind=QuotaKind.FITS)
    assert wait.shared_stream_key() == triggers.SettleTrigger(**base(cloud)).shared_stream_key()
