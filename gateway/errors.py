"""Every error of the gateway and what follows from it: one tree, one table.

Whoever catches an error asks `verdict(error)` and learns who is at fault, whether another try may succeed,
what to answer over SIP and HTTP, and how a call ends for it. Errors of the layers below (legs, engines,
agents) have their rows here too, so that no caller needs a second table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from engines.base import EngineBusy, EngineError, EngineFailed, EngineRefused, EngineTimeout
from engines.registry import EngineMissing, UnknownEngine
from gateway.agents.base import AgentError
from gateway.problems import Problem, listing
from media.legs.base import EndReason, LegError


class Fault(StrEnum):
    """Whose mistake it was."""

    CALLER = "caller"
    CONFIG = "config"
    """The operator's files."""
    BACKEND = "backend"
    """An engine, an agent's endpoint or the far end's network."""
    US = "us"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an error."""

    fault: Fault
    retryable: bool
    http_status: int
    sip_code: int
    """Answered to a call that is not taken yet (RFC 3261 section 21)."""
    end_reason: EndReason
    """How a call ends that cannot go on for it."""


class GatewayError(Exception):
    """Root of the gateway's own errors."""


class FileError(GatewayError):
    """A file that a person wrote holds mistakes; `problems` lists all of them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(listing(self.problems))


class ConfigError(FileError):
    """The configuration cannot be used."""


class DialplanError(GatewayError):
    """Root of what a dialplan can raise."""


class DialplanFileError(DialplanError, FileError):
    """A dialplan's file cannot be used."""


class NumberUnknown(DialplanError):
    """No route is meant for the called number."""


class CallerForbidden(DialplanError):
    """A route exists for the called number, but not for this caller or trunk."""


class NumberClosed(DialplanError):
    """Routes exist for the called number and this caller, but none that holds now."""


class AdmissionRefused(GatewayError):
    """A new call would break the running ones; `retry_after` says in seconds when to try again."""

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TooManyCalls(AdmissionRefused):
    """The node carries as many calls as its limits allow."""


class Draining(AdmissionRefused):
    """The node is shutting down and takes no new calls."""


class AgentUnknown(GatewayError):
    """No agent of that name is configured."""


class CallUnknown(GatewayError):
    """No call of that id is running or recorded."""


class JobUnknown(GatewayError):
    """No recording of that id waits, runs or was recognised lately."""


