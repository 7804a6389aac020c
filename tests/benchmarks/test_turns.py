"""Which packet ended a turn: the record's word against the detector's own, fed with what was captured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.conversations import Conversation
from benchmarks.turns import Turns, hangovers, unbroken
from callers.g711 import Pcm, ulaw_encode
from callers.pcap import Endpoint
from callers.rtp import RtpStream
from callers.speech import Prompt, build_track, load_prompts, silence

MS = 1_000_000
SPEECH = Path("tests/data/speech")
KNOWN_MS, SHARE_MS = 320.0, 17.0


def stream(pcm: Pcm, first: int = 0) -> RtpStream:
    payload = [ulaw_encode(pcm[at : at + 160]).tobytes() for at in range(0, len(pcm) // 160 * 160, 160)]
    number = np.arange(len(payload), dtype=np.int64)
    kinds = np.zeros(len(payload), dtype=np.uint8)
    end = Endpoint("127.0.0.1", 4000)
    return RtpStream(end, end, 1, first * MS + number * 20 * MS, number, number * 160, kinds, tuple(payload))


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    return unbroken(load_prompts(SPEECH))[:2]


def answered(prompts: list[Prompt], *, off_ms: float = 0.0, place: int = 3) -> Conversation:
    """A call whose record names the packets that the detector finds at one place, or `off_ms` beside."""
    track = build_track(prompts, lead=1.0, gap=2.0, tail=2.0)
    caller = stream(track.pcm)
    ends = hangovers(caller)[place]
    reply = silence(track.seconds)
    turns: list[dict[str, Any]] = []
    phase = round(ends[0] / MS + KNOWN_MS + SHARE_MS) % 20
    for number, end in enumerate(ends, 1):
        begins = end // MS + KNOWN_MS + SHARE_MS - phase  # its packet's number is exact then
        at = round(begins / 20) * 160
        reply[at : at + 2_000] = 7000
        hops = {"vad": 200.0, "rx": 3.0, "asr_final": 61.0, "agent": 204.0, "tts": 61.0, "tx": 8.0}
        turns.append({"number": number, "turn_ms": 200.0 + KNOWN_MS + SHARE_MS + off_ms, "hops_ms": hops})
    return Conversation(track, caller, stream(reply, first=phase), {"turns": turns})


def test_the_share_is_what_comes_on_top_of_the_known_delays(prompts: list[Prompt]) -> None:
    turns = Turns()
    turns.take(answered(prompts))
    assert turns.shares == pytest.approx([SHARE_MS] * 2)
    assert (turns.unmatched, turns.unanswered) == (0, 0)


@pytest.mark.parametrize("off_ms", [-100.0, 100.0, 5.0])
def test_a_record_that_names_another_packet_is_not_believed(prompts: list[Prompt], off_ms: float) -> None:
    turns = Turns()
    turns.take(answered(prompts, off_ms=off_ms))
    assert (turns.shares, turns.unmatched) == ([], 2)


def test_a_call_with_another_number_of_turns_is_unmatched(prompts: list[Prompt]) -> None:
    call = answered(prompts)
    call.record["turns"].append({**call.record["turns"][-1], "number": 3})
    turns = Turns()
    turns.take(call)
    assert (turns.shares, turns.unmatched) == ([], 3)


def test_a_turn_without_a_reply_is_unanswered(prompts: list[Prompt]) -> None:
    call = answered(prompts)
    silent = Conversation(call.track, call.caller, stream(silence(call.track.seconds)), call.record)
    turns = Turns()
    turns.take(silent)
    assert (turns.shares, turns.unmatched, turns.unanswered) == ([], 0, 2)


def test_a_prompt_that_pauses_would_be_two_turns(prompts: list[Prompt]) -> None:
    pause = silence(0.5)
    broken = Prompt("b", "x", np.concatenate([prompts[0].pcm, pause, prompts[1].pcm]))
    assert unbroken([broken, prompts[0]]) == [prompts[0]]
