"""The pool spec: one YAML file per pool, ``include/pools/<pool>.yaml``.

This model is the single source: it validates the file, makes the JSON schema for editors and the table of
fields. Numbers and booleans are strict (``"2"`` is no number, ``2.0`` no count, ``1`` no ``true``), since YAML has real
types and a wrong one is a slip of the pen. Rules that look at two fields stand on the later field and not on the whole
part, so that they speak up beside other faults of the same part.

Node limits: "Batch service quotas and limits" and "Use a managed image to create a custom image pool".
"""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import Annotated

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from golden_pools.spec import names
from golden_pools.spec.alerts import Channel
from golden_pools.spec.image import Image, Prices, Retention
from golden_pools.spec.part import Part, ResourceGroupName
from golden_pools.spec.source import GoldenVm, SourceKind
from golden_pools.spec.times import CronText, Deadline, Schedule, ZoneName

NODES_PER_REPLICA = 300
"""Batch wants at least one replica per 300 nodes ("Use the Azure Compute Gallery to create a custom image pool")."""

MOST_DEDICATED_NODES = 2500
"""Dedicated nodes of all pools on one custom image ("Use a managed image to create a custom image pool")."""

MOST_SPOT_NODES = 1000
"""Spot nodes of all pools on one custom image (same article)."""

MOST_COMMUNICATING_NODES = 100
"""Nodes of a pool with inter-node communication in a Batch-service account ("Batch service quotas and limits")."""


def replicas_for(nodes: int) -> int:
    """Return the image replicas that so many nodes of a region need, at least one."""
    return max(1, math.ceil(nodes / NODES_PER_REPLICA))


class Targets(Part):
    """How many nodes the pool should have."""

    dedicated: Annotated[StrictInt, Field(ge=0, le=MOST_DEDICATED_NODES)] = Field(
        default=0, description="Dedicated nodes; a warning above 2,000, where Microsoft's pages disagree."
    )
    spot: Annotated[StrictInt, Field(ge=0, le=MOST_SPOT_NODES)] = Field(
        default=0, description="Spot nodes (low priority in Batch-service accounts)."
    )

    @property
    def total(self) -> int:
        """All nodes."""
        return self.dedicated + self.spot

    @property
    def replicas(self) -> int:
        """Image replicas that so many nodes need, at least one."""
        return replicas_for(self.total)


class StartTask(Part):
    """What every node runs before it takes work."""

    command_line: str = Field(
        min_length=1, description="Command line, run without a shell.", examples=["/bin/bash -c 'echo ready'"]
    )
    elevated: StrictBool = Field(default=False, description="Run as administrator.")
    wait_for_success: StrictBool = Field(default=True, description="The node takes work only after the task succeeded.")
    max_retries: Annotated[StrictInt, Field(ge=-1, le=100)] = Field(
        default=0, description="Retries on a node; -1 is without end."
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="Environment variables; never a secret.", examples=[{"LOG_LEVEL": "info"}]
    )


class Network(Part):
    """Where the nodes' network cards are."""

    subnet_id: Annotated[str, StringConstraints(pattern=names.SUBNET_ID)] = Field(
        description="Full ARM id of the subnet."
    )
    public_addresses: StrictBool = Field(default=True, description="Nodes get public IP addresses from Batch.")


def _not_ours(name: str) -> str:
    if name.startswith("golden_pools_"):
        raise ValueError("a name that does not begin with golden_pools_: the run itself writes those")
    return name


