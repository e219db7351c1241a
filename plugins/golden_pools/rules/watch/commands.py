"""Commands that show what the watch saw, of the Azure CLI but for one; they only read."""

from __future__ import annotations

import shlex

CHECK_SPECS = "PYTHONPATH=plugins python -m golden_pools.spec check"
"""Say every fault of the spec files."""

BATCH_API = "2025-06-01"


def pool(pool_id: str) -> str:
    """Show a pool."""
    return f"az rest --method get --url {shlex.quote(f'{pool_id}?api-version={BATCH_API}')} --output json"


def pools(account_id: str) -> str:
    """List the pools of an account."""
    return pool(f"{account_id}/pools")


def nodes(pool_name: str, endpoint: str) -> str:
    """List the nodes of a pool."""
    return f"az batch node list --pool-id {shlex.quote(pool_name)} --account-endpoint {shlex.quote(endpoint)}"


def version(version_id: str) -> str:
    """Show an image version with its replication."""
    return f"az sig image-version show --ids {shlex.quote(version_id)} --expand ReplicationStatus --output json"


def supported_images(endpoint: str) -> str:
    """List the node agents that Batch supports."""
    return f"az batch pool supported-images list --account-endpoint {shlex.quote(endpoint)} --output table"


def sizes(location: str) -> str:
    """List the VM sizes that Batch supports."""
    return f"az batch location list-skus --location {location} --output table"


def resource(resource_id: str) -> str:
    """Show any resource."""
    return f"az resource show --ids {shlex.quote(resource_id)} --output json"
