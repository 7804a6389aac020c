"""What a caller heard of a sentence that was cut, for voices that do not time their words: words off.

The embedded voice tells when each word ends. Its sentences are given to the tracker of what was heard twice:
with the words' times, and without them, so that it must find the words in the sound. Each is cut at random
moments, once with the sentence's sound all there, and once with as much of it as a voice has made that speaks
twice as fast as a person. The count by letters alone, which is what most gateways do, stands beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Iterator

import numpy as np

from benchmarks.arguments import parser
from benchmarks.report import Report
from callers.speech import load_prompts
from engines.base import SpeechChunk, TtsOptions
from engines.embedded.hibari import HibariTts
from gateway.calls.heard import HeardTracker
from media.frame import Pcm

_RATE = 8000
_SPEEDS = (0.9, 1.0, 1.2)
_MADE_FASTER = 2.0
"""Times the speed of talking at which a voice makes its sound; the embedded one is far quicker."""
_FIRST_CHUNK = 0.25
_BARS = 1.0
_SENTENCES = (
    "Your order number 48213 ships on May 3rd, and it should arrive within five working days.",
    "The total is $42.50, including tax; shall I charge the card that ends in 4417?",
    "Good morning, thanks for calling the practice. How can I help you today?",
    "I have found three appointments: Monday at 9:30, Tuesday at 14:00, and Friday at a quarter past four.",
    "Please hold the line while I connect you to our service desk, which is open from 8 to 18 on weekdays.",
    "If you would like to hear these options again, press star; to speak with a person, press zero.",
    "Well, the warranty covers parts and labour for two years, but not damage from water, fire, or misuse.",
    "Call us back at +49 30 1234567 or write to help@example.com any time.",
)


def run(options: argparse.Namespace) -> int:
    """Speak, cut, count."""
    texts = [*_SENTENCES, *(" ".join(prompt.text.split()) for prompt in load_prompts(options.speech))]
    errors = asyncio.run(_measure(texts, options.cuts))
    report = Report("heard_words", ("words found by", "cuts", "mean", "p50", "p95", "p99", "worst"))
    for name, off in errors.items():
        spread = [float(np.percentile(off, q)) for q in (50, 95, 99)]
        report.row(name, len(off), round(float(np.mean(off)), 2), *spread, max(off))
        if name != "letters":
            report.bar(f"words off at p95, {name}", spread[1], _BARS, "words")
    return report.finish()


async def _measure(texts: list[str], cuts: int) -> dict[str, list[int]]:
    """Words off, per way to find them."""
    tts, dice = HibariTts(), random.Random(1)
    errors: dict[str, list[int]] = {"the whole sound": [], "sound that is still made": [], "letters": []}
    await tts.warm_up()
    try:
        for speed in _SPEEDS:
            before: list[SpeechChunk] = []
            for text in texts:
                chunks = [chunk async for chunk in tts.speak(text, TtsOptions(_RATE, speed=speed))]
                if not chunks:
                    continue
                for at in _moments(chunks, cuts, dice):
                    true = _heard(_tracked(text, chunks, timed=True), at)
                    beyond = round((_FIRST_CHUNK + _MADE_FASTER * at) * _RATE)
                    made = _tracked(text, chunks, timed=False, before=before, until=beyond)
                    lead = sum(len(chunk.pcm) for chunk in before)
                    errors["the whole sound"].append(abs(_heard(_tracked(text, chunks), at) - true))
                    errors["sound that is still made"].append(
                        abs(_heard(made, at + lead / _RATE) - len(_PREFACE.split()) * bool(before) - true)
                    )
                    errors["letters"].append(abs(_by_letters(text, chunks, at) - true))
                before = before or [c async for c in tts.speak(_PREFACE, TtsOptions(_RATE, speed=speed))]
    finally:
        await tts.aclose()
    return errors


_PREFACE = "Thank you for waiting, I have it here now."
"""What the voice said before: its pace is known from it."""


def _moments(chunks: list[SpeechChunk], cuts: int, dice: random.Random) -> Iterator[float]:
    seconds = sum(len(chunk.pcm) for chunk in chunks) / _RATE
    return (dice.uniform(0.0, seconds) for _ in range(cuts))


def _tracked(
    text: str,
    chunks: list[SpeechChunk],
    *,
    timed: bool = False,
    before: list[SpeechChunk] | None = None,
    until: int | None = None,
) -> HeardTracker:
    """A tracker that was told of the sentence; `until`: so many samples of it, and no end."""
    tracker = HeardTracker(_RATE)
    if before:
        tracker.begin(_PREFACE, 0)
        for chunk in before:
            tracker.wrote(chunk.pcm)
        tracker.end()
    tracker.begin(text, int(bool(before)))
    left = until
    for chunk in chunks:
        if timed:
            tracker.words(chunk.words)
        pcm: Pcm = chunk.pcm if left is None else chunk.pcm[:left]
        tracker.wrote(pcm)
        left = None if left is None else left - len(pcm)
    if not left and until is None or (left is not None and left > 0):
        tracker.end()
    return tracker


def _heard(tracker: HeardTracker, seconds: float) -> int:
    return len(tracker.at(round(seconds * _RATE)).text.split())


def _by_letters(text: str, chunks: list[SpeechChunk], seconds: float) -> int:
    letters = len(text) * seconds * _RATE / sum(len(chunk.pcm) for chunk in chunks)
    ends = np.cumsum([len(word) + 1 for word in text.split()]) - 1
    return int(np.searchsorted(ends, letters, side="right"))


def main() -> int:
    arguments = parser("heard_words", __doc__ or "")
    arguments.add_argument("--cuts", type=int, default=10, help="cuts of each sentence (default: 10)")
    return run(arguments.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