class Pool(Part):
    """The Batch pool; its id is the spec file's name."""

    resource_group: ResourceGroupName = Field(description="Resource group of the Batch account.", examples=["batch"])
    account: Annotated[str, StringConstraints(pattern=names.BATCH_ACCOUNT)] = Field(
        description="Batch account.", examples=["goldenbatch"]
    )
    vm_size: Annotated[str, StringConstraints(pattern=names.VM_SIZE)] = Field(
        description="VM size of the nodes.", examples=["Standard_D4s_v5"]
    )
    node_agent_sku: Annotated[str, StringConstraints(pattern=names.NODE_AGENT)] = Field(
        description="Node agent that fits the golden VM's system.", examples=["batch.node.ubuntu 22.04"]
    )
    targets: Targets = Field(description="Node counts that the run brings the pool to.")
    start_task: StartTask | None = Field(default=None, description="Start task of every node.")
    network: Network | None = Field(default=None, description="Subnet; Batch's own network if absent.")
    identities: tuple[Annotated[str, StringConstraints(pattern=names.IDENTITY_ID)], ...] = Field(
        default=(), description="Full ARM ids of user-assigned identities of the nodes."
    )
    metadata: dict[Annotated[str, AfterValidator(_not_ours)], str] = Field(
        default_factory=dict,
        description="Metadata of the pool, beside our own.",
        examples=[{"team": "rendering"}],
        json_schema_extra={"propertyNames": {"not": {"pattern": "^golden_pools_"}}},
    )
    task_slots_per_node: Annotated[StrictInt, Field(ge=1, le=256)] = Field(
        default=1, description="Tasks that a node runs at a time; Azure takes at most four per core."
    )
    inter_node_communication: StrictBool = Field(
        default=False,
        description=f"Nodes may talk to each other (MPI); at most {MOST_COMMUNICATING_NODES} nodes then.",
    )

    @field_validator("inter_node_communication")
    @classmethod
    def _few_nodes_communicate(cls, communicating: bool, info: ValidationInfo) -> bool:
        targets = info.data.get("targets")
        if communicating and targets is not None and targets.total > MOST_COMMUNICATING_NODES:
            raise ValueError(
                f"true only up to {MOST_COMMUNICATING_NODES} nodes in all, and the targets are {targets.total:,}"
            )
        return communicating


class Strategy(StrEnum):
    """How a pool gets onto a new image version."""

    IN_PLACE = "in_place"
    BLUE_GREEN = "blue_green"
    RECREATE = "recreate"


class Deallocation(StrEnum):
    """What happens to running tasks when the pool shrinks (Batch ``nodeDeallocationOption``)."""

    REQUEUE = "requeue"
    TERMINATE = "terminate"
    TASK_COMPLETION = "task_completion"


class DrainFallback(StrEnum):
    """What happens when tasks outlast the drain deadline."""

    REQUEUE = "requeue"
    RESTORE = "restore"


class MoveTasks(StrEnum):
    """What happens to running tasks of a job that moves to another pool (Batch ``disableTasks``)."""

    REQUEUE = "requeue"
    WAIT = "wait"
    TERMINATE = "terminate"


class ApprovalDefault(StrEnum):
    """What holds when nobody has answered in time."""

    REJECT = "reject"
    APPROVE = "approve"


class Refresh(Part):
    """How the pool gets onto the new image version."""

    strategy: Strategy = Field(
        default=Strategy.IN_PLACE,
        description=(
            "`in_place`: shrink to zero, change the image, grow; the pool's id stays. `blue_green`: a second pool "
            "beside the old one, jobs move to it, the old one goes after a soak; needs quota for both. "
            "`recreate`: delete the pool and make it anew."
        ),
    )
    deallocation: Deallocation = Field(
        default=Deallocation.TASK_COMPLETION, description="What happens to running tasks when the pool shrinks."
    )
    drain_minutes: Annotated[StrictInt, Field(ge=5, le=10080)] = Field(
        default=60,
        description="Longest wait for the pool to be empty, or for running tasks of jobs that move, in one run.",
    )
    drain_fallback: DrainFallback = Field(
        default=DrainFallback.RESTORE,
        description=(
            "When tasks outlast `drain_minutes`: `restore` stops the drain, brings the old size back and fails the "
            "run; `requeue` puts the tasks back into the queue and goes on."
        ),
    )
    move_tasks: MoveTasks = Field(
        default=MoveTasks.WAIT,
        description="What happens to running tasks of a job that moves to the new pool (`blue_green`).",
    )
    soak_minutes: Annotated[StrictInt, Field(ge=0, le=10080)] = Field(
        default=60,
        description="How long the old pool stays after the jobs have moved, so that switching back takes one trigger.",
    )
    probe_pool: StrictBool = Field(
        default=False, description="Run the probes once more, on the refreshed pool, before the run succeeds."
    )
    rollback: StrictBool = Field(
        default=True,
        description="A refresh that fails after the pool was touched puts it back on the image and size that it had.",
    )
    approve: StrictBool = Field(
        default=False,
        description="A person has to approve before the pool moves; nobody is asked where it would not.",
    )
    approval_minutes: Annotated[StrictInt, Field(ge=5, le=10080)] = Field(
        default=720,
        description="Time for the answer. The default reaches from a run at night into the working day.",
    )
    approval_default: ApprovalDefault = Field(
        default=ApprovalDefault.REJECT,
        description="What holds when nobody has answered in time: `reject` leaves the pool as it is.",
    )


