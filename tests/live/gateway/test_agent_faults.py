"""Agents that misbehave in every way, all at once: what callers hear, when it is on the wire, what is kept.

Times count from the last voiced sample that the caller sent; where he never spoke, from the answer to his
INVITE, or from the INVITE itself when his call was answered late.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from callers.capture import Capture
from callers.pcap import datagrams
from callers.sipp import CallPlan, Sipp
from callers.speech import build_track
from tests.fakes.chat_endpoint import Answer, Cut, Pause, chat_endpoint
from tests.fakes.chat_tools import wants
from tests.live.gateway.faulty_apps import CUT, faulty_apps, mute_server
from tests.live.gateway.listening import Listener, prompt, same_words
from tests.live.gateway.node import Node
from tests.live.gateway.overheard import Overheard, overheard
from tests.live.gateway.threaded import threaded

pytestmark = pytest.mark.live

FILLER, APOLOGY = "One moment, please.", "I'm sorry, something went wrong. Please say that again."
GOODBYE = "I'm sorry, I can't help you at the moment. Please call again later. Goodbye."
ELSEWHERE = "Nobody is here. Please hold the line."
FILLER_WITHIN, FALLBACK_WITHIN = 1.5, 4.0
APOLOGY_S, GOODBYE_S = 2.5, 4.0
"""They take a little longer than this; one may follow so soon on the filler that no pause parts them."""
CLOSED = "127.0.0.1:9"
TRACK = build_track([prompt("check-number-dial-again")], lead=0.5, gap=0.0, tail=9.5)
HOLD_S = TRACK.seconds - 0.5
CHATS: dict[str, tuple[Answer, ...]] = {
    "chat-slow": (Answer((Pause(30.0), "Too late.")),),
    "chat-cut": (Answer((CUT, Cut())),),
    "chat-stalled": (Answer((CUT, Pause(30.0))),),
    "chat-garbage": (Answer((b"data: {no json\n\n",)),),
    "chat-endless": (Answer(("and then there was one more of them ",) * 2000),),
    "chat-tool": (wants(("look", {})), Answer((Cut(),))),
}
RELAYS = ("relay-slow", "relay-cut", "relay-stalled", "relay-garbage", "relay-endless", "relay-dies")
STREAMS = ("stream-garbage", "stream-endless", "stream-dies")


@dataclass(frozen=True)
class Call:
    """What came of one call."""

    sounds: Overheard
    record: dict[str, Any]
    recording: Path

    @property
    def faults(self) -> list[tuple[str, str]]:
        """What the record says went wrong, and what was done about it."""
        faults = [one for one in self.record["events"] if one["event"] == "agent_fault"]
        return [(one["kind"], one["action"]) for one in faults]

    def after_speech(self) -> list[tuple[float, float]]:
        """What he heard, in seconds after his last word."""
        return self.sounds.utterances(self.sounds.end_of_speech_ns(TRACK.spoken[0]))


def _chat(url: str, **more: object) -> dict[str, object]:
    return {
        "kind": "chat",
        "base_url": url,
        "model": "m",
        "greeting": "",
        "max_tokens": 40,
        "retries": 0,
        **more,
    }


def _tool(mute: str) -> dict[str, object]:
    url = f"http://{mute}/"
    return {"name": "look", "description": "Looks.", "url": url, "method": "GET", "seconds": 2.3}


def _relay(url: str) -> dict[str, object]:
    return {"kind": "conversation_relay", "url": url, "limits": {"talk_characters": 400}}


def _stream(url: str) -> dict[str, object]:
    return {"kind": "media_stream", "url": url, "queue_seconds": 5.0}


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Call]]:
    """Every fault in a call of its own, half a second apart."""
    folder = tmp_path_factory.mktemp("faults")
    with ExitStack() as stack:
        apps, mute = stack.enter_context(threaded(faulty_apps)), stack.enter_context(threaded(mute_server))
        agents: dict[str, dict[str, object]] = {"chat-refused": _chat(f"http://{CLOSED}/v1")}
        for name, answers in CHATS.items():
            _, url = stack.enter_context(threaded(partial(chat_endpoint, *answers)))
            agents[name] = _chat(url, max_tokens=10) if name == "chat-endless" else _chat(url)
        agents["chat-tool"]["tools"] = {"http": [_tool(mute)]}
        agents |= {name: _relay(f"{apps}/{name}") for name in RELAYS}
        agents |= {"relay-refused": _relay(f"ws://{CLOSED}"), "relay-mute": _relay(f"ws://{mute}")}
        agents |= {name: _stream(f"{apps}/{name}") for name in STREAMS}
        agents |= {"stream-refused": _stream(f"ws://{CLOSED}"), "stream-mute": _stream(f"ws://{mute}")}
        plan = "routes:\n" + "".join(
            f"  - name: {name}\n    match: {{called: {name}}}\n    actions: [answer, {_step(name)}]\n"
            for name in agents
        )
        node = stack.enter_context(Node(folder, {"agents": agents}, plan))
        spoken = TRACK.write_ulaw(folder / "spoken.ulaw")
        silent = build_track([], lead=TRACK.seconds, gap=0.0, tail=0.0).write_ulaw(folder / "silent.ulaw")
        sipps = {
            name: Sipp(CallPlan(node.target, name, name, audio=_said(name, spoken, silent), hold_s=HOLD_S))
            for name in agents
        }
        ports = [port for sipp in sipps.values() for port in (sipp.sip_port, sipp.media_port)]
        capture = stack.enter_context(Capture(folder / "calls.pcap", ports))
        for sipp in sipps.values():
            stack.enter_context(sipp)
            time.sleep(0.6)
        assert {name: sipp.wait().answered for name, sipp in sipps.items()} == dict.fromkeys(agents, 1)
        records = {name: node.records(name)[0] for name in agents}
        recordings = {name: node.recording(record) for name, record in records.items()}
        capture.stop()
        packets = list(datagrams(capture.path))
        assert capture.counts.dropped == 0
        yield {
            name: Call(overheard(sipp, packets), records[name], recordings[name])
            for name, sipp in sipps.items()
        }


def _said(name: str, spoken: Path, silent: Path) -> Path:
    """Callers say something, except where the app is not there from the beginning."""
    return silent if name in ("relay-refused", "relay-mute") else spoken


def _step(name: str) -> str:
    """Bots have a fallback in the route; the one that dies in mid call has only the node's goodbye."""
    if name.startswith("stream") and name != "stream-dies":
        return f"{{agent: {name}, fallback: [say: {ELSEWHERE}]}}"
    return f"agent: {name}"