class DialDenied(GatewayError):
    """No rule lets this call be placed, or a limit stands against it; `reason` is the label it is counted by.

    `retry_after` says in seconds when a limit will have room again, 0 where waiting does not help.
    """

    def __init__(self, detail: str, *, reason: str, retry_after: int = 0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.retry_after = retry_after


class DialFailed(GatewayError):
    """A call of ours was not taken; `sip_code` is what the far end answered, 408 when it did not in time."""

    def __init__(self, detail: str, *, sip_code: int) -> None:
        super().__init__(detail)
        self.sip_code = sip_code


class PortTaken(GatewayError):
    """An address we should listen on is not ours to have."""


class PartFailed(GatewayError):
    """A part that every call needs could not be made, or does not work now."""


class FileUnfit(GatewayError):
    """A file that somebody named cannot be used."""


class KeyUnknown(GatewayError):
    """No API key of that id is kept."""


class StoreLost(GatewayError):
    """Redis is gone, slow or full; it is looked for and comes back by itself. Calls never need it."""

    retry_after = 2
    """Seconds after which another try may succeed."""


class QueueFull(GatewayError):
    """As many batch jobs wait as may."""

    retry_after = 30
    """Seconds after which another try may succeed."""


class KeyRefused(GatewayError):
    """No key was given where one is needed, or one that we do not know, that ran out or was revoked."""


class ScopeRefused(GatewayError):
    """The key is good, but not for this."""


class LicenceRefused(GatewayError):
    """The licence allows no new work: it ran out, was revoked, or could not be validated for too long."""


class LimitReached(GatewayError):
    """The key has used up its rate or its places; `retry_after` says in seconds when to try again."""

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class RequestUnfit(GatewayError):
    """A request of the speech API is wrong; `field` names the parameter, "" where it is none."""

    def __init__(self, detail: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field = field


class ParameterMissing(RequestUnfit):
    """A parameter that is needed was not given."""


class AbilityMissing(RequestUnfit):
    """A parameter asks for something that the engine in use cannot do."""


class ModelUnknown(RequestUnfit):
    """There is no recogniser or voice of that name."""


class AudioUnfit(RequestUnfit):
    """The sound cannot be read: truncated, mislabelled, or of a kind that is not taken."""


class AudioBroken(AudioUnfit):
    """It claims to be audio but cannot be decoded, or ends before its own header says."""


class AudioTooLong(RequestUnfit):
    """More seconds of sound than are taken."""


class FormatUnfit(RequestUnfit):
    """A format of sound that we do not make: a codec, rate, container or bit rate."""


class FetchRefused(RequestUnfit):
    """An address that must not be asked: wrong scheme, or a network that is not allowed."""


class FetchFailed(RequestUnfit):
    """The server at an address that a client named gave nothing we could use."""


class Unreachable(FetchFailed):
    """No connection came about: the host has no address, or nobody answers there."""


class DecodersBusy(AdmissionRefused):
    """Too many audio files wait to be decoded."""


class BodyTooLarge(RequestUnfit):
    """More was sent than is taken; `most_bytes` tells the limit."""

    def __init__(self, detail: str, *, most_bytes: int, field: str = "") -> None:
        super().__init__(detail, field=field)
        self.most_bytes = most_bytes


class ClientSilent(GatewayError):
    """A client sent nothing for longer than its contract allows."""


class ClientSlow(GatewayError):
    """A client does not read what it asked for."""


class ServiceAway(GatewayError):
    """A service that this request needs is out of reach; `retry_after` says in seconds when to try again."""

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TwimlError(GatewayError):
    """A TwiML app gave nothing that the call could go on with; `code` is what Twilio calls it."""

    def __init__(self, detail: str, *, code: int) -> None:
        super().__init__(detail)
        self.code = code


class TwimlUnfit(TwimlError):
    """A TwiML document cannot be run; names line, verb and attribute where there are any."""

    def __init__(self, detail: str, *, line: int = 0, verb: str = "", attribute: str = "", code: int) -> None:
        places = [f"line {line}" if line else "", f"<{verb}>" if verb else "", attribute]
        place = ", ".join(filter(None, places))
        super().__init__(f"{place}: {detail}" if place else detail, code=code)
        self.line, self.verb, self.attribute = line, verb, attribute


class AppFailed(TwimlError):
    """A TwiML app could not be asked, or did not answer as a web server that knows TwiML does."""


_OURS = Verdict(Fault.US, False, 500, 500, EndReason.INTERNAL_ERROR)
_OPERATOR = Verdict(Fault.CONFIG, False, 500, 500, EndReason.INTERNAL_ERROR)
_ENGINE = Verdict(Fault.BACKEND, True, 502, 503, EndReason.ENGINE_FAILED)
_CALLER = Verdict(Fault.CALLER, False, 400, 488, EndReason.REJECTED)

VERDICTS: Mapping[type[BaseException], Verdict] = MappingProxyType(
    {
        Exception: _OURS,
        GatewayError: _OURS,
        FileError: _OPERATOR,
        ConfigError: _OPERATOR,
        DialplanError: _OPERATOR,
        DialplanFileError: _OPERATOR,
        NumberUnknown: Verdict(Fault.CALLER, False, 404, 404, EndReason.REJECTED),
        CallerForbidden: Verdict(Fault.CALLER, False, 403, 403, EndReason.REJECTED),
        NumberClosed: Verdict(Fault.CALLER, True, 503, 480, EndReason.REJECTED),
        AdmissionRefused: Verdict(Fault.US, True, 503, 503, EndReason.REJECTED),
        TooManyCalls: Verdict(Fault.US, True, 503, 503, EndReason.REJECTED),
        Draining: Verdict(Fault.US, True, 503, 503, EndReason.DRAINED),
        AgentUnknown: Verdict(Fault.CONFIG, False, 404, 500, EndReason.INTERNAL_ERROR),
        CallUnknown: Verdict(Fault.CALLER, False, 404, 481, EndReason.REJECTED),
        JobUnknown: Verdict(Fault.CALLER, False, 404, 481, EndReason.REJECTED),
        DialDenied: replace(_CALLER, http_status=403, sip_code=403),
        DialFailed: Verdict(Fault.BACKEND, True, 502, 480, EndReason.NOT_ANSWERED),
        PortTaken: _OPERATOR,
        PartFailed: _OPERATOR,
        FileUnfit: _OPERATOR,
        KeyUnknown: replace(_CALLER, http_status=404, sip_code=404),
        StoreLost: Verdict(Fault.BACKEND, True, 503, 503, EndReason.INTERNAL_ERROR),
        QueueFull: Verdict(Fault.US, True, 503, 503, EndReason.REJECTED),
        KeyRefused: replace(_CALLER, http_status=401, sip_code=403),
        ScopeRefused: replace(_CALLER, http_status=403, sip_code=403),
        LicenceRefused: Verdict(Fault.CONFIG, False, 403, 503, EndReason.REJECTED),
        LimitReached: replace(_CALLER, retryable=True, http_status=429, sip_code=503),
        RequestUnfit: _CALLER,
        ParameterMissing: _CALLER,
        AbilityMissing: _CALLER,
        ModelUnknown: replace(_CALLER, http_status=404, sip_code=404),
        AudioUnfit: replace(_CALLER, http_status=415),
        AudioBroken: _CALLER,
        AudioTooLong: replace(_CALLER, http_status=413, sip_code=513),
        FormatUnfit: _CALLER,
        FetchRefused: _CALLER,
        FetchFailed: replace(_CALLER, retryable=True),
        Unreachable: replace(_CALLER, retryable=True),
        DecodersBusy: Verdict(Fault.US, True, 503, 503, EndReason.REJECTED),
        BodyTooLarge: replace(_CALLER, http_status=413, sip_code=513),
        ClientSilent: replace(_CALLER, retryable=True, http_status=408, sip_code=408),
        ClientSlow: replace(_CALLER, retryable=True, http_status=408, sip_code=408),
        ServiceAway: replace(_ENGINE, http_status=503),
        TwimlError: Verdict(Fault.BACKEND, False, 502, 503, EndReason.DEAD_AIR),
        TwimlUnfit: Verdict(Fault.BACKEND, False, 502, 503, EndReason.DEAD_AIR),
        AppFailed: Verdict(Fault.BACKEND, True, 502, 503, EndReason.DEAD_AIR),
        LegError: Verdict(Fault.BACKEND, False, 502, 500, EndReason.MEDIA_LOST),
        AgentError: Verdict(Fault.BACKEND, True, 502, 503, EndReason.DEAD_AIR),
        EngineError: _ENGINE,
        EngineBusy: replace(_ENGINE, http_status=503),
        EngineTimeout: replace(_ENGINE, http_status=504),
        EngineFailed: _ENGINE,
        EngineRefused: Verdict(Fault.CONFIG, False, 400, 488, EndReason.ENGINE_FAILED),
        UnknownEngine: replace(_OPERATOR, end_reason=EndReason.ENGINE_FAILED),
        EngineMissing: replace(_OPERATOR, end_reason=EndReason.ENGINE_FAILED),
    }
)
"""The only place that maps an error to its answer; the nearest class above an error decides."""


def verdict(error: BaseException) -> Verdict:
    """What follows from `error`; what the error itself says about retries and codes goes first."""
    row = next((VERDICTS[cls] for cls in type(error).__mro__ if cls in VERDICTS), _OURS)
    if isinstance(error, AgentError | EngineError):
        return replace(row, retryable=error.retryable)
    if isinstance(error, LegError | DialFailed):
        return replace(row, sip_code=error.sip_code)
    if isinstance(error, DialDenied) and error.retry_after:
        return replace(row, retryable=True, http_status=429, sip_code=503)
    return row
