from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from benchmarks.conversations import Conversation, exchanges
from benchmarks.turn_latency import differences, sums, tracks
from callers.g711 import Pcm, ulaw_encode
from callers.pcap import Endpoint
from callers.rtp import RtpStream
from callers.speech import RATE, Prompt, build_track, silence

MS = 1_000_000
PROMPT = Prompt("p", "x", (9000 * np.sin(np.arange(RATE) * 0.5)).astype(np.int16))


def stream(pcm: Pcm) -> RtpStream:
    payload = [ulaw_encode(pcm[at : at + 160]).tobytes() for at in range(0, len(pcm), 160)]
    number = np.arange(len(payload), dtype=np.int64)
    kinds = np.zeros(len(payload), dtype=np.uint8)
    end = Endpoint("127.0.0.1", 4000)
    return RtpStream(end, end, 1, number * 20 * MS, number, number * 160, kinds, tuple(payload))


def conversation(*sounds: tuple[float, float], turns: tuple[float, ...] = ()) -> Conversation:
    """Two prompts of one second at 1 s and 5 s; the reply sounds from and to these seconds."""
    track = build_track([PROMPT, PROMPT], lead=1.0, gap=3.0, tail=3.0)
    reply = silence(track.seconds)
    for start, end in sounds:
        reply[round(start * RATE) : round(end * RATE)] = 7000
    record: dict[str, Any] = {
        "turns": [
            {"number": n, "said": "x", "turn_ms": ms, "hops_ms": {"vad": ms - 100, "tx": 101.0}}
            for n, ms in enumerate(turns, 1)
        ]
    }
    return Conversation(track, stream(track.pcm), stream(reply), record)


def test_an_answer_counts_from_the_last_voiced_sample() -> None:
    first, second = exchanges(conversation((2.4, 3.4), (6.5, 7.5)))
    # The last sample of the packet at 1.98 s was spoken at 1.98 s; sound begins in the packet at 2.40 s.
    assert first.answer_ms == pytest.approx(420.0)
    assert second.answer_ms == pytest.approx(520.0)
    assert not first.cut and not second.cut


def test_a_reply_that_begins_within_the_prompt_cuts_it() -> None:
    first, second = exchanges(conversation((1.6, 2.6), (6.5, 7.5)))
    assert first.cut and math.isnan(first.answer_ms)
    assert not second.cut


def test_a_long_echo_of_the_prompt_before_is_no_cut() -> None:
    first, second = exchanges(conversation((2.4, 5.3), (6.5, 7.5)))
    assert not first.cut and not second.cut
    assert second.answer_ms == pytest.approx(520.0)


def test_no_answer_is_no_number() -> None:
    first, second = exchanges(conversation((2.4, 3.4)))
    assert first.answer_ms == pytest.approx(420.0)
    assert math.isnan(second.answer_ms) and not second.cut


def test_the_record_is_held_against_the_wire() -> None:
    one = conversation((2.4, 3.4), (6.5, 7.5), turns=(430.0, 500.0))
    assert sums([one]) == pytest.approx([1.0, 1.0])
    assert differences(one) == pytest.approx([10.0, -20.0])
    assert differences(conversation((2.4, 3.4), turns=(430.0,))) == []
    assert one.said() == "x x"


def test_every_call_gets_its_own_prompts() -> None:
    prompts = [Prompt(str(n), "x", PROMPT.pcm) for n in range(5)]
    made = tracks(prompts, calls=4, each=3)
    names = [[spoken.prompt.name for spoken in track.spoken] for track in made]
    assert [len(row) for row in names] == [3] * 4
    assert len({tuple(row) for row in names}) > 1