@pytest.mark.parametrize("name", ["chat-slow", "relay-slow", "relay-garbage", "relay-dies"])
def test_who_waits_for_an_answer_hears_a_filler_and_then_an_apology(
    calls: dict[str, Call], listener: Listener, name: str
) -> None:
    call = calls[name]
    filler, apology, *_ = call.after_speech()
    assert 1.0 < filler[0] <= FILLER_WITHIN
    assert filler[0] + 2.0 < apology[0] <= FALLBACK_WITHIN
    assert same_words(f"{FILLER} {APOLOGY}", listener.heard_by_caller(call.recording)) >= 0.8
    assert ("slow", "filler") in call.faults
    kinds = {"relay-garbage": "garbage", "relay-dies": "cut"}
    assert kinds.get(name, "slow") in [kind for kind, _ in call.faults]
    assert "fallback" in [action for _, action in call.faults]


@pytest.mark.parametrize(("name", "kind"), [("chat-refused", "refused"), ("chat-garbage", "garbage")])
def test_who_gets_no_answer_hears_an_apology_at_once(
    calls: dict[str, Call], listener: Listener, name: str, kind: str
) -> None:
    call = calls[name]
    assert call.after_speech()[0][0] <= FILLER_WITHIN
    assert same_words(APOLOGY, listener.heard_by_caller(call.recording)) >= 0.8
    assert call.faults[-1] == (kind, "fallback")