class Probe(Part):
    """One command that tells whether an image is good; it runs as a Batch task."""

    name: Annotated[str, StringConstraints(pattern=names.PROBE)] = Field(
        description="Name of the probe, unique in the list.", examples=["renderer-starts"]
    )
    command_line: str = Field(
        min_length=1, description="Command line, run without a shell.", examples=["/bin/sh -c 'renderer --version'"]
    )
    exit_code: Annotated[StrictInt, Field(ge=0, le=255)] = Field(default=0, description="Exit code that is expected.")
    output: str | None = Field(
        default=None,
        min_length=1,
        description="Regular expression that has to be found in the standard output.",
        examples=["version 4\\."],
    )
    elevated: StrictBool = Field(default=False, description="Run as administrator.")

    @field_validator("output")
    @classmethod
    def _is_a_pattern(cls, output: str | None) -> str | None:
        if output is not None:
            try:
                re.compile(output)
            except re.error as error:
                raise ValueError(f"a regular expression ({error})") from error
        return output


class Canary(Part):
    """One node on the new version, probed before the pool moves."""

    enabled: StrictBool = Field(default=True, description="Try one node of the new version in a pool of its own first.")
    ready_minutes: Annotated[StrictInt, Field(ge=5, le=1440)] = Field(
        default=30, description="Time for the node to be allocated and ready."
    )
    probe_minutes: Annotated[StrictInt, Field(ge=1, le=1440)] = Field(
        default=15, description="Time for all probes together."
    )
    probes: tuple[Probe, ...] = Field(
        default=(),
        description=(
            "Probes beside the default ones: the node agent came up, the data disks are there, the temp drive is there."
        ),
    )

    @field_validator("probes")
    @classmethod
    def _probes_once(cls, probes: tuple[Probe, ...]) -> tuple[Probe, ...]:
        compared = [probe.name.casefold() for probe in probes]
        if twice := sorted({name for name in compared if compared.count(name) > 1}):
            raise ValueError(f"each name once, but {', '.join(twice)} stands more than once")
        return probes


class Autoscale(StrEnum):
    """What happens to a formula that steers the pool."""

    SWITCH_OFF = "switch_off"
    REFUSE = "refuse"


class UnderWay(StrEnum):
    """What happens to somebody else's resize that is going on."""

    WAIT = "wait"
    STOP = "stop"


class Tactic(StrEnum):
    """What a run may do when a resize missed its targets."""

    BACK_OFF = "back_off"
    SMALLER_STEPS = "smaller_steps"
    ACCEPT_SHARE = "accept_share"
    OTHER_VM_SIZES = "other_vm_sizes"
    SPOT_TO_DEDICATED = "spot_to_dedicated"


class Treatment(StrEnum):
    """What to do about a resize error, mildest first; of several errors the gravest decides."""

    AGAIN = "again"
    LATER = "later"
    SMALLER = "smaller"
    GIVE_UP = "give_up"


class Shares(Part):
    """Shares of the targets that have to be ready for the run to succeed."""

    dedicated: Annotated[StrictFloat, Field(gt=0, le=1)] = Field(default=1.0, description="Share of dedicated nodes.")
    spot: Annotated[StrictFloat, Field(ge=0, le=1)] = Field(
        default=1.0, description="Share of Spot nodes; 0 succeeds without any."
    )


class Clinic(Part):
    """What is done for nodes that do not take work, before they count as failed."""

    grace_minutes: Annotated[StrictInt, Field(ge=0, le=1440)] = Field(
        default=10, description="How long a node may be unusable without an error, or unknown: Batch recovers some."
    )
    reboots: Annotated[StrictInt, Field(ge=0, le=5)] = Field(
        default=1, description="Reboots of a node that failed, in one run."
    )
    replacements: Annotated[StrictInt, Field(ge=0, le=10)] = Field(
        default=1, description="Times that failed nodes are removed and the pool is resized again."
    )
    largest_bad_share: Annotated[StrictFloat, Field(ge=0, le=1)] = Field(
        default=0.2, description="More failed nodes than this share of the targets mean a bad image: nothing is tried."
    )


