"""What an Airflow connection of type ``azure`` says: who we are, which cloud, which endpoints.

The fields are those of the Microsoft provider (``login`` client id, ``password`` client secret, extra ``tenantId``,
``cloud_environment``, ``managed_identity_client_id``, ``workload_identity_tenant_id``), so one connection serves both.
Two of the provider's fields are not read: ``subscriptionId``, because the pool spec names the subscription, and
``use_azure_identity_object``, because nothing but azure-identity is used here.
Our own keys in extra: ``arm_endpoint``, ``login_endpoint``, ``batch_endpoint`` (may hold ``{account}``), ``ca_bundle``,
``simulator_hosts``, ``poll_seconds``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from golden_pools.errors import AzureRefusedError
from golden_pools.rules.portal import portal_url

DEFAULT_POLL_SECONDS = 15.0
"""Azure publishes no limits for reads of Batch; its own ``Retry-After`` for pools is 15 seconds."""


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """One Azure cloud. Endpoints: azure-core's ``AzureClouds``; Batch scopes: ``batchResourceId`` of the Azure CLI."""

    name: str
    login: str
    arm: str
    batch_scope: str

    @property
    def arm_scope(self) -> str:
        """Scope of tokens for ARM."""
        return f"{self.arm}/.default"


# The doubled slash is wanted: the audience of Batch ends with one.
_PUBLIC = Cloud(
    name="AzurePublicCloud",
    login="https://login.microsoftonline.com",
    arm="https://management.azure.com",
    batch_scope="https://batch.core.windows.net//.default",
)
_GOVERNMENT = Cloud(
    name="AzureUSGovernment",
    login="https://login.microsoftonline.us",
    arm="https://management.usgovcloudapi.net",
    batch_scope="https://batch.core.usgovcloudapi.net//.default",
)
_CHINA = Cloud(
    name="AzureChinaCloud",
    login="https://login.chinacloudapi.cn",
    arm="https://management.chinacloudapi.cn",
    batch_scope="https://batch.chinacloudapi.cn//.default",
)
CLOUDS = (_PUBLIC, _GOVERNMENT, _CHINA)

_SPELLINGS = {
    **{cloud.name.lower(): cloud for cloud in CLOUDS},
    "azurecloud": _PUBLIC,  # the Azure CLI's name
    "azureusgovernmentcloud": _GOVERNMENT,
}


