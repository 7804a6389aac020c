"""One segment on its way through a Riva server: a call of its own on the shared connection."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog

from engines.base import EngineError, EngineFailed, EngineTimeout, Transcript
from engines.riva.asr_reply import EARLY, joined, read_alternative
from engines.riva.dialect import PAUSE
from engines.riva.wire import Message, Status, asr_pb2, grpc
from media.clock import now
from media.frame import AudioFrame

log = structlog.get_logger(__name__)

_LOUD = 10.0 ** (-45 / 10)
"""Mean square of a frame that may carry speech, full scale = 1."""
_LOUD_SECONDS = 0.3
"""So much of it ought to bring words before long."""
_MOST_AT_ONCE = 32_768
"""Octets joined into one message when sound has waited."""
_CATCH_UP = 0.25
"""Seconds granted for a final per second of sound that had not been sent at the end."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Deadlines on useful progress, in seconds; 0: none."""

    first: float
    """From speech energy to the first answer."""
    final: float
    """From the end to the final."""
    unsent: float
    """Of sound that the connection has not taken."""
    gather: float = 0.0
    """Of sound that may wait for more to share its message; pauses and ends send at once."""


@dataclass(frozen=True, slots=True)
class Course:
    """How the calls of one stream are made."""

    begin: Callable[[], Any]
    """Opens a call. Raises `EngineError`."""
    config: Message
    """What each call begins with: a `StreamingRecognitionConfig`."""
    by_caller: bool
    """The server leaves the segments to us and understands pauses."""
    interim: bool
    """Interims were asked for."""
    encode: Callable[[AudioFrame], bytes]
    error: Callable[[Status, str | None], EngineError]
    """A status as an error."""
    patience: Patience


