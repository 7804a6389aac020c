"""A Riva server as a recogniser: `Asr` over one connection that carries every call."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Literal

from engines.base import AsrOptions, EngineBusy, EngineRefused, Transcript
from engines.riva.client_link import Link, LinkSettings, good
from engines.riva.client_utterance import Course, Patience, Utterance
from engines.riva.dialect import BY_CALLER, DIALECT, SEGMENTS, VERSION
from engines.riva.wire import Message, asr_grpc, asr_pb2, audio_pb2
from engines.transcript_mail import TranscriptMail
from media import g711
from media.frame import AudioFrame

_UNSETTLED = 16
"""Segments of one stream that may wait for their finals."""
_RATES = range(8000, 48001)
_ROUNDING = 0.001
"""Seconds by which summed frames may fall short of the sound that they hold."""
_ENCODINGS = {
    "linear": (audio_pb2.LINEAR_PCM, lambda frame: frame.pcm.astype("<i2", copy=False).tobytes()),
    "mulaw": (audio_pb2.MULAW, lambda frame: g711.to_ulaw(frame.pcm)),
    "alaw": (audio_pb2.ALAW, lambda frame: g711.to_alaw(frame.pcm)),
}


@dataclass(frozen=True, slots=True)
class RivaAsrSettings(LinkSettings):
    """A recogniser behind Riva's gRPC: an Offhook worker, a Riva server or a NIM."""

    address: str = "127.0.0.1:2233"
    """`host:port`; 2233 is the port of `offhook asr`."""
    model: str = ""
    """Name of the server's model; empty: the server chooses."""
    language: str = ""
    """Sent in place of the call's language, for servers that name theirs otherwise; empty: the call's."""
    encoding: Literal["linear", "mulaw", "alaw"] = "linear"
    """How sound is sent. `mulaw` or `alaw` halve the traffic, without loss where the trunk speaks it too."""
    message_ms: int = 20
    """20 to 500: sound of one message. 40 halve the work; pauses and ends of speech are sent at once."""
    punctuation: bool = True
    """Ask for punctuation and capitals."""
    word_times: bool = False
    """Ask for the times of words; Offhook workers that have them are asked anyway."""
    boost: float = 20.0
    """0 to 100: how much hot words are raised where the call does not say, by servers that want a figure;
    Riva recommends 20 to 100. Offhook's workers are left to their own."""
    max_streams: int = 1000
    """1 to 100,000: streams open at once from this process."""
    first_seconds: float = 4.0
    """0 (never) or 0.1 to 60: from speech to the first answer; then the server counts as failed."""
    final_seconds: float = 1.5
    """0.05 to 60: from the end of a segment to its final; then the server counts as failed."""
    unsent_seconds: float = 60.0
    """1 to 600: sound that waits for the connection; then the server counts as failed."""

    def __post_init__(self) -> None:
        # Not super(): the class made for slots is another one than the class that super() would look for.
        LinkSettings.__post_init__(self)
        if self.encoding not in _ENCODINGS:
            raise ValueError(f"encoding: give one of {', '.join(_ENCODINGS)}")
        ranges: dict[str, tuple[float, float]] = {
            "boost": (0, 100), "max_streams": (1, 100_000), "final_seconds": (0.05, 60),
            "unsent_seconds": (1, 600), "message_ms": (20, 500),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: give {low:g} to {high:g}")
        if self.first_seconds and not 0.1 <= self.first_seconds <= 60:
            raise ValueError("first_seconds: give 0 for never, or 0.1 to 60")


class RivaAsr:
    """Serves `Asr`. Belongs to the loop that first uses it."""

    name = "riva"

    def __init__(self, settings: RivaAsrSettings) -> None:
        self._settings = settings
        self._link = Link(settings)
        self._counts: Counter[str] = Counter()
        self._streams: set[RivaStream] = set()
        self._told: asyncio.Task[Mapping[str, str]] | None = None
        self._told_at = 0

    def stream(self, options: AsrOptions) -> RivaStream:
        """See `Asr.stream`. Raises `EngineFailed` while the server is known to be down."""
        if options.sample_rate not in _RATES:
            raise EngineRefused(f"sample rate {options.sample_rate} is out of range: 8000 to 48000")
        if len(self._streams) >= self._settings.max_streams:
            raise EngineBusy(f"all {self._settings.max_streams} streams are in use")
        self._link.check()
        stream = RivaStream(self, options)
        self._streams.add(stream)
        self._counts["streams_opened"] += 1
        return stream

    async def warm_up(self) -> None:
        """Wait for the server and learn what it can. Raises `EngineError` when it does not come up."""
        await self._ask(self._settings.start_seconds)

    def stats(self) -> dict[str, int | float]:
        """Counters since the start, streams open, and whether the server is known to be down."""
        return {**self._counts, "streams": len(self._streams), "down": int(bool(self._link.down))}

    async def aclose(self) -> None:
        """Close every stream and the connection. Idempotent."""
        for stream in list(self._streams):
            await stream.aclose()
        if self._told is not None:
            self._told.cancel()
            await asyncio.gather(self._told, return_exceptions=True)
        await self._link.aclose()

    @property
    def down(self) -> str:
        """Why the server is known not to serve, or ""."""
        return self._link.down

    async def course(self, options: AsrOptions) -> Course:
        """How to make the calls of a stream, now that the server's abilities are known."""
        told = await self._ask(self._settings.connect_seconds)
        by_caller = told.get(DIALECT) == VERSION
        encoding, encode = _ENCODINGS[self._settings.encoding]

        def begin() -> object:
            stub = asr_grpc.RivaSpeechRecognitionStub(self._link.check())
            self._counts["calls"] += 1
            return stub.StreamingRecognize(metadata=self._link.metadata)

        config = self._config(options, told, by_caller)
        config.encoding = encoding
        return Course(
            begin=begin,
            config=asr_pb2.StreamingRecognitionConfig(config=config, interim_results=options.interim),
            by_caller=by_caller,
            interim=options.interim,
            encode=encode,
            error=self._link.error,
            patience=self.patience(options),
        )

    def patience(self, options: AsrOptions) -> Patience:
        """The deadlines of a stream's segments."""
        settings = self._settings
        first = settings.first_seconds if options.interim else 0.0
        gather = settings.message_ms / 1000 - _ROUNDING
        return Patience(first, settings.final_seconds, settings.unsent_seconds, gather)

    def forget(self, stream: RivaStream) -> None:
        """The stream is closed."""
        self._streams.discard(stream)

    @property
    def counts(self) -> Counter[str]:
        """Counters, for the streams."""
        return self._counts

    async def _ask(self, patience: float) -> Mapping[str, str]:
        """What the server says of itself; asked once, and again after a failure."""
        stale = self._told_at != self._link.falls
        if self._told is None or (self._told.done() and (stale or not good(self._told))):
            self._told_at = self._link.falls
            self._told = asyncio.get_running_loop().create_task(self._parameters(patience))
            self._told.add_done_callback(good)
        return await asyncio.shield(self._told)

    async def _parameters(self, patience: float) -> Mapping[str, str]:
        stub = asr_grpc.RivaSpeechRecognitionStub(self._link.open())
        request = asr_pb2.RivaSpeechRecognitionConfigRequest(model_name=self._settings.model)
        try:
            answer = await self._link.ask(stub.GetRivaSpeechRecognitionConfig, request, patience)
        except EngineRefused:
            return {}  # an older server: it serves, but does not tell
        return dict(answer.model_config[0].parameters) if answer.model_config else {}

    def _config(self, options: AsrOptions, told: Mapping[str, str], ours: bool) -> Message:
        """`told`: what a server of ours can; another one is asked for what the settings say."""
        settings = self._settings
        config = asr_pb2.RecognitionConfig(
            sample_rate_hertz=options.sample_rate,
            language_code=settings.language or options.language,
            max_alternatives=1,
            audio_channel_count=1,
            model=settings.model,
            enable_automatic_punctuation=settings.punctuation
            and told.get("automatic_punctuation", "true") == "true",
            enable_word_time_offsets=settings.word_times or (ours and told["word_time_offsets"] == "true"),
        )
        if ours:
            config.custom_configuration[SEGMENTS] = BY_CALLER
        if not ours or told["speech_contexts"] == "true":
            boosts = options.boosts or ((0.0 if ours else settings.boost),) * len(options.hot_words)
            for word, boost in zip(options.hot_words, boosts, strict=True):
                config.speech_contexts.add(phrases=[word], boost=boost)
        return config


class RivaStream:
    """Serves `AsrStream`: each segment is a call of its own, so that a failure costs one segment only."""

    def __init__(self, asr: RivaAsr, options: AsrOptions) -> None:
        self._asr = asr
        self._options = options
        self._course: asyncio.Future[Course] = asyncio.get_running_loop().create_task(asr.course(options))
        self._course.add_done_callback(good)
        self._open: Utterance | None = None
        self._order: deque[Utterance] = deque()
        self._mail = TranscriptMail(asr.counts)
        self._closed = False

    def start(self, segment: int) -> None:
        """Open a segment, ending one still open. Too many without their finals: `results` raises."""
        self.end()
        if self._closed:
            return
        if len(self._order) >= _UNSETTLED:
            self._mail.fail(EngineBusy(f"{len(self._order)} segments of this stream still wait for finals"))
            return
        if self._course.done() and not good(self._course):
            self._course = asyncio.get_running_loop().create_task(self._asr.course(self._options))
            self._course.add_done_callback(good)
        patience = self._asr.patience(self._options)
        self._open = Utterance(segment, self._course, self._deliver, patience, self._asr.counts)
        self._order.append(self._open)

    def push(self, frame: AudioFrame) -> None:
        """See `AsrStream.push`."""
        if frame.sample_rate != self._options.sample_rate:
            raise ValueError(f"frame of {frame.sample_rate} Hz on a stream of {self._options.sample_rate} Hz")
        if self._open:
            self._open.push(frame)

    def pause(self) -> None:
        """See `AsrStream.pause`. Servers other than ours decode ahead when they see fit."""
        if self._open:
            self._open.pause()

    def resume(self) -> None:
        """See `AsrStream.resume`."""
        if self._open:
            self._open.resume()

    def end(self) -> None:
        """See `AsrStream.end`."""
        utterance, self._open = self._open, None
        if utterance:
            utterance.end()

    def cancel(self) -> None:
        """See `AsrStream.cancel`."""
        utterance, self._open = self._open, None
        if utterance:
            self._mail.forget(utterance.number)
            utterance.cancel()

    def results(self) -> AsyncIterator[Transcript]:
        """See `AsrStream.results`. Raises an error that cost a segment its final, once; may be read again."""
        return self._mail.results()

    async def aclose(self) -> None:
        """See `AsrStream.aclose`."""
        if self._closed:
            return
        self._closed = True
        self._open = None
        utterances = list(self._order)
        for utterance in utterances:
            utterance.cancel()
        self._course.cancel()
        self._order.clear()
        self._mail.close()
        self._asr.forget(self)
        for utterance in utterances:
            await utterance.closed()

    def _deliver(self) -> None:
        """Move transcripts to the reader; a later segment waits until the one before it is settled."""
        while self._order:
            utterance = self._order[0]
            for transcript in utterance.outbox:
                self._mail.post(transcript)
            utterance.outbox.clear()
            if utterance.error:
                self._mail.fail(utterance.error)
            if not utterance.settled:
                break
            self._order.popleft()
            if utterance is self._open:
                self._open = None
