"""The notifier of pools: to every channel that wants the alert, and told in the log what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.notifier import BaseNotifier

from golden_pools.errors import AlertError
from golden_pools.rules.alerts import Alert
from golden_pools.rules.alerts.context import alert_of_context
from golden_pools.spec.alerts import AlertLevel, Channel, Topic
from golden_pools.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.alerts import Address, Delivery


class PoolAlertNotifier(BaseNotifier):  # type: ignore[misc] # Airflow does not type its base
    """Send an alert about a pool to its channels.

    Anywhere that Airflow takes a notifier: as ``on_failure_callback`` of a task or DAG, as the callback of a
    ``DeadlineAlert``, as a notifier of an approval. What happened is read from the context, unless it is given.

    :param pool: name of the spec
    :param channels: of the spec, :class:`~golden_pools.spec.alerts.Channel` or as JSON
    :param alert: what to say, :class:`~golden_pools.rules.alerts.Alert` or as JSON; None: what the context says
    :param reached: keys of addresses that have it already, from an earlier try
    :param keep: called with the key of each address that has taken it
    """

    def __init__(
        self,
        *,
        pool: str,
        channels: Sequence[Channel | Mapping[str, Any]],
        alert: Alert | Mapping[str, Any] | None = None,
        reached: Sequence[str] = (),
        keep: Callable[[str], None] | None = None,
        context: Context | None = None,
    ) -> None:
        super().__init__(context)
        self.pool = pool
        self.channels = [Channel.model_validate(channel) for channel in channels]
        self.alert = Alert.of(alert) if isinstance(alert, Mapping) else alert
        self.reached = set(reached)
        self.keep = keep

    def __call__(self, *arguments: Any) -> None:
        """Send the alert as a callback: what an address does not take stands in the log, and whoever called goes on."""
        with suppress(AlertError):
            super().__call__(*arguments)

    def notify(self, context: Context) -> None:
        """Send the alert.

        :raises AlertError: at least one address has not taken it; the others have
        """
        from golden_pools.hooks.alerts import deliver, places_of

        if (alert := self._alert(context)) is None:
            return
        troubles: list[AlertError] = []
        for channel in self._takers(alert):
            places = places_of(channel)
            told = self._told(alert, deliver(alert, self._left(places.addresses)))
            troubles += [*places.troubles, *told]
        self._end(alert, troubles)

    async def async_notify(self, context: Context) -> None:
        """Send the alert as :meth:`notify` does, in the triggerer."""
        from golden_pools.hooks.alerts import async_deliver, async_places_of

        if (alert := self._alert(context)) is None:
            return
        troubles: list[AlertError] = []
        for channel in self._takers(alert):
            places = await async_places_of(channel)
            told = self._told(alert, await async_deliver(alert, self._left(places.addresses)))
            troubles += [*places.troubles, *told]
        self._end(alert, troubles)

    def look(self) -> list[AlertError]:
        """Return what keeps a failure of a run from being heard, as far as it shows without an alert."""
        from golden_pools.hooks.alerts import places_of

        troubles: list[AlertError] = []
        if not any(channel.wants(Topic.RUN, AlertLevel.ERROR) for channel in self.channels):
            troubles.append(
                AlertError(
                    f"Nobody will hear of a failure of pool {self.pool}",
                    advice="name a channel in `alerts` of the spec: an Airflow connection that lists addresses",
                )
            )
        for channel in self.channels:
            troubles += places_of(channel).troubles
        return troubles

    def _alert(self, context: Context) -> Alert | None:
        from airflow.sdk.configuration import conf

        airflow = conf.get("api", "base_url", fallback="")
        alert = self.alert or alert_of_context(self.pool, context, airflow=airflow)
        if alert is None:
            self.log.info("Pool %s: nothing to tell that was not told", self.pool)
        return alert

    def _takers(self, alert: Alert) -> list[Channel]:
        """Return the channels that want an alert; where there are none, say so."""
        takers = [channel for channel in self.channels if channel.wants(alert.topic, alert.level)]
        if not takers:
            self.log.warning(
                "%s: nobody hears of this, since no channel in `alerts` takes alerts of level %s about %s. "
                "It would say: %s\n%s",
                self.pool,
                alert.level,
                alert.topic,
                alert.title,
                alert.text(),
            )
        return takers

    def _left(self, places: Sequence[Address]) -> list[Address]:
        """Return the addresses that do not have it yet; two channels may name the same one."""
        return [place for place in places if place.key not in self.reached]

    def _told(self, alert: Alert, deliveries: Sequence[Delivery]) -> list[AlertError]:
        """Remember who has the alert; returns the troubles of the others."""
        for delivery in deliveries:
            if delivery.trouble is None:
                self.log.info("Told %s: %s", delivery.address.name, alert.title)
                self.reached.add(delivery.address.key)
                if self.keep:
                    self.keep(delivery.address.key)
        return [
            AlertError(f"{delivery.address.name} has not taken the alert", answer=delivery.trouble)
            for delivery in deliveries
            if delivery.trouble is not None
        ]

    def _end(self, alert: Alert, troubles: Sequence[AlertError]) -> None:
        if not troubles:
            return
        for trouble in troubles:
            self.log.error("%s", trouble)
        self.log.warning("What %d of the addresses should have heard: %s\n%s", len(troubles), alert.title, alert.text())
        raise AlertError(
            f"{counted(len(troubles), 'address', 'addresses')} did not take an alert: {alert.title}",
            answer="; ".join(
                f"{trouble.what}: {trouble.answer}" if trouble.answer else trouble.what for trouble in troubles
            ),
            advice="correct the connection or the address, or wait until the service answers, then clear the task",
        )