class Utterance:
    """Sound in, transcripts into `outbox`. Settled once: by a final, an error, or `cancel`."""

    def __init__(
        self,
        number: int,
        course: asyncio.Future[Course],
        changed: Callable[[], None],
        patience: Patience,
        counts: Counter[str],
    ) -> None:
        """`course` is known once the server is; `changed` is called when the outbox or an outcome changed."""
        self.number = number
        self.outbox: list[Transcript] = []
        self.error: EngineError | None = None
        self.settled = False
        self._course = course
        self._changed = changed
        self._patience = patience
        self._counts = counts
        self._frames: deque[AudioFrame | bool] = deque()
        self._unsent = 0.0
        self._news = asyncio.Event()
        self._ended = False
        self._paused = False
        self._loud = 0.0
        self._heard = False
        self._finals: list[Transcript] = []
        self._timer: asyncio.TimerHandle | None = None
        self._ended_at = 0.0
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"riva-segment-{number}")

    def push(self, frame: AudioFrame) -> None:
        """The next sound."""
        if self._ended or self.settled:
            return
        self._frames.append(frame)
        seconds = len(frame.pcm) / frame.sample_rate
        self._unsent += seconds
        if self._unsent >= self._patience.gather:
            self._news.set()
        if self._unsent > self._patience.unsent:
            self._fail(EngineTimeout(f"{self._unsent:.0f} s of sound were not taken"))
        elif self._patience.first and not self._heard and self._timer is None:
            self._listen_for_speech(frame, seconds)

    def pause(self) -> None:
        """Decode ahead, where the server can."""
        self._tell(True)

    def resume(self) -> None:
        """It was no pause."""
        self._tell(False)

    def end(self) -> None:
        """The final is due."""
        if self._ended or self.settled:
            return
        self._ended = True
        self._ended_at = now()
        self._news.set()
        if self._patience.final:
            self._arm(self._patience.final + self._unsent * _CATCH_UP, "no final")

    def cancel(self) -> None:
        """Nothing more will come; the call ends at once."""
        self.outbox.clear()
        self._settle()

    async def closed(self) -> None:
        """Wait until the call is gone."""
        await asyncio.gather(self._task, return_exceptions=True)

    def _tell(self, paused: bool) -> None:
        if self._paused != paused and not self._ended and not self.settled:
            self._paused = paused
            self._frames.append(paused)
            self._news.set()

    def _listen_for_speech(self, frame: AudioFrame, seconds: float) -> None:
        sound = frame.pcm.astype(np.float32)
        if float(np.dot(sound, sound)) > _LOUD * len(sound) * 32768.0**2:
            self._loud += seconds
            if self._loud >= _LOUD_SECONDS:
                self._arm(self._patience.first, "no word")

    def _arm(self, seconds: float, what: str) -> None:
        self._disarm()
        told = f"{what} within {seconds:.1f} s"
        self._timer = asyncio.get_running_loop().call_later(seconds, self._fail, EngineTimeout(told))

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _run(self) -> None:
        call: Any = None
        sender: asyncio.Task[None] | None = None
        try:
            course = await asyncio.shield(self._course)
            call = course.begin()
            sender = asyncio.get_running_loop().create_task(self._send(call, course))
            async for response in call:
                if response is None:  # gRPC's way to say that it could not be read
                    raise EngineFailed("the server sent what is no message")
                self._take(response, course)
            self._finish(course)
        except grpc.aio.AioRpcError as error:
            self._fail(self._course.result().error(error.code(), error.details()))
        except EngineError as error:
            self._fail(error)
        except Exception as error:
            log.exception("a segment broke", segment=self.number)
            self._fail(EngineFailed(f"the client broke: {type(error).__name__}"))
        except asyncio.CancelledError:
            # gRPC raises this too, for a call that the server ended with the status CANCELLED
            if not self.settled:
                self._fail(EngineFailed("the server cancelled the call"))
        finally:
            if sender is not None:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
            if call is not None:
                call.cancel()

    async def _send(self, call: Any, course: Course) -> None:
        """Everything that was pushed, sound that waited joined; then the end of our side."""
        try:
            await call.write(asr_pb2.StreamingRecognizeRequest(streaming_config=course.config))
            while True:
                self._news.clear()
                while self._frames:
                    message = self._next_message(course)
                    if message is not None:
                        await call.write(message)
                if self._ended and not self._frames:
                    await call.done_writing()
                    return
                await self._news.wait()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
            pass  # the call is over; whoever reads it learns why

    def _next_message(self, course: Course) -> Message | None:
        parts: list[bytes] = []
        size = 0
        while self._frames and size < _MOST_AT_ONCE:
            item = self._frames[0]
            if isinstance(item, bool):
                break
            self._frames.popleft()
            self._unsent -= len(item.pcm) / item.sample_rate
            parts.append(course.encode(item))
            size += len(parts[-1])
        if parts:
            return asr_pb2.StreamingRecognizeRequest(audio_content=b"".join(parts))
        paused = self._frames.popleft()
        if not course.by_caller:
            return None
        return asr_pb2.StreamingRecognizeRequest(runtime_config={PAUSE: "true" if paused else "false"})

    def _take(self, response: Message, course: Course) -> None:
        """Pieces that the server settled by itself, and what it thinks of the rest."""
        if self.settled or not response.results:
            return
        self._heard = True
        if not self._ended:
            self._disarm()
        rest = ""
        stable, early = 0, False
        for result in response.results:
            text, words, confidence = read_alternative(result)
            if result.is_final:
                self._finals.append(Transcript(self.number, text, True, confidence, len(text), words))
                continue
            early = result.stability >= EARLY
            if course.by_caller or early:
                stable = round(result.stability * len(text)) if not rest else stable
            rest = f"{rest} {text}".strip()
        if self._ended and course.by_caller and self._finals:
            self._conclude()
        elif not self._ended:
            self._show(rest, stable, early or (not rest and bool(self._finals)))

    def _show(self, rest: str, stable: int, early: bool) -> None:
        done = joined(self._finals)
        text = f"{done.text} {rest}".strip()
        before = len(text) - len(rest)
        shown = Transcript(
            self.number, text, False, done.confidence if done.text else 1.0, before + stable,
            early=early and self._paused,
        )  # fmt: skip
        if shown.early or text:
            if self.outbox and not self.outbox[-1].early:
                self.outbox.pop()
            self.outbox.append(shown)
            self._changed()

    def _finish(self, course: Course) -> None:
        """The server ended the call well: what it gave is all."""
        if self.settled:
            return
        if self._ended:
            self._conclude()
        else:
            self._fail(EngineFailed("the server ended the call before we did"))

    def _conclude(self) -> None:
        final = joined(self._finals)
        self.outbox.append(
            Transcript(self.number, final.text, True, final.confidence, len(final.text), final.words)
        )
        self._counts["finals"] += 1
        self._settle()

    def _fail(self, error: EngineError) -> None:
        if self.settled:
            return
        self.error = error
        self._counts[f"failed_{type(error).__name__}"] += 1
        self._settle()

    def _settle(self) -> None:
        if self.settled:
            return
        self.settled = True
        self._disarm()
        self._frames.clear()
        self._unsent = 0.0
        if asyncio.current_task() is not self._task:
            self._task.cancel()
        self._changed()
