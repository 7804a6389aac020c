"""OpenAI, or any server with its `/v1/audio/transcriptions`, as a recogniser: one request per segment.

There are no words while somebody speaks: the protocol hears whole recordings. A pause already sends what was
said, so that the final is mostly there, or on its way, when the turn is over.
"""

from __future__ import annotations

import asyncio
import io
import wave
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from engines.base import AsrOptions, EngineBusy, EngineError, EngineFailed, EngineRefused, Transcript
from engines.hosted.http import Http
from engines.hosted.segments import Book, Segment, doubtful, loud_seconds
from engines.hosted.settings import HostedSettings, check_hosted, check_ranges
from engines.hosted.standing import Standing, ended, parsed
from engines.traits import AsrTraits
from media.frame import FRAME_MS, AudioFrame

_RATES = range(8000, 48001)
_PATH = "/v1/audio/transcriptions"
_ANSWER_BYTES = 1_048_576
_SPEECH_SECONDS = 0.06
"""Less loud sound than this holds no word; models of this kind invent some all the same."""
_LONGEST_PROMPT = 800
"""Characters; the services read about 224 tokens."""


@dataclass(frozen=True, slots=True)
class OpenAiAsrSettings(HostedSettings):
    """A recogniser behind OpenAI's transcriptions; also Speaches, vLLM, LocalAI, Groq and the like."""

    url: str = "https://api.openai.com"
    """Without `/v1/audio/transcriptions`."""
    model: str = "gpt-4o-mini-transcribe"
    """As the service names it."""
    language: str = ""
    """Sent in place of the call's language, as two letters; `auto`: none is sent; empty: the call's."""
    hot_words: bool = True
    """Tell the service a call's hot words as its `prompt`."""
    max_streams: int = 500
    """1 to 100,000: streams open at once from this process."""
    max_requests: int = 32
    """1 to 1000: requests on their way at once; keep it below what your account allows."""
    final_seconds: float = 5.0
    """0.05 to 120: from the end of a segment to its final; then the service counts as failed."""
    segment_seconds: float = 120.0
    """1 to 1200: of one segment's sound; a longer one is refused."""

    def __post_init__(self) -> None:
        check_hosted(self, ("http", "https"))
        check_ranges(self, {
            "max_streams": (1, 100_000), "max_requests": (1, 1000), "final_seconds": (0.05, 120),
            "segment_seconds": (1, 1200),
        })  # fmt: skip
        if not self.model:
            raise ValueError("model: is missing; give one of the service's models")


class OpenAiAsr:
    """Serves `Asr`. Belongs to the loop that first uses it."""

    name = "openai"

    def __init__(self, settings: OpenAiAsrSettings) -> None:
        self._settings = settings
        self._standing = Standing(self.name, settings.hold_off_seconds)
        self._http = Http(self.name, settings, self._standing, settings.max_requests)
        self._counts: Counter[str] = Counter()
        self._streams: set[OpenAiStream] = set()
        self._running = 0
        self.traits = AsrTraits(languages=(settings.language or "en-US",), hot_words=settings.hot_words)
        self.data = settings.data
        """Where the sound goes: `node`, `site` or `cloud`."""

    @property
    def down(self) -> str:
        """Why the service is known not to serve, or ""."""
        return self._standing.down

    def stream(self, options: AsrOptions) -> OpenAiStream:
        """See `Asr.stream`. Raises what the service last said while it is known not to serve."""
        settings = self._settings
        if options.sample_rate not in _RATES:
            raise EngineRefused(f"sample rate {options.sample_rate} is out of range: 8000 to 48000")
        if len(self._streams) >= settings.max_streams:
            raise EngineBusy(f"all {settings.max_streams} streams are in use")
        self._standing.check()
        stream = OpenAiStream(self, options, settings.segment_seconds, self._counts, self._streams.discard)
        self._streams.add(stream)
        self._counts["streams_opened"] += 1
        return stream

    async def warm_up(self) -> None:
        """Prove that the service is there and takes our key and model, by a second of silence."""
        second = [AudioFrame(np.zeros(160, np.int16), 8000, n * 160, 0.0) for n in range(50)]
        await self.transcribe(second, AsrOptions(), wait=max(self._settings.final_seconds, 30.0))

    def stats(self) -> dict[str, int | float]:
        """Counters since the start, streams and requests, and whether the service is known not to serve."""
        return {
            **self._counts,
            "streams": len(self._streams),
            "requests_running": self._running,
            "down": int(bool(self.down)),
        }

    async def aclose(self) -> None:
        """Close every stream and connection. Idempotent."""
        for stream in list(self._streams):
            await stream.aclose()
        await self._http.aclose()

    async def transcribe(
        self, frames: Sequence[AudioFrame], options: AsrOptions, wait: float | None = None
    ) -> str:
        """The words of a stretch of sound. Raises `EngineError`."""
        if self._running >= self._settings.max_requests:
            raise EngineBusy(f"all {self._settings.max_requests} requests are in use")
        self._counts["requests"] += 1
        self._running += 1
        try:
            _, body = await self._http.body(
                "POST", _PATH, wait or self._settings.final_seconds, _ANSWER_BYTES,
                data=self._fields(options), files={"file": ("speech.wav", wav(frames), "audio/wav")},
            )  # fmt: skip
        finally:
            self._running -= 1
        told = parsed(body)
        if told is None or not isinstance(told.get("text"), str):
            raise EngineFailed(f"{self.name} answered with what is no transcription")
        return " ".join(str(told["text"]).split())

    def _fields(self, options: AsrOptions) -> dict[str, str]:
        settings = self._settings
        fields = {"model": settings.model, "response_format": "json", "temperature": "0"}
        language = settings.language or options.language.partition("-")[0].lower()
        if language != "auto":
            fields["language"] = language
        if settings.hot_words and options.hot_words:
            fields["prompt"] = ", ".join(options.hot_words)[:_LONGEST_PROMPT]
        return fields


