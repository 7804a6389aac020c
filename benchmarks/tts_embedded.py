"""How soon, how loud and how intelligibly the embedded voice speaks.

    python -m benchmarks.tts_embedded [--repeat 5] [--no-words]

Prints the load time; the time to the first audio of short and long sentences, one call and several at once;
how long the event loop was held up meanwhile; level and silence of the output; and the word error rate of the
embedded recogniser on the speech after 8 kHz and mu-law, which says whether the reading is understood.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from engines.base import TtsOptions
from engines.embedded.hibari import HibariTts
from engines.loudness import Samples, active_level, speech_bounds
from engines.text import speakable
from media.frame import Pcm
from media.resample import resample

LATENCY = {
    "2 words": "Hello there.",
    "10 words": "Your order will arrive on Tuesday between nine and eleven.",
    "30 words": "Thank you for calling Acme support, we are glad to help you with your order today, and if "
    "you would like to hear this again, press star, or stay on the line.",
}
SENTENCES = """\
Your total is $45.20, and the payment is due on May 3rd.
That comes to €1,250.50 including tax.
The appointment is on 2026-11-21 at 14:30.
We are open from 9am to 5pm, Monday to Friday.
Please call us back at 1-800-555-0199.
Our office number in Berlin is +49 30 1234567.
Your confirmation code is A-4492.
The reference is 7F3K, please keep it.
Your PIN is 0042.
The flight leaves at 6:05 PM from gate 12.
About 45% of our customers choose this plan.
The package weighs 5kg and travels 120 km.
Dr. Smith can see you on the 21st of June.
Mrs. Jones lives at 12 Elm St. near the park.
Please send an email to support@example.com.
You can find it on www.example.com.
The first invoice, from 2019, is still open.
It was founded in 1905 and sold in 2005.
Take 1/2 of a tablet every 4 hours.
We have 3 rooms left for $99 per night.
The meeting was moved from 11/21/2026 to 12/02/2026.
Press 1 for sales, 2 for support, or stay on the line.
I'm sorry, I did not catch that. Could you say it again?
How can I help you today?
Let me check that for you, one moment please.
Your order will arrive on Tuesday between nine and eleven.
The weather tomorrow will be sunny with some clouds in the evening.
Would you like me to transfer you to a person?
Thank you for calling, and have a wonderful day.
Your balance is $1,204.17, and your limit is $5,000.
The temperature will reach 25°C by noon.
There are 1,500 people waiting in 3 cities.
Can you spell your last name for me?
I have booked a table for 4 people at 7:30 PM.
The password must have at least 8 characters.
We will refund $12.99 within 3-5 business days.
Your ticket number is 88213.
The train on platform 9 is 15 minutes late.
It's the 2nd door on the left, right after the elevator.
Is there anything else I can do for you?""".splitlines()


@dataclass
class Words:
    """Running count of a word error rate."""

    words: int = 0
    errors: int = 0
    wrong: list[tuple[str, str]] = field(default_factory=list)

    def add(self, reference: str, heard: str) -> None:
        """Compare with what was heard, numbers read as amounts or by digit, whichever fits."""
        wanted = _plain(speakable(reference))
        by_digit = re.sub(r"\d", lambda m: f" {m.group()} ", heard)
        guesses = [_plain(speakable(text)) for text in (heard, by_digit, heard.replace(",", " "))]
        errors = min(_distance(wanted, guess) for guess in guesses)
        self.words += len(wanted)
        self.errors += errors
        if errors:
            self.wrong.append((reference, heard))


async def main(repeat: int, words: bool) -> None:
    began = time.perf_counter()
    tts = HibariTts()
    await tts.warm_up()
    print(f"load and warm-up: {time.perf_counter() - began:.2f} s")
    await _latencies(tts, repeat)
    spoken = [(text, await _say(tts, text)) for text in SENTENCES]
    _sound([pcm for _, pcm in spoken])
    if words:
        _understood(spoken)
    await tts.aclose()


async def _latencies(tts: HibariTts, repeat: int) -> None:
    print(f"\n{'first audio, ms':>28} {'p50':>7} {'p95':>7} {'max':>7}   all audio, ms p50")
    for name, text in LATENCY.items():
        for calls in (1, 8, 20):
            stalls: list[float] = []
            watch = asyncio.create_task(_watch(stalls))
            rounds = max(3, 20 * repeat // calls)
            timings: list[tuple[float, float]] = []
            for _ in range(rounds):
                timings += await asyncio.gather(*(_time(tts, text) for _ in range(calls)))
            watch.cancel()
            first, whole = (np.array(t) * 1000 for t in zip(*timings, strict=True))
            print(
                f"{name:>14} {calls:>4} at once {np.percentile(first, 50):7.1f} "
                f"{np.percentile(first, 95):7.1f} {first.max():7.1f}   {np.percentile(whole, 50):7.1f}"
                f"   loop held up at most {max(stalls) * 1000:.1f} ms"
            )


async def _time(tts: HibariTts, text: str) -> tuple[float, float]:
    began, first = time.perf_counter(), 0.0
    async for _ in tts.speak(text, TtsOptions()):
        first = first or time.perf_counter() - began
    return first, time.perf_counter() - began


async def _watch(stalls: list[float]) -> None:
    """How much later than asked the loop wakes up."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.002)
        stalls.append(time.perf_counter() - began - 0.002)