@pytest.mark.parametrize("name", ["chat-cut", "chat-stalled", "relay-cut", "relay-stalled"])
def test_an_answer_that_breaks_off_is_heard_so_far_and_apologised_for(
    calls: dict[str, Call], listener: Listener, name: str
) -> None:
    call = calls[name]
    answer, *rest = call.after_speech()
    assert answer[0] <= FILLER_WITHIN
    pauses = [later[0] - earlier[1] for earlier, later in pairwise([answer, *rest])]
    assert max(pauses, default=0.0) <= FILLER_WITHIN
    if name == "relay-stalled":  # `chat` has a patience of its own
        assert rest[1][0] - answer[1] <= FALLBACK_WITHIN and ("slow", "filler") in call.faults
    words = listener.heard_by_caller(call.recording)
    assert same_words(f"I have found a table for you. {APOLOGY}", words) >= 0.8 and "by the" not in words
    assert ("cut", "fallback") in call.faults


@pytest.mark.parametrize("name", ["chat-endless", "relay-endless", "stream-endless"])
def test_what_does_not_stop_is_stopped(calls: dict[str, Call], name: str) -> None:
    call = calls[name]
    assert call.after_speech()[0][0] <= FILLER_WITHIN
    if name == "stream-endless":
        assert call.record["counts"]["sound_refused"] >= 50 * 8000
    else:
        assert "endless" in [kind for kind, _ in call.faults]


def test_a_backend_that_dies_while_a_tool_works_is_apologised_for(
    calls: dict[str, Call], listener: Listener
) -> None:
    call = calls["chat-tool"]
    sounds = call.after_speech()
    assert sounds[0][0] <= FILLER_WITHIN and sounds[-1][1] - APOLOGY_S <= FALLBACK_WITHIN
    assert same_words(f"{FILLER} {APOLOGY}", listener.heard_by_caller(call.recording)) >= 0.8
    assert ("tool", "told") in call.faults and call.faults[-1] == ("cut", "fallback")


@pytest.mark.parametrize("name", ["relay-refused", "relay-mute"])
def test_an_app_that_is_not_there_is_no_silence(
    calls: dict[str, Call], listener: Listener, name: str
) -> None:
    call = calls[name]
    sounds = call.sounds.utterances(call.sounds.answered_ns)
    assert 1.0 < sounds[0][0] <= FILLER_WITHIN and sounds[-1][1] - GOODBYE_S <= FALLBACK_WITHIN
    assert same_words(f"{FILLER} {GOODBYE}", listener.heard_by_caller(call.recording)) >= 0.8
    assert call.faults[-1] == ("refused", "fallback") and call.record["end_reason"] == "dead_air"


@pytest.mark.parametrize(
    ("name", "kind"), [("stream-refused", "refused"), ("stream-mute", "slow"), ("stream-garbage", "garbage")]
)
def test_a_bot_that_cannot_serve_leaves_the_caller_to_the_route(
    calls: dict[str, Call], listener: Listener, name: str, kind: str
) -> None:
    call = calls[name]
    assert call.sounds.utterances(call.sounds.invited_ns)[0][0] <= FALLBACK_WITHIN
    assert same_words(ELSEWHERE, listener.heard_by_caller(call.recording)) >= 0.8
    assert call.faults == [(kind, "ended")] and call.record["end_reason"] == "dialplan_hung_up"


def test_a_bot_that_dies_is_followed_by_a_goodbye(calls: dict[str, Call], listener: Listener) -> None:
    call = calls["stream-dies"]
    bot, goodbye, *_ = call.sounds.utterances(call.sounds.answered_ns)
    assert goodbye[0] - bot[1] <= FALLBACK_WITHIN
    assert same_words(GOODBYE, listener.heard_by_caller(call.recording)) >= 0.8
    assert call.faults == [("cut", "ended")] and call.record["end_reason"] == "dead_air"