@dataclass(eq=False)
class _Turn(Segment):
    """A segment and the request that hears it."""

    frames: list[AudioFrame] = field(default_factory=list)
    held: list[AudioFrame] = field(default_factory=list)
    """What came in the pause, not heard by the request."""
    paused: bool = False
    task: asyncio.Task[None] | None = None
    text: str | None = None
    """What the request gave; None while it runs or was taken back."""


class OpenAiStream:
    """Serves `AsrStream`."""

    def __init__(
        self,
        asr: OpenAiAsr,
        options: AsrOptions,
        longest: float,
        counts: Counter[str],
        forget: Callable[[OpenAiStream], None],
    ) -> None:
        self._asr = asr
        self._options = options
        self._longest = longest
        self._forget = forget
        self._book = Book(counts)
        self._open: _Turn | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, segment: int) -> None:
        """Open a segment, ending one still open. Too many without their finals: `results` raises."""
        self.end()
        turn = _Turn(segment)
        if not self._closed and self._book.open(turn):
            self._open = turn

    def push(self, frame: AudioFrame) -> None:
        """See `AsrStream.push`."""
        if frame.sample_rate != self._options.sample_rate:
            raise ValueError(f"frame of {frame.sample_rate} Hz on a stream of {self._options.sample_rate} Hz")
        turn = self._open
        if turn is None or turn.settled:
            return
        (turn.held if turn.paused else turn.frames).append(frame)
        if (len(turn.frames) + len(turn.held)) * FRAME_MS > self._longest * 1000:
            self._take_back(turn)
            turn.frames.clear()
            self._book.fail(turn, EngineRefused(f"a segment is longer than {self._longest:g} s"))
        elif turn.paused and doubtful(turn.held):
            self.resume()

    def pause(self) -> None:
        """See `AsrStream.pause`: what was said so far is sent."""
        turn = self._open
        if turn is not None and not turn.paused and not turn.settled:
            turn.paused = True
            self._ask(turn)

    def resume(self) -> None:
        """See `AsrStream.resume`."""
        turn = self._open
        if turn is not None and turn.paused:
            turn.paused = False
            turn.frames.extend(turn.held)
            turn.held.clear()
            self._take_back(turn)

    def end(self) -> None:
        """See `AsrStream.end`."""
        turn, self._open = self._open, None
        if turn is None or turn.settled:
            return
        turn.ended = True
        if turn.paused and turn.text is not None:
            self._conclude(turn)
        elif turn.task is None:
            self._ask(turn)

    def cancel(self) -> None:
        """See `AsrStream.cancel`."""
        turn, self._open = self._open, None
        if turn is not None:
            self._take_back(turn)
            self._book.cancel(turn)

    def results(self) -> AsyncIterator[Transcript]:
        """See `AsrStream.results`. Raises an error that cost a segment its final, once; may be read again."""
        return self._book.results()

    async def aclose(self) -> None:
        """See `AsrStream.aclose`."""
        if self._closed:
            return
        self._closed = True
        self._book.close()
        self._forget(self)
        for task in list(self._tasks):
            await ended(task)

    def _ask(self, turn: _Turn) -> None:
        self._take_back(turn)
        if loud_seconds(turn.frames) < _SPEECH_SECONDS:
            turn.text = ""
            if turn.ended:
                self._conclude(turn)
            return
        turn.task = asyncio.get_running_loop().create_task(self._hear(turn), name=f"openai-{turn.number}")
        self._tasks.add(turn.task)
        turn.task.add_done_callback(self._tasks.discard)

    def _take_back(self, turn: _Turn) -> None:
        task, turn.task, turn.text = turn.task, None, None
        if task is not None:
            task.cancel()

    async def _hear(self, turn: _Turn) -> None:
        try:
            text = await self._asr.transcribe(turn.frames, self._options)
        except EngineError as error:
            if turn.task is not asyncio.current_task():
                return
            turn.task = None
            # An early request that failed costs nothing yet: the end asks again.
            if turn.ended:
                self._book.fail(turn, error)
            return
        if turn.task is not asyncio.current_task():
            return
        turn.text = text
        if turn.ended:
            self._conclude(turn)
        else:
            self._book.show(turn, Transcript(turn.number, text, False, stable_chars=len(text), early=True))

    def _conclude(self, turn: _Turn) -> None:
        text = turn.text or ""
        turn.frames.clear()
        self._book.conclude(turn, (Transcript(turn.number, text, True, stable_chars=len(text)),))


def wav(frames: Sequence[AudioFrame]) -> bytes:
    """The sound as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(frames[0].sample_rate if frames else 8000)
        out.writeframes(b"".join(frame.pcm.astype("<i2", copy=False).tobytes() for frame in frames))
    return file.getvalue()
