"""What the line costs in words: prompts spoken over live calls against the same engine fed the same files.

Live: SIPp speaks each prompt as µ-law RTP, the gateway hears it through its jitter buffer, voice detector
and segmenter, and the words are taken from the call's record. Offline: the same engine gets the same µ-law
samples of each prompt as one segment. The difference is what the path in between loses.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence

from benchmarks.arguments import parser
from benchmarks.conversations import Conversation, hold
from benchmarks.gateway import GatewayProcess
from benchmarks.report import Report
from benchmarks.turn_latency import tracks
from benchmarks.wer import word_errors
from callers.g711 import Pcm, ulaw_decode, ulaw_encode
from callers.speech import RATE, Prompt, load_prompts
from engines import registry
from engines.base import Asr, AsrOptions, Transcript
from media.frame import FRAME_MS, AudioFrame

_WORSE_BY = 1.5
_AT_MOST = 6.0
_FRAME = RATE * FRAME_MS // 1000
_FINAL_LIMIT = 30.0


def on_the_line(pcm: Pcm) -> Pcm:
    """What remains of samples after µ-law."""
    return ulaw_decode(ulaw_encode(pcm))


async def offline(engine: str, prompts: Sequence[Prompt]) -> list[str]:
    """The engine's words for each prompt, fed as one whole segment."""
    asr = registry.asr(engine)
    try:
        await asr.warm_up()
        return [await _recognise(asr, on_the_line(prompt.pcm)) for prompt in prompts]
    finally:
        await asr.aclose()


async def _recognise(asr: Asr, pcm: Pcm) -> str:
    stream = asr.stream(AsrOptions(sample_rate=RATE, interim=False))
    try:
        stream.start(1)
        now = asyncio.get_running_loop().time()
        for pts in range(0, len(pcm) - _FRAME + 1, _FRAME):
            stream.push(AudioFrame(pcm[pts : pts + _FRAME], RATE, pts, now))
        stream.end()
        final = await asyncio.wait_for(_final(stream.results()), _FINAL_LIMIT)
        return final.text
    finally:
        await stream.aclose()


async def _final(results: AsyncIterator[Transcript]) -> Transcript:
    async for transcript in results:
        if transcript.is_final:
            return transcript
    raise RuntimeError("the engine closed its stream without a final")


def run(options: argparse.Namespace) -> int:
    """Every prompt over calls of ten, then every prompt from its file."""
    report = Report("live_wer", ("arm", "prompts", "words", "errors", "WER %"))
    prompts = load_prompts(options.speech)[: options.prompts]
    with GatewayProcess({"asr": {"engine": options.engine}}) as gateway:
        conversations = [
            conversation
            for at in range(0, len(prompts), options.each * options.calls)
            for conversation in _calls(gateway, prompts[at : at + options.each * options.calls], options.each)
        ]
    heard = asyncio.run(offline(options.engine, prompts))
    live = [
        (" ".join(spoken.prompt.text for spoken in one.track.spoken), one.said()) for one in conversations
    ]
    live_rate = _add(report, "live", live, len(prompts))
    file_rate = _add(report, "offline", [(p.text, text) for p, text in zip(prompts, heard, strict=True)])
    report.bar("live WER over offline WER", live_rate - file_rate, _WORSE_BY, "points")
    report.bar("live WER", live_rate, _AT_MOST, "%")
    report.details["live"] = [pair for pair in live if word_errors(*pair)[0]]
    return report.finish()


def _calls(gateway: GatewayProcess, prompts: Sequence[Prompt], each: int) -> list[Conversation]:
    parts = [prompts[at : at + each] for at in range(0, len(prompts), each)]
    return hold(gateway, [track for part in parts for track in tracks(part, 1, len(part))])


def _add(report: Report, arm: str, pairs: Sequence[tuple[str, str]], prompts: int = 0) -> float:
    counted = [word_errors(reference, heard) for reference, heard in pairs]
    errors = sum(wrong for wrong, _ in counted)
    words = sum(spoken for _, spoken in counted)
    report.row(arm, prompts or len(pairs), words, errors, 100 * errors / words)
    return 100.0 * errors / words


def main() -> int:
    arguments = parser("live_wer", __doc__ or "")
    arguments.add_argument("--prompts", type=int, default=1000, help="at most so many prompts")
    arguments.add_argument("--each", type=int, default=6, help="prompts per call")
    arguments.add_argument("--calls", type=int, default=3, help="calls at the same time")
    arguments.add_argument("--engine", default="moonshine", help="recogniser")
    return run(arguments.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
