"""Sounds from the web: fetched, decoded apart, kept; and sockets, judged before they are dialled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.audio.files import AudioFiles
from gateway.audio.outbound import Guard
from gateway.errors import AppFailed, FetchRefused, Unreachable
from gateway.twiml.client import AppClient, Visit, trusting
from gateway.twiml.settings import TwimlSettings
from gateway.twiml.sockets import judge
from gateway.twiml.sounds import Sounds
from media.frame import Pcm
from media.wav import read_mono
from tests.fakes.twilio_app import Said, ScriptedApp
from tests.virtual_time import run_virtual

SPEECH = Path(__file__).resolve().parents[2] / "data" / "speech" / "vm-prev.wav"
URL = "https://app.example.com/a.wav"


def fetch(said: Said, *urls: str, rate: int = 8000, most: int = 1_000_000) -> tuple[ScriptedApp, list[Pcm]]:
    """What is heard of each address, with decoders of its own."""
    app = ScriptedApp({"/a.wav": said, "/moved": Said(status=302, headers=(("Location", "/a.wav"),))})

    async def main() -> list[Pcm]:
        files = AudioFiles()
        sounds = Sounds(AppClient(TwimlSettings(), app, app), files, Visit(), most_octets=most)
        try:
            return [await sounds.pcm(url, rate) for url in urls or (URL,)]
        finally:
            await files.aclose()

    return app, asyncio.run(main())


def wav() -> Said:
    return Said(SPEECH.read_bytes(), content_type="audio/x-wav")


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_a_sound_is_heard_at_the_legs_rate(rate: int) -> None:
    _, (pcm,) = fetch(wav(), rate=rate)
    assert abs(len(pcm) - len(read_mono(SPEECH, rate))) < rate / 50
    assert abs(pcm).max() > 3000


def test_a_sound_is_fetched_once_a_call_and_redirects_are_followed() -> None:
    app, (first, second, moved) = fetch(wav(), URL, URL, "https://app.example.com/moved#rc=2")
    assert [one.path for one in app.asked] == ["/a.wav", "/moved", "/a.wav"]
    assert (first == second).all() and (first == moved).all()
    assert {one.method for one in app.asked} == {"GET"}


@pytest.mark.parametrize(
    ("said", "most", "told"),
    [
        (Said(status=404), 10**6, "answered 404"),
        (wav(), 1000, "larger than 1000 octets"),
        (Said("no sound at all", content_type="audio/mpeg"), 10**6, "a.wav"),
        (Said(b""), 10**6, "a.wav"),
        (Said(error=Unreachable("no connection to app.example.com")), 10**6, "no connection"),
        (Said(error=FetchRefused("app.example.com is not a public address")), 10**6, "not a public"),
    ],
)
def test_a_sound_that_cannot_be_had_says_why(said: Said, most: int, told: str) -> None:
    with pytest.raises(AppFailed, match=told):
        fetch(said, most=most)


def judged(url: str, *found: str, trusted: Sequence[str] = (), allow: Sequence[str] = ()) -> tuple[str, ...]:
    async def lookup(host: str, port: int) -> Sequence[str]:
        if not found:
            raise OSError("unknown")
        return found

    return run_virtual(judge(url, trusting(trusted), Guard(allow), lookup))


def test_a_public_socket_is_dialled_with_tls() -> None:
    assert judged("wss://bot.example.com/x", "8.8.8.8") == ()
    assert judged("wss://bot.example.com/x", "10.1.2.3", allow=["10.1.0.0/16"]) == ()


def test_the_operators_host_is_dialled_wherever_it_is() -> None:
    assert judged("ws://10.0.0.7:9000/x", trusted=["http://10.0.0.7:8080/voice"]) == ("10.0.0.7",)


@pytest.mark.parametrize(
    ("url", "found", "told"),
    [
        ("ws://bot.example.com/x", ["8.8.8.8"], "only wss"),
        ("wss://bot.example.com/x", ["10.0.0.1"], "not a public address"),
        ("wss://bot.example.com/x", ["8.8.8.8", "127.0.0.1"], "not a public address"),
        ("wss://169.254.169.254/x", ["169.254.169.254"], "not a public address"),
        ("wss://nobody.example/x", [], "no host called"),
    ],
)
def test_what_leads_inside_is_not_dialled(url: str, found: list[str], told: str) -> None:
    with pytest.raises(AppFailed, match=told):
        judged(url, *found)
