"""What can go wrong, ordered by what the reader should do.

::

    GoldenPoolsError
    ├── SpecError               the pool spec is wrong            -> fix the file
    ├── UnknownNameError        nothing of this name is known     -> take one of the names that it offers
    ├── RunConfError            the trigger form was filled wrong -> trigger again
    ├── PreflightError          a check found a blocker           -> fix it in Azure
    ├── AzureBusyError          throttled, outage, conflict       -> retried by itself
    ├── AzureRefusedError       permission, quota, bad request    -> fix what Azure names
    │   └── ReadOnlyError       a plan-only run tried to write    -> report the defect
    ├── NeverFitsError          quota or limit is too small       -> raise it, or lower the targets
    ├── FullNowError            others hold the quota             -> shrink another pool, or wait
    ├── ResizeGaveUpError       the pool did not reach its target -> follow the advice
    ├── ProbeFailedError        the image did not pass its probe  -> read the output, mend the golden VM
    ├── PassportStoreError      passports cannot be kept or read  -> a warning: correct path or connection
    ├── AlertError              somebody was not told             -> correct the connection or the address
    ├── RolledBackError         the pool is on its old image      -> mend the cause, run again
    └── OwnershipError          another run or person owns it     -> wait, or remove it
        └── ConflictError       it changed between look and write -> looked at again, once

Every message has four parts: what happened, to which resource, what Azure answered, what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from golden_pools.words import counted


class GoldenPoolsError(Exception):
    """Root of the tree.

    :param what: what happened, one sentence without a full stop at the end
    :param resource: name or ARM id of the resource it happened to
    :param answer: what Azure answered: code and values, as one line
    :param advice: what the reader should do next
    """

    who = "Azure"
    """Who answered."""

    def __init__(self, what: str, *, resource: str = "", answer: str = "", advice: str = "") -> None:
        self.what = what
        self.resource = resource
        self.answer = answer
        self.advice = advice
        super().__init__(what, resource, answer, advice)

    def to_dict(self) -> dict[str, str]:
        """Return the error as JSON, for a trigger's event; :func:`from_dict` makes it an exception again."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "resource": self.resource,
            "answer": self.answer,
            "advice": self.advice,
        }

    def __str__(self) -> str:
        parts = [self.what.rstrip(".") + "."]
        if self.resource:
            parts.append(f"Resource: {self.resource}.")
        if self.answer:
            parts.append(f"{self.who} answered: {self.answer.rstrip('.')}.")
        if self.advice:
            parts.append(f"What to do: {self.advice}")
        return " ".join(parts)


class SpecError(GoldenPoolsError):
    """A pool spec is wrong; carries every fault of the file at once.

    :param path: the file
    :param faults: one line per fault: line, field, what was found, what is allowed
    """

    def __init__(self, path: str, faults: Sequence[str]) -> None:
        self.path = path
        self.faults = tuple(faults)
        super().__init__(
            f"{path}: {counted(len(self.faults), 'fault')}\n" + "\n".join(f"  - {fault}" for fault in self.faults),
        )

    def __str__(self) -> str:
        return self.what


class UnknownNameError(GoldenPoolsError):
    """Somebody asked for a thing by a name that nothing goes by, or that several things go by."""


class RunConfError(GoldenPoolsError):
    """The run was triggered with a configuration that the form does not offer."""


class PreflightError(GoldenPoolsError):
    """Preflight found at least one blocker; nothing was written."""


class AzureBusyError(GoldenPoolsError):
    """Azure is throttling, out of order for the moment, or busy with the resource: the task is retried.

    :param retry_after_seconds: what Azure asked to wait, if it did
    """

    def __init__(
        self,
        what: str,
        *,
        resource: str = "",
        answer: str = "",
        advice: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(what, resource=resource, answer=answer, advice=advice)
        self.retry_after_seconds = retry_after_seconds


class AzureRefusedError(GoldenPoolsError):
    """Azure refused for a reason that a retry does not change.

    :param code: Azure's error code
    :param status: HTTP status, 0 where the answer had none (a failed long-running operation)
    """

    def __init__(
        self, what: str, *, resource: str = "", answer: str = "", advice: str = "", code: str = "", status: int = 0
    ) -> None:
        super().__init__(what, resource=resource, answer=answer, advice=advice)
        self.code = code
        self.status = status


class ReadOnlyError(AzureRefusedError):
    """A plan-only run was about to write; the hook stopped it before anything left the machine."""


class ResizeGaveUpError(GoldenPoolsError):
    """The pool did not reach its target and another resize would not help."""


class NeverFitsError(GoldenPoolsError):
    """A quota or limit is smaller than the targets: no waiting helps."""


class FullNowError(GoldenPoolsError):
    """The targets fit into the quota, but not beside what other pools held until the deadline."""


class ProbeFailedError(GoldenPoolsError):
    """A node on the new image did not come up, or a probe on it did not do what the spec expects."""


class PassportStoreError(GoldenPoolsError):
    """The place where passports are kept does not take one, or does not show one; no run fails by it."""

    who = "The store"


class AlertError(GoldenPoolsError):
    """An alert did not reach an address, or there is none; no run fails by it."""

    who = "The service"


class RolledBackError(GoldenPoolsError):
    """A refresh failed after the pool was touched, and the pool has been put back."""


class OwnershipError(GoldenPoolsError):
    """Somebody else owns the resource: another run, another pool, or a person."""


class ConflictError(OwnershipError):
    """The resource is not as it was when it was judged, so Azure did not take the write.

    Where the answer to a write of ours was lost, its repetition meets our own change and looks like this.
    """


def from_dict(error: Mapping[str, str]) -> GoldenPoolsError:
    """Return the exception that :meth:`GoldenPoolsError.to_dict` described."""
    kind = _BY_NAME.get(error["error"], AzureRefusedError)
    return kind(error["what"], resource=error["resource"], answer=error["answer"], advice=error["advice"])


_BY_NAME: Mapping[str, type[GoldenPoolsError]] = {
    kind.__name__: kind
    for kind in (
        GoldenPoolsError,
        UnknownNameError,
        RunConfError,
        PreflightError,
        AzureBusyError,
        AzureRefusedError,
        ReadOnlyError,
        NeverFitsError,
        FullNowError,
        ResizeGaveUpError,
        ProbeFailedError,
        PassportStoreError,
        AlertError,
        RolledBackError,
        OwnershipError,
        ConflictError,
    )
} | {"SpecError": GoldenPoolsError}
"""Errors that a trigger's event or a failed task's note may carry; a spec's faults have become words by then."""
