"""Every way in which a SIP call can end has exactly one reason."""

from __future__ import annotations

import itertools

import pytest

from media.legs.base import Direction, EndReason
from media.legs.sip_ends import CallEnd, EndedBy, Phase, end_reason, reason_header, refusal_code

IN, OUT = Direction.INBOUND, Direction.OUTBOUND


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (CallEnd(IN, Phase.SETUP, EndedBy.FAR_END, 487), EndReason.CANCELLED),
        (CallEnd(IN, Phase.SETUP, EndedBy.US, 404), EndReason.REJECTED),
        (CallEnd(IN, Phase.SETUP, EndedBy.NOBODY, 408), EndReason.SIGNALLING_LOST),
        (CallEnd(IN, Phase.ANSWERED, EndedBy.FAR_END, 200), EndReason.CALLER_HUNG_UP),
        (CallEnd(IN, Phase.ANSWERED, EndedBy.NOBODY, 408), EndReason.SIGNALLING_LOST),
        (CallEnd(IN, Phase.ANSWERED, EndedBy.FAR_END, 481), EndReason.SIGNALLING_LOST),
        (CallEnd(OUT, Phase.SETUP, EndedBy.FAR_END, 486), EndReason.NOT_ANSWERED),
        (CallEnd(OUT, Phase.SETUP, EndedBy.NOBODY, 408), EndReason.NOT_ANSWERED),
        (CallEnd(OUT, Phase.SETUP, EndedBy.US, 487), EndReason.CANCELLED),
        (CallEnd(OUT, Phase.ANSWERED, EndedBy.FAR_END, 200), EndReason.CALLER_HUNG_UP),
        (CallEnd(OUT, Phase.ANSWERED, EndedBy.NOBODY, 503), EndReason.SIGNALLING_LOST),
    ],
)
def test_the_table(end: CallEnd, reason: EndReason) -> None:
    assert end_reason(end) is reason


@pytest.mark.parametrize("parts", [*itertools.product(Direction, Phase, EndedBy, (0, 408, 486))])
def test_no_combination_is_left_out(parts: tuple[Direction, Phase, EndedBy, int]) -> None:
    assert end_reason(CallEnd(*parts)) in EndReason


@pytest.mark.parametrize("ours", EndReason)
def test_our_own_reason_wins(ours: EndReason) -> None:
    assert end_reason(CallEnd(IN, Phase.ANSWERED, EndedBy.US, 200), ours) is ours


@pytest.mark.parametrize("reason", EndReason)
def test_every_reason_has_a_refusal_and_a_header(reason: EndReason) -> None:
    assert 400 <= refusal_code(reason) <= 699
    header = reason_header(reason)
    assert header.startswith("Q.850;cause=") and f'text="{reason.value}"' in header


def test_a_cause_of_our_own_goes_into_the_header() -> None:
    assert reason_header(EndReason.DIALPLAN_HUNG_UP).startswith("Q.850;cause=16;")
    assert reason_header(EndReason.DIALPLAN_HUNG_UP, 17).startswith("Q.850;cause=17;")
