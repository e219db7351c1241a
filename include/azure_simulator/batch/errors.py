"""What the Batch service refuses, before it is known on which plane; messages are the service's own."""

from __future__ import annotations

from collections.abc import Sequence

from include.azure_simulator.errors import ArmError, DataPlaneError


class BatchServiceError(Exception):
    """A request that the Batch service refuses.

    :param status: HTTP status.
    :param code: Batch error code; the same on both planes unless ``arm_code`` says otherwise.
    :param message: the message without request id and time.
    :param values: explanations: ``details`` of an ARM error, ``values`` of a data-plane error.
    :param arm_code: the code on ARM where it differs.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        values: Sequence[tuple[str, str]] = (),
        *,
        arm_code: str | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.values = tuple(values)
        self.arm_code = arm_code or code

    def as_arm(self) -> ArmError:
        """The same refusal on ARM: the pairs stand in ``details``, the target is the account."""
        return ArmError(self.status, self.arm_code, self.message, target="BatchAccount", details=self.values)

    def as_data_plane(self) -> DataPlaneError:
        """The same refusal on the data plane."""
        return DataPlaneError(self.status, self.code, self.message, values=self.values)


def invalid_value(name: str, value: object, reason: str) -> BatchServiceError:
    """400: a property has a value that the service does not take."""
    return BatchServiceError(
        400,
        "InvalidPropertyValue",
        "The value provided for one of the properties in the request body is invalid.",
        [("PropertyName", name), ("PropertyValue", str(value)), ("Reason", reason)],
    )


def missing_property(name: str) -> BatchServiceError:
    """400: a required property is missing."""
    return BatchServiceError(
        400,
        "MissingRequiredProperty",
        "A required property was not specified in the request body.",
        [("PropertyName", name)],
    )


def invalid_body(reason: str) -> BatchServiceError:
    """400: the body is not what the operation takes."""
    return BatchServiceError(
        400,
        "InvalidRequestBody",
        "The specified Request Body is not syntactically valid.",
        [("Reason", reason)],
    )


def invalid_query(name: str, value: str, reason: str) -> BatchServiceError:
    """400: a query parameter has a value that the service does not take."""
    return BatchServiceError(
        400,
        "InvalidQueryParameterValue",
        "Value for one of the query parameters specified in the request URI is invalid.",
        [("QueryParameterName", name), ("QueryParameterValue", value), ("Reason", reason)],
    )


def cannot_be_updated(status: int, name: str, reason: str) -> BatchServiceError:
    """A property that may not change now. ARM lists the pairs as ``details``, as Azure/Batch#85 quotes them."""
    return BatchServiceError(
        status,
        "PropertyCannotBeUpdated",
        "The value of one of the properties cannot be updated.",
        [("Reason", reason), ("PropertyName", name), ("PropertyPath", f"properties.{name}")],
    )


def not_found(kind: str) -> BatchServiceError:
    """404 for ``kind``: ``Pool``, ``Node``, ``Job``, ``Task``, ``JobSchedule`` or ``File``."""
    return BatchServiceError(404, f"{kind}NotFound", f"The specified {_WORDS[kind]} does not exist.")


def already_exists(kind: str) -> BatchServiceError:
    """409 for a second object of one id."""
    return BatchServiceError(409, f"{kind}Exists", f"The specified {_WORDS[kind]} already exists.")


def condition_not_met(status: int = 412) -> BatchServiceError:
    """The ETag is not the one that the caller knows."""
    return BatchServiceError(
        status, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met."
    )


def pool_being_deleted() -> BatchServiceError:
    """409 for every write on a pool that is being deleted, and for a new pool of its id."""
    return BatchServiceError(
        409, "PoolBeingDeleted", "The specified pool has been marked for deletion and is being cleaned up."
    )


_WORDS = {
    "Pool": "pool",
    "Node": "node",
    "Job": "job",
    "Task": "task",
    "JobSchedule": "job schedule",
    "File": "file",
}
