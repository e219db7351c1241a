"""What a connection of type azure says, and what it may not say."""

from __future__ import annotations

import json

import pytest
from golden_pools.errors import AzureRefusedError
from golden_pools.hooks.connection import CLOUDS, AzureConnection


def parse(**extra: object) -> AzureConnection:
    return AzureConnection.parse("azure_default", extra=extra)


def fault(**extra: object) -> AzureRefusedError:
    with pytest.raises(AzureRefusedError) as caught:
        parse(**extra)
    assert caught.value.code == "InvalidConnection"
    assert caught.value.resource == "azure_default"
    assert caught.value.advice
    return caught.value


def test_an_empty_connection_is_the_public_cloud() -> None:
    connection = parse()
    assert connection.arm_endpoint == "https://management.azure.com"
    assert connection.login_endpoint == "https://login.microsoftonline.com"
    assert connection.poll_seconds == 15


@pytest.mark.parametrize(
    ("name", "login", "arm", "arm_scope", "batch_scope"),
    [
        (
            "AzurePublicCloud",
            "https://login.microsoftonline.com",
            "https://management.azure.com",
            "https://management.azure.com/.default",
            "https://batch.core.windows.net//.default",
        ),
        (
            "AzureUSGovernment",
            "https://login.microsoftonline.us",
            "https://management.usgovcloudapi.net",
            "https://management.usgovcloudapi.net/.default",
            "https://batch.core.usgovcloudapi.net//.default",
        ),
        (
            "AzureChinaCloud",
            "https://login.chinacloudapi.cn",
            "https://management.chinacloudapi.cn",
            "https://management.chinacloudapi.cn/.default",
            "https://batch.chinacloudapi.cn//.default",
        ),
    ],
)
def test_each_cloud_has_its_own_endpoints_and_scopes(
    name: str, login: str, arm: str, arm_scope: str, batch_scope: str
) -> None:
    connection = parse(cloud_environment=name)
    assert (connection.login_endpoint, connection.arm_endpoint) == (login, arm)
    assert (connection.cloud.arm_scope, connection.cloud.batch_scope) == (arm_scope, batch_scope)


@pytest.mark.parametrize("spelling", ["azureusgovernment", "AZURE_US_GOVERNMENT", "AzureUSGovernmentCloud"])
def test_a_cloud_may_be_spelled_as_other_tools_do(spelling: str) -> None:
    assert parse(cloud_environment=spelling).cloud.name == "AzureUSGovernment"


def test_an_unknown_cloud_is_a_fault_that_names_the_allowed_ones() -> None:
    error = fault(cloud_environment="AzureGermanCloud")
    assert "AzureGermanCloud" in error.what
    for cloud in CLOUDS:
        assert cloud.name in error.advice


def test_the_clouds_agree_with_the_microsoft_provider() -> None:
    from airflow.providers.microsoft.azure.hooks.base_azure import _AZURE_CLOUD_ENVIRONMENTS

    ours = {cloud.name: (cloud.arm, cloud.arm_scope, cloud.login) for cloud in CLOUDS}
    theirs = {
        name: (cloud["base_url"], cloud["credential_scopes"][0], f"https://{cloud['authority']}")
        for name, cloud in _AZURE_CLOUD_ENVIRONMENTS.items()
    }
    assert ours == theirs


def test_fields_with_the_old_prefix_are_read() -> None:
    assert parse(extra__azure__tenantId="t").tenant_id == "t"


def test_repr_shows_no_secret() -> None:
    connection = AzureConnection.parse("c", login="id", password="hush-hush", extra={"tenantId": "t"})
    assert "hush-hush" not in repr(connection)


def test_a_secret_without_tenant_is_a_fault() -> None:
    with pytest.raises(AzureRefusedError, match="tenantId in extra is missing") as caught:
        AzureConnection.parse("c", login="id", password="hush-hush", extra={})
    assert "hush-hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://localhost:8070", "http://127.0.0.1:1", "http://[::1]:1", "http://arm.localhost:1"]
)
def test_plain_http_is_taken_on_this_machine(url: str) -> None:
    assert parse(arm_endpoint=url).is_anonymous(url)


def test_plain_http_to_another_machine_is_refused() -> None:
    error = fault(arm_endpoint="http://simulator:8070")
    assert "anybody could read along" in error.what
    assert "simulator_hosts" in error.advice


@pytest.mark.parametrize("hosts", [["simulator"], "simulator", "other, Simulator"])
def test_plain_http_to_a_named_simulator_is_taken(hosts: object) -> None:
    connection = parse(arm_endpoint="http://simulator:8070", simulator_hosts=hosts)
    assert connection.is_anonymous(connection.arm_endpoint)


