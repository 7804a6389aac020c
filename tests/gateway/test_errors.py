"""Every error has its row, and its verdict follows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines.base import EngineBusy, EngineError, EngineRefused
from engines.registry import EngineMissing, UnknownEngine
from gateway import errors
from gateway.agents.base import AgentError
from gateway.errors import VERDICTS, Fault, GatewayError, verdict
from gateway.problems import Problem
from media.legs.base import EndReason, LegError


def family(cls: type[BaseException]) -> Iterator[type[BaseException]]:
    yield cls
    for child in cls.__subclasses__():
        yield from family(child)


ROOTS = [GatewayError, EngineError, LegError, AgentError, UnknownEngine, EngineMissing]


@pytest.mark.parametrize("root", ROOTS)
def test_every_error_class_has_a_row(root: type[BaseException]) -> None:
    homes = ("gateway.errors", "engines.base", "engines.registry", "gateway.agents.base", "media.legs.base")
    missing = [cls.__name__ for cls in family(root) if cls.__module__ in homes and cls not in VERDICTS]
    assert missing == []


def test_rows_are_possible_answers() -> None:
    for cls, row in VERDICTS.items():
        assert 400 <= row.http_status <= 599, cls
        assert 400 <= row.sip_code <= 699, cls


def test_a_stranger_is_our_fault() -> None:
    judged = verdict(ZeroDivisionError())
    assert (judged.fault, judged.end_reason, judged.sip_code) == (Fault.US, EndReason.INTERNAL_ERROR, 500)
    assert verdict(KeyboardInterrupt()).fault is Fault.US


def test_a_new_class_inherits_the_row_above_it() -> None:
    class Odd(errors.NumberUnknown):
        pass

    assert verdict(Odd()).sip_code == 404
    del Odd


def test_what_an_error_says_itself_goes_first() -> None:
    assert verdict(AgentError("x", retryable=False)).retryable is False
    assert verdict(AgentError("x")).retryable is True
    assert verdict(EngineBusy()).retryable is True
    assert verdict(EngineRefused()).retryable is False
    assert verdict(LegError("no codec", sip_code=488)).sip_code == 488
    assert verdict(errors.DialFailed("busy", sip_code=486)).sip_code == 486
    assert verdict(errors.DialDenied("premium", reason="prefix")).http_status == 403
    assert verdict(errors.DialDenied("slow down", reason="rate", retry_after=9)).http_status == 429


@pytest.mark.parametrize(
    ("error", "sip", "fault"),
    [
        (errors.NumberUnknown(), 404, Fault.CALLER),
        (errors.CallerForbidden(), 403, Fault.CALLER),
        (errors.TooManyCalls("full", retry_after=5), 503, Fault.US),
        (errors.Draining("bye", retry_after=5), 503, Fault.US),
    ],
)
def test_refusals_have_their_sip_codes(error: GatewayError, sip: int, fault: Fault) -> None:
    assert verdict(error).sip_code == sip
    assert verdict(error).fault is fault
    assert verdict(error).end_reason in (EndReason.REJECTED, EndReason.DRAINED)


def test_a_file_error_lists_all_its_problems() -> None:
    error = errors.ConfigError([Problem("a", 2, "x", "bad"), Problem("a", 1, "y", "worse")])
    assert str(error) == "a:1: y: worse\na:2: x: bad"
    assert len(error.problems) == 2
