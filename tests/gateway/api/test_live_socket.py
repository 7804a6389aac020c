"""Silence and slowness on a live socket, in virtual time, with a socket that follows a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import pytest
from fastapi import WebSocket

from engines.base import AsrOptions
from gateway.api.core.audio_in import AudioForm, AudioIn, Encoding
from gateway.api.core.audio_packed import open_packed
from gateway.api.core.listening import Heard, ListenAsk, ListenEvent, Listening, ListenLimits
from gateway.api.live_socket import Control, LiveSocket, LiveTerms, Message, Outcome, Sender
from gateway.errors import ClientSilent, ClientSlow, RequestUnfit
from tests.fakes.asr import ScriptedAsr
from tests.fakes.voices import bench, sound
from tests.virtual_time import run_virtual

SAYS = [(0.5, 1.5, "hello there")]
SOUND = sound([(0.5, 1.5)], 3.0).tobytes()
Said = tuple[float, str | bytes | None]
"""Seconds after the last one, and a text, sound, or None for a client that leaves."""


class ScriptedSocket:
    """Says its lines when they are due; takes `slow` seconds for each message it is sent."""

    def __init__(self, says: Sequence[Said], slow: float = 0.0) -> None:
        self._says = list(says)
        self._slow = slow
        self.told: list[dict[str, Any]] = []
        self.ahead = 0
        """Most controls that were taken before their answers were told."""
        self._controls = 0

    async def receive(self) -> Mapping[str, Any]:
        if not self._says:
            await asyncio.sleep(1e6)
        after, what = self._says.pop(0)
        await asyncio.sleep(after)
        if what is None:
            return {"type": "websocket.disconnect", "code": 1001}
        self._controls += isinstance(what, str)
        self.ahead = max(self.ahead, self._controls - len(self.told))
        return {"type": "websocket.receive", "bytes" if isinstance(what, bytes) else "text": what}

    async def send_text(self, text: str) -> None:
        await asyncio.sleep(self._slow)
        self.told.append(json.loads(text))


class Plain:
    """The least of a dialect."""

    def read(self, message: Mapping[str, Any]) -> tuple[Control, Iterable[Message]]:
        return Control[message["do"]], ()

    def tell(self, event: ListenEvent) -> Iterable[Message]:
        if isinstance(event, Heard) and event.is_final:
            yield {"text": event.text}


def serve(
    says: Sequence[Said], *, slow: float = 0.0, needs_sound: bool = True, empty_closes: bool = True
) -> tuple[Outcome, list[dict[str, Any]], float]:
    """How it ended, what was told, and when it was over."""

    async def scene() -> tuple[Outcome, list[dict[str, Any]], float]:
        script = ScriptedSocket(says, slow)
        socket = cast(WebSocket, script)
        ask = ListenAsk(AsrOptions(sample_rate=8000, interim=False))
        listening = Listening(ScriptedAsr(SAYS), bench(), ask, ListenLimits())
        terms = LiveTerms(
            10.0, keeping_needs_sound=needs_sound, empty_closes=empty_closes, unread_seconds=5.0
        )
        audio = AudioIn(AudioForm(Encoding.LINEAR16, 8000), open_packed)
        live = LiveSocket(socket, Sender(socket, terms.unread_seconds), listening, audio, Plain(), terms)
        try:
            outcome = await live.run()
            return outcome, script.told, asyncio.get_running_loop().time()
        finally:
            await listening.aclose()
            assert script.ahead < 80
            assert len(asyncio.all_tasks()) == 1

    return run_virtual(scene())


def paced(octets: bytes) -> list[Said]:
    return [(0.02, octets[place : place + 320]) for place in range(0, len(octets), 320)]


def test_a_stream_ends_when_the_client_says_so_and_everything_is_told() -> None:
    for end in ('{"do":"CLOSE"}', b""):
        outcome, told, _ = serve([*paced(SOUND), (0.0, end)])
        assert (outcome, told) == (Outcome.CLOSED, [{"text": "hello there"}])


def test_a_client_that_leaves_in_the_middle_is_gone() -> None:
    outcome, told, at = serve([*paced(SOUND[:16000]), (0.5, None)])
    assert (outcome, told) == (Outcome.GONE, []) and at == pytest.approx(1.5, abs=0.1)


def test_silence_is_told_after_the_contracts_time() -> None:
    with pytest.raises(ClientSilent, match="for 10 s"):
        serve(paced(SOUND))


def test_signs_of_life_keep_a_stream_once_there_was_sound() -> None:
    keep: list[Said] = [(5.0, '{"do":"KEEP"}')] * 10
    outcome, _, at = serve([*paced(SOUND), *keep, (0.0, '{"do":"CLOSE"}')])
    assert outcome is Outcome.CLOSED and at > 50
    with pytest.raises(ClientSilent):
        serve(keep)
    outcome, _, at = serve([*keep, (0.0, '{"do":"CLOSE"}')], needs_sound=False)
    assert outcome is Outcome.CLOSED and at == pytest.approx(50)


def test_a_client_that_does_not_read_is_cut_off() -> None:
    with pytest.raises(ClientSlow, match="nothing was read for 5 s"):
        serve([*paced(SOUND), (1.0, '{"do":"FINALIZE"}'), (20.0, None)], slow=6.0)


def test_controls_do_not_pile_up_for_who_does_not_read() -> None:
    flood: list[Said] = [(0.0, '{"do":"FINALIZE"}')] * 1000
    outcome, told, at = serve([*flood, (0.0, '{"do":"CLOSE"}')], slow=0.1, needs_sound=False)
    assert outcome is Outcome.CLOSED and len(told) == 1000 and at == pytest.approx(100, abs=1)


def test_a_message_that_cannot_be_read_ends_the_stream() -> None:
    with pytest.raises(RequestUnfit, match="not JSON"):
        serve([(0.0, "nonsense")])


def test_an_empty_message_is_nothing_where_no_contract_says_otherwise() -> None:
    outcome, told, _ = serve([(0.0, b""), *paced(SOUND), (0.0, '{"do":"CLOSE"}')], empty_closes=False)
    assert (outcome, told) == (Outcome.CLOSED, [{"text": "hello there"}])