def test_simulator_hosts_must_be_names() -> None:
    assert "list of host names" in fault(simulator_hosts={"a": 1}).what


def test_https_arm_with_plain_http_batch_elsewhere_is_refused() -> None:
    assert "batch_endpoint is plain http to evil.example" in fault(batch_endpoint="http://evil.example").what


def test_a_name_that_only_begins_like_loopback_is_no_loopback() -> None:
    assert "plain http" in fault(arm_endpoint="http://127.0.0.1.evil.example").what


@pytest.mark.parametrize("url", ["ftp://host", "management.azure.com", "https://user@host", "https://host/?a=b"])
def test_an_endpoint_must_be_a_plain_url(url: str) -> None:
    error = fault(arm_endpoint=url)
    assert "arm_endpoint is not a URL" in error.what


def test_a_plain_http_login_is_refused_where_tokens_are_needed() -> None:
    assert "login_endpoint" in fault(login_endpoint="http://localhost:8070").what


def test_a_plain_http_login_does_no_harm_where_none_are_needed() -> None:
    connection = parse(arm_endpoint="http://localhost:1", login_endpoint="http://localhost:1")
    assert connection.login_is_overridden


def test_a_missing_ca_bundle_is_a_fault() -> None:
    assert "no such file" in fault(ca_bundle="/nowhere/ca.pem").what


@pytest.mark.parametrize("value", [0, 0.5, -3, "often", "nan"])
def test_poll_seconds_below_one_or_no_number_is_a_fault(value: object) -> None:
    assert "poll_seconds" in fault(poll_seconds=value).what


@pytest.mark.parametrize(("value", "seconds"), [(1, 1.0), ("2.5", 2.5), (None, 15.0), ("", 15.0)])
def test_poll_seconds_is_read(value: object, seconds: float) -> None:
    assert parse(poll_seconds=value).poll_seconds == seconds


def test_the_data_plane_is_https_as_the_account_names_it() -> None:
    assert parse().data_plane("acc", "acc.westeurope.batch.azure.com") == "https://acc.westeurope.batch.azure.com"


def test_the_data_plane_of_an_http_simulator_is_http() -> None:
    connection = parse(arm_endpoint="http://localhost:8070")
    assert connection.data_plane("acc", "localhost:8070/accounts/acc") == "http://localhost:8070/accounts/acc"


def test_an_http_simulator_cannot_name_a_data_plane_elsewhere() -> None:
    with pytest.raises(AzureRefusedError, match="plain http to evil"):
        parse(arm_endpoint="http://localhost:8070").data_plane("acc", "evil.example")


def test_the_data_plane_can_be_given_for_all_accounts() -> None:
    connection = parse(batch_endpoint="https://{account}.batch.internal/")
    assert connection.data_plane("acc", "") == "https://acc.batch.internal"


class TestFromAirflow:
    """Connections as Airflow hands them out, from the environment."""

    def test_reads_the_fields_of_the_provider(self, monkeypatch: pytest.MonkeyPatch) -> None:
        value = {"conn_type": "azure", "login": "id", "password": "hush-hush", "extra": {"tenantId": "t"}}
        monkeypatch.setenv("AIRFLOW_CONN_MY_AZURE", json.dumps(value))
        connection = AzureConnection.get("my_azure")
        assert (connection.client_id, connection.client_secret, connection.tenant_id) == ("id", "hush-hush", "t")

    async def test_reads_the_same_in_the_triggerer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        value = {"conn_type": "azure", "extra": {"managed_identity_client_id": "m", "poll_seconds": 3}}
        monkeypatch.setenv("AIRFLOW_CONN_MY_AZURE", json.dumps(value))
        assert await AzureConnection.aget("my_azure") == AzureConnection.get("my_azure")

    def test_a_missing_connection_says_how_to_make_it(self) -> None:
        with pytest.raises(AzureRefusedError) as caught:
            AzureConnection.get("not_there")
        assert caught.value.code == "ConnectionNotFound"
        assert "AIRFLOW_CONN_NOT_THERE" in caught.value.advice

    async def test_a_missing_connection_says_so_in_the_triggerer(self) -> None:
        with pytest.raises(AzureRefusedError) as caught:
            await AzureConnection.aget("not_there")
        assert caught.value.code == "ConnectionNotFound"

    def test_another_type_is_a_fault(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_MY_AZURE", "http://host")
        with pytest.raises(AzureRefusedError, match="its type is 'http'"):
            AzureConnection.get("my_azure")

    def test_broken_extra_is_a_fault_and_not_the_public_cloud(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_MY_AZURE", json.dumps({"conn_type": "azure", "extra": "{tenantId: t"}))
        with pytest.raises(AzureRefusedError, match="not a JSON object"):
            AzureConnection.get("my_azure")
