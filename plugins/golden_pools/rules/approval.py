"""What a person is asked before a pool moves: enough to answer without opening anything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from golden_pools.rules.facts import Pool
from golden_pools.rules.intentions import Action
from golden_pools.rules.markdown import escaped, table
from golden_pools.rules.passport import Answer, AnswerOf, Passport
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.preview import IN_ALL, Duration, changes_table, time_table
from golden_pools.rules.resource_names import image_name
from golden_pools.spec.model import ApprovalDefault

NONE = "-"


@dataclass(frozen=True)
class Question:
    """What a person is asked: one line, and Markdown."""

    subject: str
    body: str


def question(
    plan: RunPlan,
    *,
    current: Pool | None,
    before: Passport | None,
    after: Passport,
    actions: Sequence[Action],
    probes: Sequence[Mapping[str, str]] | None,
    past: Sequence[Duration],
    until: datetime,
) -> Question:
    """Return what a person is asked.

    :param current: the pool as it is
    :param before: passport of the image that it has, if one is known
    :param after: passport of the image that it would get
    :param actions: what the run would do with pools
    :param probes: what each probe on the canary came to; None: there was no canary
    :param past: how long stages of such runs took
    :param until: when the default holds
    """
    image = image_name(plan.image_id)
    is_rejected = plan.spec.refresh.approval_default is ApprovalDefault.REJECT
    what_then = "it counts as rejected" if is_rejected else "it counts as approved"
    has = f" is on {escaped(image_name(current.image_id))}" if current else " is not there yet"
    body = "\n\n".join(
        [
            f"Pool {escaped(plan.pool)} of Batch account {escaped(plan.spec.pool.account)}{has}; "
            f"this run would put it on **{escaped(image)}** ({escaped(plan.spec.refresh.strategy.value)}).",
            f"Without an answer by {until:%Y-%m-%d %H:%M} UTC {what_then}. "
            "*Reject* leaves the pool as it is; the version stays, is not called bad, and nobody else gets it.",
            "#### What changed",
            _compared(before, after, has_pool=current is not None),
            "#### Canary",
            _probed(probes),
            "#### What the run will do",
            changes_table(actions),
            "#### How long such runs took",
            time_table(plan, [one for one in past if one.stage == IN_ALL or one.stage.startswith("pool.")]),
        ]
    )
    return Question(subject=f"version {image} wants to be approved", body=body)


def _compared(before: Passport | None, after: Passport, *, has_pool: bool) -> str:
    """Return what the passports say of both images, side by side."""
    old, new = dict(_facts(before)) if before else {}, dict(_facts(after))
    rows = [
        (name, "yes" if before and old[name] != value else "", old.get(name, NONE), value)
        for name, value in new.items()
    ]
    cells = ([escaped(_line(cell)) for cell in row] for row in rows)
    text = table(("", "changed", "now", "new"), cells, aligned=True)
    unknown = has_pool and before is None
    return f"{text}\n\nNo run has told what the pool's present image was made from." if unknown else text


def _facts(passport: Passport) -> Iterator[tuple[str, str]]:
    source = passport.source
    yield "image", image_name(passport.image)
    yield "made", f"{passport.run.stamp:%Y-%m-%d %H:%M} UTC" if passport.run and passport.built else NONE
    yield "from", f"{source.kind.value} {(source.id or '').rpartition('/')[2]}".strip() if source else NONE
    yield "because", source.why if source else NONE
    yield "fingerprint", (source.fingerprint if source else None) or NONE
    yield "disks", ", ".join(_disks(passport)) or NONE
    yield "copies", passport.consistency.word.value.replace("_", " ") if passport.consistency else NONE
    yield "findings", "; ".join(f"{finding.check}: {finding.seen}" for finding in passport.findings) or "none"


def _disks(passport: Passport) -> Iterator[str]:
    for disk in passport.disks:
        name = "OS" if disk.lun is None else f"data {disk.lun}"
        yield f"{name} {f'{disk.size_gib} GiB' if disk.size_gib is not None else 'of unknown size'}"


def _probed(probes: Sequence[Mapping[str, str]] | None) -> str:
    if probes is None:
        return "Not tried in this run: the version proved good before, or the spec has no canary."
    rows = ((probe["probe"], probe["outcome"], probe["seen"]) for probe in probes)
    return table(("probe", "outcome", "seen"), ([escaped(_line(cell)) for cell in row] for row in rows), aligned=True)


def _line(text: str) -> str:
    return " ".join(text.split())


def answer_in_words(answer: AnswerOf, plan: RunPlan) -> str:
    """Return the answer as a sentence for the log, with what follows from it."""
    who = f"by {answer.by}" if answer.by else "by default: nobody answered in time"
    if answer.answer is Answer.APPROVED:
        return f"Approved {who}"
    image = image_name(plan.image_id)
    return (
        f"Rejected {who}. Pool {plan.pool} stays as it is, and {image} is neither marked bad nor announced. To be "
        "asked again, clear this task and what follows it; otherwise the next run asks anew"
    )