@dataclass(frozen=True, kw_only=True)
class AzureConnection:
    """One Airflow connection, checked.

    ``batch_endpoint`` is a URL that may hold ``{account}``, or None: the account says its own. ``repr`` shows
    no secret.

    :raises AzureRefusedError: the endpoints do not go together, or plain http leaves this machine unasked
    """

    conn_id: str
    cloud: Cloud = _PUBLIC
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    tenant_id: str | None = None
    managed_identity_client_id: str | None = None
    workload_identity_tenant_id: str | None = None
    arm_endpoint: str = _PUBLIC.arm
    login_endpoint: str = _PUBLIC.login
    batch_endpoint: str | None = None
    ca_bundle: str | None = None
    simulator_hosts: frozenset[str] = frozenset()
    poll_seconds: float = DEFAULT_POLL_SECONDS

    def __post_init__(self) -> None:
        self._check("arm_endpoint", self.arm_endpoint)
        if self.batch_endpoint:
            self._check("batch_endpoint", self.batch_endpoint.replace("{account}", "account"))
        if not self.is_anonymous(self.arm_endpoint) and urlsplit(self.login_endpoint).scheme != "https":
            raise self._fault(
                f"login_endpoint is {self.login_endpoint!r}, but tokens are only fetched over https",
                "give the simulator TLS, or give arm_endpoint as http too: then no token is needed",
            )
        if self.client_secret and not (self.client_id and self.tenant_id):
            raise self._fault(
                "a client secret is set, but the login (client id) or tenantId in extra is missing",
                "set login, password and tenantId together, or remove the password to use a managed identity",
            )
        if self.ca_bundle and not Path(self.ca_bundle).is_file():
            raise self._fault(
                f"ca_bundle is {self.ca_bundle!r}: no such file", "name a PEM file that this process reads"
            )
        if not self.poll_seconds >= 1:
            raise self._fault(f"poll_seconds is {self.poll_seconds}", "give a number of seconds, at least 1")

    @classmethod
    def get(cls, conn_id: str) -> AzureConnection:
        """Read a connection on a worker.

        :raises AzureRefusedError: there is no such connection, or it is wrong; says what to change
        """
        from airflow.sdk import BaseHook
        from airflow.sdk.exceptions import AirflowNotFoundException

        try:
            connection = BaseHook.get_connection(conn_id)
        except AirflowNotFoundException:
            raise _missing(conn_id) from None
        return cls._of(conn_id, connection, connection.extra_dejson)

    @classmethod
    async def aget(cls, conn_id: str) -> AzureConnection:
        """Read a connection in the triggerer; as :meth:`get`."""
        from airflow.sdk import BaseHook
        from airflow.sdk.exceptions import AirflowNotFoundException

        try:
            connection = await BaseHook.aget_connection(conn_id)
        except AirflowNotFoundException:
            raise _missing(conn_id) from None
        return cls._of(conn_id, connection, await connection.aextra_dejson())

    @classmethod
    def _of(cls, conn_id: str, connection: Any, extra: object) -> AzureConnection:
        if connection.conn_type != "azure":
            raise _fault(
                conn_id, f"its type is {connection.conn_type!r}", "the connection must be of type azure; make it anew"
            )
        # Airflow reads broken JSON as "no extra", which would mean the public cloud and whatever login is about.
        if not isinstance(extra, dict) or (not extra and (connection.extra or "{}").strip() != "{}"):
            raise _fault(conn_id, "its extra is not a JSON object", 'write extra as {"tenantId": "..."}')
        return cls.parse(conn_id, login=connection.login, password=connection.password, extra=extra)

    @classmethod
    def parse(
        cls, conn_id: str, *, login: str | None = None, password: str | None = None, extra: Mapping[str, Any]
    ) -> AzureConnection:
        """Check the fields of a connection.

        :raises AzureRefusedError: names the field, what it holds, and what is allowed
        """

        def value(name: str) -> Any:
            # Connections from Airflow 1 carry the form's prefix; an empty field of the form is no value.
            return extra.get(name) or extra.get(f"extra__azure__{name}") or None

        cloud = _cloud(conn_id, value("cloud_environment"))
        return cls(
            conn_id=conn_id,
            cloud=cloud,
            client_id=login or None,
            client_secret=password or None,
            tenant_id=value("tenantId"),
            managed_identity_client_id=value("managed_identity_client_id"),
            workload_identity_tenant_id=value("workload_identity_tenant_id"),
            arm_endpoint=str(value("arm_endpoint") or cloud.arm).rstrip("/"),
            login_endpoint=str(value("login_endpoint") or cloud.login).rstrip("/"),
            batch_endpoint=str(value("batch_endpoint") or "").rstrip("/") or None,
            ca_bundle=value("ca_bundle"),
            simulator_hosts=_hosts(conn_id, value("simulator_hosts")),
            poll_seconds=_number(conn_id, "poll_seconds", extra.get("poll_seconds"), DEFAULT_POLL_SECONDS),
        )

    @property
    def login_is_overridden(self) -> bool:
        """Whether tokens come from somewhere else than the cloud's own login, which cannot be looked up then."""
        return self.login_endpoint != self.cloud.login

    def portal_url(self, arm_id: str) -> str | None:
        """Return where the cloud's portal shows a resource; None: a portal does not know what is behind an endpoint."""
        if self.arm_endpoint != self.cloud.arm:
            return None
        return portal_url(arm_id, self.cloud.name, self.tenant_id)

    def is_anonymous(self, endpoint: str) -> bool:
        """Return whether requests to ``endpoint`` carry no token: it is plain http, so a simulator."""
        return urlsplit(endpoint).scheme == "http"

    def data_plane(self, account: str, account_endpoint: str) -> str:
        """Return the URL of an account's data plane.

        :param account_endpoint: host (with port and path, for a simulator) that ARM names for the account
        :raises AzureRefusedError: that would be plain http to a host that nobody named as a simulator
        """
        if self.batch_endpoint:
            return self.batch_endpoint.replace("{account}", account)
        url = f"{urlsplit(self.arm_endpoint).scheme}://{account_endpoint}".rstrip("/")
        self._check("data plane of the Batch account", url)
        return url

    def _check(self, name: str, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise self._fault(f"{name} is not a URL such as https://host:port", f"correct {name} in extra")
        if parts.scheme == "http" and not (_is_loopback(parts.hostname) or parts.hostname in self.simulator_hosts):
            raise self._fault(
                f"{name} is plain http to {parts.hostname}, where anybody could read along",
                "use https; a simulator on another machine has to be named in simulator_hosts",
            )

    def _fault(self, fault: str, advice: str) -> AzureRefusedError:
        return _fault(self.conn_id, fault, advice)


def _cloud(conn_id: str, name: str | None) -> Cloud:
    spelling = str(name or _PUBLIC.name).replace("_", "").lower()
    if (cloud := _SPELLINGS.get(spelling)) is None:
        raise _fault(
            conn_id, f"cloud_environment is {name!r}", "use one of " + ", ".join(cloud.name for cloud in CLOUDS)
        )
    return cloud


def _hosts(conn_id: str, value: object) -> frozenset[str]:
    hosts = value.split(",") if isinstance(value, str) else value or []
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise _fault(conn_id, "simulator_hosts is no list of host names", 'write it as ["simulator"]')
    return frozenset(host.strip().lower() for host in hosts)


def _number(conn_id: str, name: str, value: object, default: float) -> float:
    try:
        return default if value in (None, "") else float(str(value))
    except ValueError:
        raise _fault(conn_id, f"{name} is {value!r}", "give a number of seconds, at least 1") from None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _fault(conn_id: str, fault: str, advice: str) -> AzureRefusedError:
    return AzureRefusedError(
        f"The Airflow connection is not usable: {fault}", resource=conn_id, advice=advice, code="InvalidConnection"
    )


def _missing(conn_id: str) -> AzureRefusedError:
    return AzureRefusedError(
        "There is no such Airflow connection",
        resource=conn_id,
        advice=f"make a connection {conn_id} of type azure, or set AIRFLOW_CONN_{conn_id.upper()}",
        code="ConnectionNotFound",
    )