async def _say(tts: HibariTts, text: str) -> Pcm:
    return np.concatenate([chunk.pcm async for chunk in tts.speak(text, TtsOptions())])


def _sound(spoken: list[Pcm]) -> None:
    levels, leads, tails, peaks = [], [], [], []
    for pcm in spoken:
        wave: Samples = (pcm / 32767).astype(np.float32)
        start, end = speech_bounds(wave, 8000, -50)
        levels.append(active_level(wave, 8000))
        leads.append(start / 8)
        tails.append((len(pcm) - end) / 8)
        peaks.append(int(np.abs(pcm).max()))
    print(f"\nactive level: median {np.median(levels):.1f} dBFS, {min(levels):.1f} to {max(levels):.1f}")
    print(
        f"silence: lead median {np.median(leads):.0f} ms (max {max(leads):.0f}), "
        f"tail median {np.median(tails):.0f} ms"
    )
    print(f"peak: {max(peaks)} of 32767")


def _understood(spoken: list[tuple[str, Pcm]]) -> None:
    listen = _listener()
    count = Words()
    for text, pcm in spoken:
        count.add(text, listen(_mu_law(pcm)))
    exact = 100 * (1 - len(count.wrong) / len(spoken))
    print(
        f"\nword error rate after mu-law: {100 * count.errors / count.words:.1f} % of {count.words} words, "
        f"{exact:.0f} % of the sentences exact"
    )
    for said, heard in count.wrong:
        print(f"   said  {said}\n   heard {heard}")


def _listener() -> Callable[[Pcm], str]:
    from engines.embedded.moonshine_model import MoonshineModel, find_model
    from engines.embedded.moonshine_tokens import Vocabulary

    folder = find_model()
    model = MoonshineModel(folder, Vocabulary(folder / "tokenizer.bin"))

    def listen(pcm: Pcm) -> str:
        wave = resample(pcm, 8000, 16000) / np.float32(32768)
        return model.decode(np.pad(wave, 4000).astype(np.float32)).text

    return listen


def _mu_law(pcm: Pcm) -> Pcm:
    """There and back through 8 bits (ITU-T G.711, the continuous curve)."""
    wave = pcm / 32768
    code = np.sign(wave) * np.log1p(255 * np.abs(wave)) / np.log(256)
    code = np.rint(code * 127) / 127
    back: Pcm = (np.sign(code) * (np.exp(np.abs(code) * np.log(256)) - 1) / 255 * 32767).astype(np.int16)
    return back


def _plain(text: str) -> list[str]:
    text = text.lower().replace("o'clock", "oclock").replace("-", " ")
    return re.sub(r"[^a-z ]", "", re.sub(r"[^a-z']", " ", text).replace("'", "")).split()


def _distance(wanted: list[str], heard: list[str]) -> int:
    """Fewest words to put in, take out or exchange."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(wanted, start=1):
        left, row[0] = row[0], i
        for j, other in enumerate(heard, start=1):
            left, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, left + (word != other))
    return row[-1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5, help="more rounds, steadier percentiles")
    parser.add_argument("--no-words", action="store_true", help="leave the recogniser out")
    options = parser.parse_args()
    asyncio.run(main(options.repeat, not options.no_words))
