"""Azure CLI commands that show what a check saw; they only read."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from golden_pools.rules.plan import RunPlan
from golden_pools.spec.part import normal_region
from golden_pools.spec.source import GeneralizedVm, GoldenVm


def _with(command: str, query: str) -> str:
    return f'{command} --query "{query}" --output json' if query else f"{command} --output json"


@dataclass(frozen=True)
class Commands:
    """The commands for the resources of one plan; ``query`` is a JMESPath that cuts out the value."""

    plan: RunPlan

    @property
    def _subscription(self) -> str:
        return f"--subscription {self.plan.spec.subscription}"

    def _group(self, name: str) -> str:
        return f"{self._subscription} --resource-group {shlex.quote(name)}"  # a group's name may have parentheses

    @property
    def _vm(self) -> GoldenVm | GeneralizedVm:
        assert self.plan.vm is not None, "the spec's source has no VM"
        return self.plan.vm

    def vm(self, query: str = "") -> str:
        """Show the VM that is captured."""
        vm = self._vm
        return _with(f"az vm show {self._group(vm.resource_group)} --name {vm.name}", query)

    def vm_status(self) -> str:
        """Show its instance view: power state, provisioning, generalized flag."""
        vm = self._vm
        return _with(
            f"az vm get-instance-view {self._group(vm.resource_group)} --name {vm.name}",
            "instanceView.statuses[].code",
        )

    def vm_extensions(self) -> str:
        """List its extensions."""
        vm = self._vm
        return _with(
            f"az vm extension list {self._group(vm.resource_group)} --vm-name {vm.name}",
            "[].name",
        )

    def disk(self, disk_id: str | None, query: str) -> str:
        """Show a managed disk; an unmanaged one shows in the VM only."""
        if disk_id is None:
            return self.vm("storageProfile")
        return _with(f"az disk show --ids {shlex.quote(disk_id)}", query)

    def gallery(self) -> str:
        """Show the gallery."""
        image = self.plan.spec.image
        return _with(
            f"az sig show {self._group(self.plan.image_group)} --gallery-name {image.gallery}",
            "",
        )

    @property
    def _definition_id(self) -> str:
        return self.plan.version_id.rsplit("/versions/", 1)[0]

    def definition(self, query: str = "") -> str:
        """Show the image definition."""
        return _with(f"az sig image-definition show --ids {shlex.quote(self._definition_id)}", query)

    def version(self, query: str = "") -> str:
        """Show the image version with its replication."""
        version_id = shlex.quote(self.plan.version_id)
        return _with(f"az sig image-version show --ids {version_id} --expand ReplicationStatus", query)

    def versions(self) -> str:
        """List the versions of the definition that the version belongs to."""
        # az sig image-version list takes no --ids
        _, _, subscription, _, group, _, _, _, gallery, _, definition = self._definition_id.split("/")
        return (
            f"az sig image-version list --subscription {subscription} --resource-group {shlex.quote(group)} "
            f"--gallery-name {gallery} --gallery-image-definition {definition} --output table"
        )

    def account(self, query: str = "") -> str:
        """Show the Batch account."""
        pool = self.plan.spec.pool
        return _with(
            f"az batch account show {self._group(pool.resource_group)} --name {pool.account}",
            query,
        )

    def pools(self) -> str:
        """List the account's pools with their sizes and targets."""
        pools = f"{self.plan.pool_id.rsplit('/', 1)[0]}?api-version=2025-06-01"
        return (
            f"az rest --method get --url {shlex.quote(pools)} "
            '--query "value[].{name: name, size: properties.vmSize, dedicated: properties.currentDedicatedNodes, '
            'spot: properties.currentLowPriorityNodes, scale: properties.scaleSettings}" --output json'
        )

    def pool(self, name: str, query: str) -> str:
        """Show a pool of the account."""
        pool = f"{self.plan.pool_id.rsplit('/', 1)[0]}/{name}?api-version=2025-06-01"
        return _with(f"az rest --method get --url {shlex.quote(pool)}", query)

    def batch_size(self, location: str) -> str:
        """Show the VM size as Batch supports it in a region."""
        size = self.plan.spec.pool.vm_size
        return _with(
            f"az batch location list-skus {self._subscription} --location {normal_region(location)}",
            f"[?name=='{size}']",
        )

    def compute_size(self, location: str) -> str:
        """Show the VM size's capabilities in a region."""
        size = self.plan.spec.pool.vm_size
        return _with(
            f"az vm list-skus {self._subscription} --location {normal_region(location)} --size {size} --all",
            "[].{family: family, capabilities: capabilities}",
        )

    def subnet(self, subnet_id: str) -> str:
        """Show a subnet."""
        return _with(f"az network vnet subnet show --ids {shlex.quote(subnet_id)}", "id")

    def compute_usage(self, location: str) -> str:
        """Show the subscription's vCPU quotas and their use in a region."""
        return _with(f"az vm list-usage {self._subscription} --location {normal_region(location)}", "")

    def supported_images(self, endpoint: str, query: str = "") -> str:
        """List the images and node agents that Batch supports."""
        account = self.plan.spec.pool.account
        return _with(
            f"az batch pool supported-images list --account-name {account} --account-endpoint https://{endpoint}", query
        )
