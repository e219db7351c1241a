"""Apprise: what carries an alert to Teams, Slack, mail, PagerDuty, a webhook and the like.

The addresses stand in an Airflow connection of type ``apprise``, in the form of Airflow's own Apprise provider:
``{"config": [{"path": "mailto://...", "tag": "oncall"}]}`` as its extra. Addresses hold passwords, so none of them is
ever shown: a message about one names its service and its tags.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret, redact

from golden_pools.errors import AlertError
from golden_pools.rules.alerts import Alert
from golden_pools.spec.alerts import AlertLevel, Channel

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from apprise import Apprise, NotifyBase
    from apprise.result import AppriseResult

LOOKS = {AlertLevel.INFO: "info", AlertLevel.WARNING: "warning", AlertLevel.ERROR: "failure"}
"""Apprise's type of a notification, which services show as a colour or an icon."""

OVER = "success"


@dataclass(frozen=True)
class Address:
    """One place that an alert goes to.

    :param name: service and tags, such as ``E-Mail (oncall)``
    :param key: the same from try to try, and tells nothing
    """

    service: NotifyBase
    name: str
    key: str


@dataclass(frozen=True)
class Delivery:
    """What became of an alert at one address.

    :param trouble: why it was not taken; None: it was
    """

    address: Address
    trouble: str | None


@dataclass(frozen=True)
class Places:
    """Where a channel's alerts go, and what is wrong with the rest of it."""

    addresses: tuple[Address, ...] = ()
    troubles: tuple[AlertError, ...] = ()


def places_of(channel: Channel) -> Places:
    """Return the addresses of a channel; nothing is raised."""
    try:
        connection = BaseHook.get_connection(channel.connection)
    except AirflowNotFoundException:
        return _no_connection(channel)
    return _places(connection, channel)


async def async_places_of(channel: Channel) -> Places:
    """Return the addresses of a channel as :func:`places_of` does, in the triggerer."""
    try:
        connection = await BaseHook.aget_connection(channel.connection)
    except AirflowNotFoundException:
        return _no_connection(channel)
    return _places(connection, channel)


def _no_connection(channel: Channel) -> Places:
    error = AlertError(
        f"There is no Airflow connection {channel.connection}",
        advice="make it (type apprise, addresses in its extra), or name another one in `alerts` of the spec",
    )
    return Places(troubles=(error,))


def _places(connection: Connection, channel: Channel) -> Places:
    """Read a connection: one address that is wrong does not keep the others from being told."""
    name, config = channel.connection, connection.extra_dejson.get("config")
    entries = [config] if isinstance(config, Mapping) else config
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        error = AlertError(
            f"Connection {name} does not list its addresses",
            advice='its extra has to be {"config": [{"path": "<address>", "tag": "<tag>"}]}',
        )
        return Places(troubles=(error,))
    read = [
        _address(str(entry.get("path") or ""), tags, name, number)
        for number, entry in enumerate(entries, 1)
        if _is_meant(channel, tags := _tags(entry.get("tag")))
    ]
    if not read:
        tagged = f" with a tag of {', '.join(channel.tags)}" if channel.tags else ""
        error = AlertError(
            f"Connection {name} has no address{tagged}",
            advice='list addresses in its extra, as {"config": [{"path": "<address>", "tag": "<tag>"}]}',
        )
        return Places(troubles=(error,))
    return Places(
        tuple(one for one in read if isinstance(one, Address)),
        tuple(one for one in read if isinstance(one, AlertError)),
    )


def _address(path: str, tags: Sequence[str], connection: str, number: int) -> Address | AlertError:
    from apprise import Apprise

    mask_secret(path)
    service = Apprise.instantiate(path, suppress_exceptions=True)
    if service is None:
        return AlertError(
            f"Address {number} of connection {connection} is none that Apprise knows",
            advice="see https://appriseit.com for how the address of a service is written",
        )
    mask_secret(service.password)
    tagged = f" ({', '.join(tags)})" if tags else ""
    return Address(service, f"{service.service_name}{tagged}", f"{connection} {number}")


def _is_meant(channel: Channel, tags: Sequence[str]) -> bool:
    return not channel.tags or bool(set(channel.tags) & set(tags))


def _tags(tag: object) -> list[str]:
    return [str(one) for one in tag] if isinstance(tag, list) else [str(tag)] if tag else []


def deliver(alert: Alert, places: Sequence[Address]) -> list[Delivery]:
    """Send an alert to each address, and return what became of it; nothing is raised."""
    return [_delivery(place, _carrier(place).notify(**_message(alert, place))) for place in places]


async def async_deliver(alert: Alert, places: Sequence[Address]) -> list[Delivery]:
    """Send an alert as :func:`deliver` does, in the triggerer."""
    return [_delivery(place, await _carrier(place).async_notify(**_message(alert, place))) for place in places]


def _carrier(place: Address) -> Apprise:
    from apprise import Apprise

    return Apprise(services=place.service)


def _message(alert: Alert, place: Address) -> dict[str, Any]:
    from apprise import NotifyFormat

    takes = place.service.notify_format
    as_text = takes in (NotifyFormat.TEXT, (NotifyFormat.TEXT,))
    return {
        "title": redact(alert.title),
        "body": redact(alert.text() if as_text else alert.markdown()),
        "body_format": NotifyFormat.TEXT if as_text else NotifyFormat.MARKDOWN,
        "notify_type": OVER if alert.over else LOOKS[alert.level],
        "log_level": logging.WARNING,
    }


def _delivery(place: Address, result: AppriseResult) -> Delivery:
    if result:
        return Delivery(place, None)
    said = dict.fromkeys(entry.message for entry in result.logs())
    return Delivery(place, str(redact("; ".join(said))) or "no reason given")
