"""Scripted faults: what the simulator shall do wrong, to which call, how often."""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Plane(StrEnum):
    """Which service a call is for."""

    ARM = "arm"
    BATCH = "batch"
    LOGIN = "login"
    CONTROL = "control"


class OperationFailure(BaseModel):
    """How a long-running operation fails."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str = Field(min_length=1)
    message: str = "The operation failed, as a scripted fault asked for."


class FaultRequest(BaseModel):
    """A fault as ``POST /_simulator/faults`` takes it.

    A call must match every given condition. The first ``skip`` matching calls pass; the next ``count`` (``null``: all)
    get the fault. ``delay_seconds`` and ``retry_after_seconds`` are real seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str | None = Field(default=None, description="HTTP method, or a regular expression that matches all of it")
    path: str = Field(default="", description="regular expression, searched in the path, ignoring case")
    plane: Plane | None = None
    skip: int = Field(default=0, ge=0)
    count: int | None = Field(default=1, ge=1)

    status: int | None = Field(default=None, ge=200, le=599, description="answer with this status; nothing is done")
    code: str | None = None
    message: str = "A scripted fault."
    retry_after_seconds: int | None = Field(default=None, ge=0)
    headers: dict[str, str] = Field(default_factory=dict)
    drop: bool = Field(default=False, description="close the connection; nothing is done")
    lose_reply: bool = Field(
        default=False, description="do what was asked, then close the connection without an answer"
    )
    stale: bool = Field(default=False, description="answer a GET with the previous state of that URL")
    delay_seconds: float = Field(default=0.0, ge=0, le=600, description="answer later")
    operation_error: OperationFailure | None = Field(
        default=None, description="the long-running operation that the call starts fails"
    )

    @field_validator("method", "path")
    @classmethod
    def _is_pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        actions = (self.status is not None, self.drop, self.lose_reply, self.stale, self.operation_error is not None)
        if not any(actions) and not self.delay_seconds:
            raise ValueError("a fault needs one of status, drop, lose_reply, stale, operation_error, delay_seconds")
        if sum(actions) > 1:
            raise ValueError("status, drop, lose_reply, stale and operation_error exclude one another")
        return self


class FaultState(BaseModel):
    """A fault as the simulator lists it: what was asked for, and how often it met a call."""

    id: int
    fault: FaultRequest
    matched: int
    applied: int
    exhausted: bool


@dataclass(slots=True)
class _Scripted:
    id: int
    request: FaultRequest
    method: re.Pattern[str]
    path: re.Pattern[str]
    matched: int = 0
    applied: int = 0

    @property
    def exhausted(self) -> bool:
        return self.request.count is not None and self.applied >= self.request.count

    def takes(self, method: str, path: str, plane: Plane) -> bool:
        """Whether this call gets the fault; counts the call when it matches."""
        if self.exhausted or (self.request.plane is not None and self.request.plane is not plane):
            return False
        if not self.method.fullmatch(method) or not self.path.search(path):
            return False
        self.matched += 1
        if self.matched <= self.request.skip:
            return False
        self.applied += 1
        return True


class Faults:
    """The scripted faults, in the order in which they were added; a call gets the first that takes it."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._scripted: dict[int, _Scripted] = {}

    def add(self, request: FaultRequest) -> FaultState:
        """Script a fault."""
        scripted = _Scripted(
            next(self._ids),
            request,
            re.compile(request.method or ".*", re.IGNORECASE),
            re.compile(request.path, re.IGNORECASE),
        )
        self._scripted[scripted.id] = scripted
        return _state(scripted)

    def list(self) -> list[FaultState]:
        """All faults, the exhausted ones too."""
        return [_state(scripted) for scripted in self._scripted.values()]

    def remove(self, fault_id: int) -> bool:
        """Forget one fault; ``False`` when there is none with this id."""
        return self._scripted.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Forget all faults."""
        self._scripted.clear()

    def take(self, method: str, path: str, plane: Plane) -> FaultRequest | None:
        """The fault for this call, or ``None``. Control calls get none."""
        if plane is Plane.CONTROL:
            return None
        for scripted in self._scripted.values():
            if scripted.takes(method, path, plane):
                return scripted.request
        return None


def _state(scripted: _Scripted) -> FaultState:
    return FaultState(
        id=scripted.id,
        fault=scripted.request,
        matched=scripted.matched,
        applied=scripted.applied,
        exhausted=scripted.exhausted,
    )


@dataclass(slots=True)
class _Answers:
    last: bytes
    previous: bytes | None = None


class AnswerHistory:
    """The last two different answers of every GET URL, for stale reads.

    :param max_urls: how many URLs are remembered; the one unused for longest is forgotten first.
    :param max_body_bytes: longer answers are not remembered, so that the simulator stays small.
    """

    def __init__(self, max_urls: int = 200, max_body_bytes: int = 256 * 1024) -> None:
        self._max_urls = max_urls
        self._max_body_bytes = max_body_bytes
        self._answers: OrderedDict[str, _Answers] = OrderedDict()

    def record(self, url: str, body: bytes) -> None:
        """Remember what a GET of ``url`` answered."""
        if len(body) > self._max_body_bytes:
            return
        known = self._answers.pop(url, None)
        if known is None:
            known = _Answers(body)
        elif known.last != body:
            known = _Answers(body, known.last)
        self._answers[url] = known
        if len(self._answers) > self._max_urls:
            self._answers.popitem(last=False)

    def stale(self, url: str, body: bytes) -> bytes:
        """The state before ``body``; ``body`` itself when no other was ever answered."""
        known = self._answers.get(url)
        if known is None:
            return body
        return known.last if known.last != body else known.previous or body