class Resize(Part):
    """How hard a run tries to bring the pool to its targets."""

    timeout_minutes: Annotated[StrictInt, Field(ge=5, le=10080)] | None = Field(
        default=None,
        description=(
            "Time for one attempt; Azure refuses less than 5. If absent: 15 per 1,000 nodes, "
            "at least 15, and at least 30 above 300 nodes."
        ),
    )
    attempts: Annotated[StrictInt, Field(ge=1, le=20)] = Field(
        default=3,
        description=(
            "Resizes in a row that may miss their targets, with each tactic; one that brings nodes counts anew."
        ),
    )
    back_off_minutes: Annotated[StrictInt, Field(ge=0, le=240)] = Field(
        default=2, description="Pause before a resize that failed for lack of capacity is asked again."
    )
    step: Annotated[StrictInt, Field(ge=1, le=2500)] | None = Field(
        default=None, description="Most nodes that one resize adds, such as 300 for large pools; all at once if absent."
    )
    stall_minutes: Annotated[StrictInt, Field(ge=1, le=1440)] | None = Field(
        default=None,
        description="A resize that brings no node for so long is stopped and asked again; absent: at its timeout.",
    )
    smallest_acceptable_share: Shares = Field(
        default=Shares(), description="Shares of the targets that have to be ready for the run to succeed."
    )
    tactics: tuple[Tactic, ...] = Field(
        default=(Tactic.BACK_OFF, Tactic.SMALLER_STEPS, Tactic.ACCEPT_SHARE),
        description=(
            "What to try, in this order, when nodes do not come: `back_off` asks again after a pause, "
            "`smaller_steps` asks for fewer at a time, `accept_share` takes the smallest acceptable share, "
            "`other_vm_sizes` tries those sizes (`blue_green` only), `spot_to_dedicated` asks for missing Spot nodes "
            "as dedicated ones, within quota."
        ),
    )
    other_vm_sizes: tuple[Annotated[str, StringConstraints(pattern=names.VM_SIZE)], ...] = Field(
        default=(), description="Sizes for the tactic `other_vm_sizes`, in order.", examples=[["Standard_D4as_v5"]]
    )
    autoscale: Autoscale = Field(
        default=Autoscale.REFUSE,
        description="A pool that scales by formula: `refuse` leaves it alone with an error, `switch_off` takes over.",
    )
    under_way: UnderWay = Field(
        default=UnderWay.WAIT, description="A resize that somebody else began: `wait` for its end, or `stop` it."
    )
    quota_wait_minutes: Annotated[StrictInt, Field(ge=0, le=1440)] = Field(
        default=30,
        description="Longest wait for quota that other pools hold at the moment; what can never fit fails at once.",
    )
    verdicts: dict[str, Treatment] = Field(
        default_factory=dict,
        description="Resize error codes that are treated otherwise than docs/resize-verdicts.md says.",
        examples=[{"AccountCoreQuotaReached": "later"}],
    )
    ready_minutes: Annotated[StrictInt, Field(ge=1, le=1440)] = Field(
        default=30, description="Time for allocated nodes to become ready (idle or running)."
    )
    clinic: Clinic = Field(default=Clinic(), description="What is done for nodes that do not take work.")

    @field_validator("tactics")
    @classmethod
    def _tactics_once(cls, tactics: tuple[Tactic, ...]) -> tuple[Tactic, ...]:
        if twice := sorted({tactic.value for tactic in tactics if tactics.count(tactic) > 1}):
            raise ValueError(f"each tactic once, but {', '.join(twice)} stands more than once")
        return tactics

    @field_validator("other_vm_sizes")
    @classmethod
    def _sizes_go_with_their_tactic(cls, sizes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        wanted = Tactic.OTHER_VM_SIZES in info.data.get("tactics", ())
        if sizes and not wanted:
            raise ValueError("sizes only with the tactic other_vm_sizes in resize.tactics")
        return sizes


class ScaleTime(Part):
    """From when on the pool has which targets."""

    cron: CronText = Field(description="Cron expression in the time zone of `scale`.", examples=["0 7 * * 1-5"])
    dedicated: Annotated[StrictInt, Field(ge=0, le=MOST_DEDICATED_NODES)] = Field(
        default=0, description="Dedicated nodes from then on."
    )
    spot: Annotated[StrictInt, Field(ge=0, le=MOST_SPOT_NODES)] = Field(
        default=0, description="Spot nodes from then on."
    )
    timezone: ZoneName = Field(
        default="UTC", description="IANA zone, the same for all times.", examples=["Europe/Berlin"]
    )

    @property
    def targets(self) -> Targets:
        """Node counts from then on."""
        return Targets(dedicated=self.dedicated, spot=self.spot)


class PoolSpec(Part):
    """Everything a team says about one pool."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {
                "properties": {
                    "image": {
                        "properties": {
                            "source": {
                                "anyOf": [
                                    {"required": [kind.value], "properties": {kind.value: {"type": "object"}}}
                                    for kind in SourceKind
                                    if kind is not SourceKind.GOLDEN_VM
                                ]
                            }
                        },
                        "required": ["source"],
                    }
                }
            },
            "then": {"properties": {"golden_vm": {"type": "null"}}},
            "else": {"required": ["golden_vm"], "properties": {"golden_vm": {"type": "object"}}},
        }
    )

    connection: Annotated[str, StringConstraints(pattern=names.CONNECTION)] = Field(
        default="azure_default", description="Airflow connection of type `azure`."
    )
    subscription: Annotated[str, StringConstraints(pattern=names.SUBSCRIPTION, to_lower=True)] = Field(
        description="Subscription of the golden VM, the image and the Batch account.",
        examples=["11111111-1111-1111-1111-111111111111"],
    )
    owner: str = Field(default="data-team", min_length=1, description="Owner shown in Airflow.")
    image: Image
    golden_vm: GoldenVm | None = Field(
        default=None,
        validate_default=True,
        description="The VM whose disks become the image; needed where `image.source` names no other source.",
    )
    pool: Pool
    canary: Canary = Canary()
    refresh: Refresh = Refresh()
    resize: Resize = Resize()
    schedule: Schedule | None = Field(default=None, description="Absent: the DAG runs by hand only.")
    deadline: Deadline | None = Field(
        default=None, description="When to tell somebody that the pool is not on its new image yet; absent: never."
    )
    alerts: tuple[Channel, ...] = Field(
        default=(), description="Who is told of failures, missed deadlines and drift; nobody if empty."
    )
    scale: tuple[ScaleTime, ...] = Field(
        default=(),
        description=(
            "Times at which the pool gets other targets. From the first one on, the latest one that has come holds, "
            "for the nightly run too, instead of `pool.targets`."
        ),
    )

    retention: Retention = Retention()
    prices: Prices = Prices()

    @field_validator("golden_vm")
    @classmethod
    def _golden_vm_is_the_source(cls, vm: GoldenVm | None, info: ValidationInfo) -> GoldenVm | None:
        image = info.data.get("image")
        if image is None:
            return vm
        kind = image.source.kind
        if vm is None and kind is SourceKind.GOLDEN_VM:
            raise ValueError("a mapping with resource_group and name, or another source in image.source")
        if vm is not None and kind is not SourceKind.GOLDEN_VM:
            raise ValueError(f"nothing, since the image comes from image.source.{kind}")
        return vm

    @field_validator("resize")
    @classmethod
    def _other_sizes_need_a_second_pool(cls, resize: Resize, info: ValidationInfo) -> Resize:
        refresh = info.data.get("refresh")
        if (
            Tactic.OTHER_VM_SIZES in resize.tactics
            and refresh is not None
            and refresh.strategy is not Strategy.BLUE_GREEN
        ):
            raise ValueError("tactics without other_vm_sizes, or refresh.strategy: blue_green, where a size can change")
        return resize

    @field_validator("scale")
    @classmethod
    def _one_zone(cls, scale: tuple[ScaleTime, ...]) -> tuple[ScaleTime, ...]:
        if len(zones := sorted({time.timezone for time in scale})) > 1:
            raise ValueError(f"times of one time zone, but there are {', '.join(zones)}")
        return scale

    @field_validator("scale")
    @classmethod
    def _few_nodes_communicate_at_any_time(
        cls, scale: tuple[ScaleTime, ...], info: ValidationInfo
    ) -> tuple[ScaleTime, ...]:
        pool = info.data.get("pool")
        most = max((time.targets.total for time in scale), default=0)
        if pool is not None and pool.inter_node_communication and most > MOST_COMMUNICATING_NODES:
            raise ValueError(
                f"times with at most {MOST_COMMUNICATING_NODES} nodes in all with pool.inter_node_communication, "
                f"and the most are {most:,}"
            )
        return scale
