"""Engines broken under live calls: what callers hear, from the RTP at their side, and what is kept of it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import fields

import pytest

from benchmarks.conversations import hold
from benchmarks.failover import Clean, Site, Strike, judged, plan, track
from benchmarks.faults import Fault
from benchmarks.gateway import GatewayProcess
from callers.speech import build_track
from gateway.calls.settings import PhraseSettings
from tests.live.gateway.listening import prompt, same_words
from tests.live.gateway.node import eventually

pytestmark = pytest.mark.live

PROMPTS = ("confbridge-invalid", "check-number-dial-again", "conf-now-recording")
SILENT = {field.name: "" for field in fields(PhraseSettings) if field.name != "apology"}
"""One phrase is enough, and is ready sooner."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(pace=1.5, workers=1) as running:
        yield running


def test_calls_go_on_while_their_engines_are_killed_and_stopped(site: Site) -> None:
    """A short, seeded piece of `benchmarks.failover`."""
    chance = random.Random(7)
    tracks = [track(prompt(name)) for name in PROMPTS]
    clean = Clean([judged(one) for one in site.converse(tracks)])
    calls = []
    for asr, tts in ((Fault.STOP, Fault.KILL), (Fault.HALF_OPEN, Fault.STOP)):
        strikes = plan(chance, tracks, {"asr": asr, "tts": tts}, standby=False)
        calls += [judged(one, strikes) for one in site.converse(tracks, strikes)]
        site.await_whole()
    told = site.gateway.metrics()
    assert [call.ended for call in calls] == ["caller_hung_up"] * len(calls)
    for call in calls:
        assert same_words(prompt(call.prompt).text, call.said) >= 0.8, call
        assert clean.gap(call) <= 700.0, (clean.gap(call), call)
    changed = [switch for call in calls for switch in call.changed()]
    assert {switch["kind"] for switch in changed} == {"asr", "tts"}, changed
    assert all(switch["from"] == "riva" and switch["to"] in ("moonshine", "hibari") for switch in changed)
    counted = [name for name in told if name.startswith("offhook_engine_switches_total")]
    assert sum(told[name] for name in counted) >= len(changed)
    assert not any("call" in name.partition("{")[2] for name in counted)


def _prompts_are_ready(gateway: GatewayProcess) -> None:
    assert gateway.metrics()['offhook_speech_cache{what="kept"}'] >= 1


def test_with_every_engine_gone_the_caller_hears_a_phrase_and_is_served_again_afterwards(site: Site) -> None:
    first, second = prompt(PROMPTS[0]), prompt(PROMPTS[1])
    spoken = build_track([first, second], lead=0.8, gap=8.0, tail=3.2, answer=0.0)
    settings = {
        **site.settings(embedded=False),
        "router": {"breaker": {"longest_rest": 1.0}},
        "session": {"phrases": SILENT},
    }
    strikes = [Strike(kind, 0, Fault.STOP, 0.9, 6.5) for kind in ("asr", "tts")]
    with GatewayProcess(settings) as gateway:
        eventually(lambda: _prompts_are_ready(gateway), 30.0)
        (call,) = site.under(strikes, lambda: hold(gateway, [spoken]))
    record = call.record
    assert record["end_reason"] == "caller_hung_up" and record["switches"] == []
    said = [turn["said"] for turn in record["turns"] if turn["said"]]
    assert same_words(second.text, " ".join(said)) >= 0.8, record["turns"]
    audible = call.reply.arrived_ns[call.reply.audible_packets()]
    asked = call.end_ns(call.track.spoken[0])
    again = call.start_ns(call.track.spoken[1])
    phrase = audible[(audible >= asked) & (audible < again)]
    assert len(phrase) and (phrase[0] - asked) / 1e9 < 2.9, "no dead air: the words' deadline"
    answer = audible[audible >= call.end_ns(call.track.spoken[1])]
    assert len(answer) and not math.isnan(answer[0])
    assert (answer[0] - call.end_ns(call.track.spoken[1])) / 1e9 < 2.5
