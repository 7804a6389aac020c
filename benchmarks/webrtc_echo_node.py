"""The smallest program that echoes browsers, over our own leg or over the library's; a process of its own.

It talks over its standard streams: `{"offer": SDP}` in, `{"answer": SDP}` out; `{"lag": true}` in, how late
its event loop was since the last time out, in milliseconds; `{"quit": true}` ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable

import structlog

from media.frame import AudioFrame, Voice
from media.legs.base import Leg, LegEvent, Parties
from media.legs.webrtc import Taken
from media.legs.webrtc_endpoint import WebRtcEndpoint
from media.legs.webrtc_settings import WebRtcSettings
from media.vad import VadMode, VadSettings, open_detector

Answer = Callable[[str], Awaitable[str]]


class _Echo:
    """Says what it hears."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        self._leg.playout.write(frame.pcm, 1)

    def notice(self, event: LegEvent) -> None:
        pass


async def ours(vad: str, calls: int) -> Answer:
    """Our leg: every frame judged for voice, and written back through the playout."""
    answering: set[asyncio.Task[None]] = set()

    def take(leg: Leg) -> None:
        leg.attach(_Echo(leg))
        task = asyncio.get_running_loop().create_task(leg.answer())
        answering.add(task)
        task.add_done_callback(answering.discard)

    settings = WebRtcSettings(max_calls=calls, half_open=min(1000, calls))
    detector = open_detector(VadSettings(VadMode(vad)))
    endpoint = WebRtcEndpoint(settings, take, detector, asyncio.get_running_loop())
    await endpoint.start()

    async def answer(sdp: str) -> str:
        decided = await (await endpoint.offer(sdp, Parties("load", "echo"))).decided
        assert isinstance(decided, Taken), decided
        return decided.answer

    return answer


async def library() -> Answer:
    """aiortc as its own examples have it: a relay of the track that came, sent back."""
    from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
    from aiortc.contrib.media import MediaRelay

    relay = MediaRelay()
    peers: list[RTCPeerConnection] = []

    async def answer(sdp: str) -> str:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peers.append(peer)

        @peer.on("track")  # type: ignore[untyped-decorator]
        def on_track(track: MediaStreamTrack) -> None:
            peer.addTrack(relay.subscribe(track))

        await peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return str(peer.localDescription.sdp)

    return answer


async def run(options: argparse.Namespace) -> None:
    """Serve until told to quit."""
    answer = await (library() if options.arm == "library" else ours(options.vad, options.calls))
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    lag: list[float] = []
    probe = asyncio.ensure_future(_probe(lag))
    _tell({"ready": True})
    while line := await reader.readline():
        asked = json.loads(line)
        if "offer" in asked:
            _tell({"answer": await answer(asked["offer"])})
        elif "lag" in asked:
            _tell({"lag": lag})
            lag.clear()
        else:
            break
    probe.cancel()
    # What the library leaves running would hold the process.
    os._exit(0)


async def _probe(lag: list[float]) -> None:
    """How much later than asked for the loop comes round."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while loop.is_running():
        due = max(due, loop.time()) + 0.01
        await asyncio.sleep(due - loop.time())
        lag.append(round((loop.time() - due) * 1000, 3))


def _tell(message: object) -> None:
    _answers.write(json.dumps(message) + "\n")
    _answers.flush()


_answers = sys.stdout


def main() -> None:
    global _answers
    parser = argparse.ArgumentParser(prog="python -m benchmarks.webrtc_echo_node", description=__doc__)
    parser.add_argument("--arm", choices=["ours", "library"], default="ours")
    parser.add_argument("--vad", choices=[str(mode) for mode in VadMode], default="both")
    parser.add_argument("--calls", type=int, default=200)
    # Our answers alone on standard output; what others write there goes to standard error.
    _answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
