"""Checks of the Batch account and of the VM size as Batch sees it.

Sources: "Use the Azure Compute Gallery to create a custom image pool", "Use Batch with private endpoints", "Batch
service quotas and limits".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from golden_pools.rules.preflight.case import Case, Lookup, check
from golden_pools.rules.preflight.findings import Finding
from golden_pools.rules.quota import USER_SUBSCRIPTION

INTER_NODE_LIMITS = {"BatchService": 100, USER_SUBSCRIPTION: 80}
"""Most nodes of a pool with inter-node communication, by pool allocation mode."""

UNSUPPORTED_SIZE = re.compile(r"standard_(a0|gs\d.*|ds\d+(-\d+)?(_v2)?(_promo)?)", re.IGNORECASE)
"""VM sizes that the Batch API documents as unsupported: A0 and the premium-storage series GS, DS and DSv2."""

NOTICE = timedelta(days=90)
"""How long before an end of support preflight begins to warn."""


@check(reads=(Lookup.ACCOUNT,))
def account_exists(case: Case) -> Iterator[Finding]:
    """Does the Batch account exist?"""
    if case.seen.account is None:
        pool = case.plan.spec.pool
        yield case.error(
            f"there is no Batch account {pool.account} in resource group {pool.resource_group}",
            "correct pool.account and pool.resource_group, or create the account",
            case.az.account(),
        )


@check(needs=(Lookup.ACCOUNT,))
def account_provisioned(case: Case) -> Iterator[Finding]:
    """Is the Batch account provisioned?"""
    if case.account.provisioning_state not in (None, "Succeeded"):
        yield case.error(
            f"provisioning state {case.account.provisioning_state}",
            "wait for the operation on the account to end, or repair the account, then run again",
            case.az.account("provisioningState"),
        )


@check(needs=(Lookup.ACCOUNT,))
def account_authentication(case: Case) -> Iterator[Finding]:
    """Does the account take Entra ID, without which there are no pools on gallery images?"""
    modes = case.account.authentication_modes
    if modes and "aad" not in {mode.casefold() for mode in modes}:
        yield case.error(
            f"allowed authentication modes: {', '.join(modes)}",
            "allow AAD on the account: a pool on a gallery image cannot be made with a shared key",
            case.az.account("allowedAuthenticationModes"),
        )


@check(needs=(Lookup.ACCOUNT,))
def account_network(case: Case) -> Iterator[Finding]:
    """Is the account reachable over public addresses?"""
    if (case.account.public_network_access or "Enabled").casefold() != "enabled":
        yield case.info(
            f"public network access is {case.account.public_network_access}",
            "let the triggerer and workers run where the account's private endpoint is reachable: node counts come "
            "from the data plane",
            case.az.account("publicNetworkAccess"),
        )


@check(needs=(Lookup.ACCOUNT,))
def allocation_mode(case: Case) -> Iterator[Finding]:
    """Whose quotas count: the account's or the subscription's?"""
    if case.account.allocation_mode == USER_SUBSCRIPTION:
        yield case.info(
            "the account allocates nodes in your subscription",
            "check the subscription's vCPU quotas yourself: the account has none to compare with",
            case.az.compute_usage(case.account.location),
        )
    elif case.plan.targets.spot:
        yield case.info(
            f"{case.plan.targets.spot} Spot nodes in an account that allocates in Microsoft's subscriptions",
            "nothing: they count against the account's low-priority core quota",
            case.az.account("lowPriorityCoreQuota"),
        )


@check(needs=(Lookup.ACCOUNT,))
def subnet_subscription(case: Case) -> Iterator[Finding]:
    """Does the nodes' subnet lie in the Batch account's subscription?"""
    network, subscription = case.plan.spec.pool.network, case.plan.spec.subscription
    if network and f"/subscriptions/{subscription}/".casefold() not in network.subnet_id.casefold():
        yield case.error(
            f"the subnet is {network.subnet_id}, the account's subscription {subscription}",
            "name a subnet of the account's subscription in pool.network",
            case.az.subnet(network.subnet_id),
        )


@check(needs=(Lookup.ACCOUNT,))
def inter_node_communication(case: Case) -> Iterator[Finding]:
    """Is a pool with inter-node communication small enough?"""
    limit = INTER_NODE_LIMITS.get(case.account.allocation_mode, min(INTER_NODE_LIMITS.values()))
    if case.plan.spec.pool.inter_node_communication and case.plan.targets.total > limit:
        yield case.error(
            f"{case.plan.targets.total} nodes with inter-node communication; in a {case.account.allocation_mode} "
            f"account a pool may have {limit}",
            f"lower the targets to {limit}, or set pool.inter_node_communication: false",
            case.az.account("poolAllocationMode"),
        )


@check(needs=(Lookup.ACCOUNT, Lookup.BATCH_VM_SIZES))
def vm_size_supported(case: Case) -> Iterator[Finding]:
    """Does Batch offer the VM size in the account's region?"""
    size = case.plan.spec.pool.vm_size
    if size.casefold() not in case.seen.batch_vm_sizes:
        yield case.error(
            f"Batch does not offer {size} in {case.account.location}",
            "choose another pool.vm_size: "
            f"az batch location list-skus --location {case.account.location} --query '[].name'",
            case.az.batch_size(case.account.location),
        )


@check(reads=(Lookup.ACCOUNT,))
def vm_size_series(case: Case) -> Iterator[Finding]:
    """Is the VM size of a series that Batch documents as supported?"""
    size = case.plan.spec.pool.vm_size
    if UNSUPPORTED_SIZE.fullmatch(size):
        region = case.seen.account.location if case.seen.account else "REGION"
        yield case.error(
            f"{size} belongs to a series that Batch does not support (A0, GS, DS, DSv2)",
            "choose a current pool.vm_size, such as Standard_D4s_v5",
            case.az.batch_size(region),
        )


@check(needs=(Lookup.ACCOUNT, Lookup.BATCH_VM_SIZES))
def vm_size_end_of_support(case: Case) -> Iterator[Finding]:
    """Does Batch still support the VM size, and in 90 days as well?"""
    size = case.seen.batch_vm_sizes.get(case.plan.spec.pool.vm_size.casefold())
    if size is None or size.batch_support_ends is None:
        return
    az, day = case.az.batch_size(case.account.location), f"{size.batch_support_ends:%Y-%m-%d}"
    advice = "choose a current pool.vm_size"
    if size.batch_support_ends <= case.now:
        yield case.error(f"Batch's support of {size.name} ended on {day}", advice, az)
    elif size.batch_support_ends <= case.now + NOTICE:
        yield case.warning(f"Batch's support of {size.name} ends on {day}", advice, az)
