"""Between engine errors and gRPC statuses, in both directions."""

from __future__ import annotations

from engines.base import EngineBusy, EngineError, EngineFailed, EngineRefused, EngineTimeout
from engines.riva.wire import Status


class Refused(Exception):
    """A request that gets a status instead of a result; the text names the field and the cure."""

    def __init__(self, text: str, code: Status = Status.INVALID_ARGUMENT) -> None:
        super().__init__(text)
        self.code = code


def unimplemented(text: str) -> Refused:
    """The field is known, but nothing here can honour it."""
    return Refused(text, Status.UNIMPLEMENTED)


def status_of(error: EngineError) -> Status:
    """The status that tells a client what our engine's error means."""
    match error:
        case EngineBusy():
            return Status.RESOURCE_EXHAUSTED
        case EngineRefused():
            return Status.INVALID_ARGUMENT
        case EngineTimeout():
            return Status.DEADLINE_EXCEEDED
        case _:
            return Status.INTERNAL


_REFUSING = frozenset({
    Status.INVALID_ARGUMENT,
    Status.UNIMPLEMENTED,
    Status.NOT_FOUND,
    Status.FAILED_PRECONDITION,
    Status.OUT_OF_RANGE,
    Status.UNAUTHENTICATED,
    Status.PERMISSION_DENIED,
})  # fmt: skip


def error_of(code: Status, text: str) -> EngineError:
    """What a status that a server gave us means to our callers."""
    told = f"{code.name}: {text}" if text else str(code.name)
    if code is Status.RESOURCE_EXHAUSTED:
        return EngineBusy(told)
    if code in _REFUSING:
        return EngineRefused(told)
    if code is Status.DEADLINE_EXCEEDED:
        return EngineTimeout(told)
    return EngineFailed(told)
