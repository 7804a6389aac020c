"""One call's stream at Deepgram: segments cut by us, on a connection that outlives them.

Every segment ends with `Finalize`, whose answer says that nothing of it is still to come. A pause sends it
too, so that the final is mostly there before it is asked for; sound that comes in a pause is held back until
the pause is over one way or the other.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from engines.base import AsrOptions, EngineError, EngineFailed, EngineTimeout, Transcript, Word
from engines.hosted.deepgram import FINALIZE, KEEP_ALIVE, Notice, Results, read
from engines.hosted.segments import Book, Segment, doubtful, is_loud, joined
from engines.hosted.socket import error_of_close, shut
from engines.hosted.standing import ended
from media import g711
from media.frame import FRAME_MS, AudioFrame

_FIRST_SILENCE = 0.1
"""Seconds of silence that open a connection: without any sound the service does not count signs of life."""
_LOUD_SECONDS = 0.3
"""So much loud sound ought to bring an answer before long."""
_COVERED = 0.3
"""Seconds of a segment's end that an answer may leave out and still speak for all of it."""
_QUIET = 0.6
"""Seconds after which a segment whose sound is all answered counts as final: `Finalize` is not always
answered when there is nothing left to settle."""
_EDGE = 0.02
"""Seconds by which the service's times may differ from ours."""
_MOST_AT_ONCE = 32_768
"""Octets joined into one message when sound has waited."""
_CATCH_UP = 0.25
"""Seconds granted for a final per second of sound that had not been sent at the end."""
_LONGEST_PAUSE = 3.0
"""Seconds of sound held back in a pause; more of it is no pause."""
_LONGEST_WAIT = 30.0
"""Seconds between two tries for a connection that nobody needs at the moment."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Deadlines, in seconds; see the settings."""

    first: float
    final: float
    unsent: float
    keep_alive: float
    again: float


@dataclass(eq=False)
class _Turn(Segment):
    """A segment on its way."""

    begin: float | None = None
    """Seconds of sound on the connection before its first; None until that was sent."""
    finish: float = 0.0
    """... and before what follows it."""
    parts: list[Transcript] = field(default_factory=list)
    rest: str = ""
    covered: float = 0.0
    """Seconds of sound on the connection for which an answer came."""
    asked: int = 0
    """`Finalize` sent or waiting to be sent."""
    answered: int = 0
    fresh: bool = False
    """Sound was pushed after the last `Finalize`."""
    paused: bool = False
    held: list[AudioFrame] = field(default_factory=list)
    loud: float = 0.0
    heard: bool = False
    timer: asyncio.TimerHandle | None = None

    @property
    def answered_all(self) -> bool:
        """Nothing more can come of what was pushed."""
        return not self.fresh and self.answered >= self.asked


class DeepgramStream:
    """Serves `AsrStream`."""

    def __init__(
        self,
        options: AsrOptions,
        *,
        connect: Callable[[], Awaitable[ClientConnection]],
        mulaw: bool,
        patience: Patience,
        counts: Counter[str],
        forget: Callable[[DeepgramStream], None],
    ) -> None:
        self._options = options
        self._connect = connect
        self._mulaw = mulaw
        self._patience = patience
        self._counts = counts
        self._forget = forget
        self._book = Book(counts)
        self._open: _Turn | None = None
        self._turns: deque[_Turn] = deque()
        """Those of which the service may still speak, cancelled ones among them."""
        self._queue: deque[tuple[_Turn, AudioFrame | None]] = deque()
        """Sound, and `Finalize` as None."""
        self._unsent = 0.0
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        self._line: ClientConnection | None = None
        self._owed = 0
        """Answers to `Finalize` that were not waited for and may still come."""
        self._closed = False
        self._task = asyncio.get_running_loop().create_task(self._run(), name="deepgram-stream")

    def start(self, segment: int) -> None:
        """Open a segment, ending one still open. Too many without their finals: `results` raises."""
        self.end()
        if self._closed:
            return
        turn = _Turn(segment)
        if self._book.open(turn):
            self._open = turn
            self._turns.append(turn)
            self._wanted.set()

    def push(self, frame: AudioFrame) -> None:
        """See `AsrStream.push`."""
        if frame.sample_rate != self._options.sample_rate:
            raise ValueError(f"frame of {frame.sample_rate} Hz on a stream of {self._options.sample_rate} Hz")
        turn = self._open
        if turn is None or turn.settled:
            return
        if turn.paused:
            turn.held.append(frame)
            if doubtful(turn.held) or len(turn.held) * FRAME_MS > _LONGEST_PAUSE * 1000:
                # It was no pause, whatever we are told of it.
                self._release(turn)
            return
        self._send(turn, frame)

    def pause(self) -> None:
        """See `AsrStream.pause`."""
        turn = self._open
        if turn is not None and not turn.settled and not turn.paused:
            turn.paused = True
            self._finalize(turn)

    def resume(self) -> None:
        """See `AsrStream.resume`."""
        turn = self._open
        if turn is not None and turn.paused:
            turn.paused = False
            self._release(turn)

    def end(self) -> None:
        """See `AsrStream.end`."""
        turn, self._open = self._open, None
        if turn is None or turn.settled:
            return
        turn.ended = True
        turn.held.clear()  # silence, or it would have been released
        self._finalize(turn)
        if turn.answered_all:
            self._conclude(turn)
        else:
            seconds = self._patience.final + self._unsent * _CATCH_UP
            self._arm(turn, seconds, f"no final within {seconds:.1f} s")
            asyncio.get_running_loop().call_later(_QUIET, self._conclude_if_covered, turn)

    def cancel(self) -> None:
        """See `AsrStream.cancel`."""
        turn, self._open = self._open, None
        if turn is None:
            return
        self._disarm(turn)
        self._book.cancel(turn)
        if turn.begin is None and not turn.fresh:
            self._turns.remove(turn)
        else:
            self._finalize(turn)  # so that its words cannot become the next one's

    def results(self) -> AsyncIterator[Transcript]:
        """See `AsrStream.results`. Raises an error that cost a segment its final, once; may be read again."""
        return self._book.results()

    async def aclose(self) -> None:
        """See `AsrStream.aclose`."""
        if self._closed:
            return
        self._closed = True
        for turn in self._turns:
            self._disarm(turn)
        self._book.close()
        self._forget(self)
        await ended(self._task)

    def _release(self, turn: _Turn) -> None:
        held, turn.held = turn.held, []
        turn.paused = False
        for frame in held:
            self._send(turn, frame)

    def _send(self, turn: _Turn, frame: AudioFrame) -> None:
        turn.fresh = True
        self._queue.append((turn, frame))
        seconds = len(frame.pcm) / frame.sample_rate
        self._unsent += seconds
        self._news.set()
        if self._unsent > self._patience.unsent:
            self._broken(EngineTimeout(f"{self._unsent:.0f} s of sound were not taken"))
        elif self._patience.first and not turn.heard and turn.timer is None and is_loud(frame):
            turn.loud += seconds
            if turn.loud >= _LOUD_SECONDS:
                self._arm(turn, self._patience.first, f"no answer within {self._patience.first:.1f} s")

    def _finalize(self, turn: _Turn) -> None:
        if turn.fresh:
            turn.fresh = False
            turn.asked += 1
            self._queue.append((turn, None))
            self._news.set()

    def _arm(self, turn: _Turn, seconds: float, told: str) -> None:
        self._disarm(turn)
        turn.timer = asyncio.get_running_loop().call_later(seconds, self._broken, EngineTimeout(told))

    def _disarm(self, turn: _Turn) -> None:
        if turn.timer is not None:
            turn.timer.cancel()
            turn.timer = None

    async def _run(self) -> None:
        """Keep a connection for as long as the stream lives; a lost one costs the segments on it, no more."""
        wait = self._patience.again
        while not self._closed:
            self._wanted.clear()
            try:
                line = await self._connect()
            except EngineError as error:
                self._broken(error)
                await self._pause_until_wanted(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
                continue
            wait = self._patience.again
            begun = asyncio.get_running_loop().time()
            await self._talk(line)
            if not self._book.unsettled and asyncio.get_running_loop().time() - begun < wait:
                await self._pause_until_wanted(wait)  # a service that hangs up at once

    async def _pause_until_wanted(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0.01)):
                await self._wanted.wait()
        except TimeoutError:
            pass

    async def _talk(self, line: ClientConnection) -> None:
        """Until the connection is gone."""
        self._line = line
        sender = asyncio.get_running_loop().create_task(self._write(line), name="deepgram-sender")
        try:
            async for message in line:
                if isinstance(message, str):
                    self._take(message)
            self._lost(line, EngineFailed("deepgram ended the connection"))
        except ConnectionClosed as closed:
            self._lost(line, error_of_close("deepgram", closed))
        finally:
            self._line = None
            await ended(sender)
            await shut(line)

    async def _write(self, line: ClientConnection) -> None:
        """What was pushed, sound that waited joined; signs of life when there is nothing."""
        rate, sent = self._options.sample_rate, 0
        silence = bytes(b"\xff" if self._mulaw else b"\x00\x00") * round(_FIRST_SILENCE * rate)
        sent += round(_FIRST_SILENCE * rate)
        try:
            await line.send(silence)
            while True:
                self._news.clear()
                while self._queue and self._line is line:
                    sent = await self._write_next(line, sent)
                try:
                    async with asyncio.timeout(self._patience.keep_alive):
                        await self._news.wait()
                except TimeoutError:
                    await line.send(KEEP_ALIVE)
        except ConnectionClosed:
            pass  # whoever reads learns why

    async def _write_next(self, line: ClientConnection, sent: int) -> int:
        turn, item = self._queue.popleft()
        if item is None:
            await line.send(FINALIZE)
            return sent
        rate, message = self._options.sample_rate, [self._octets(item)]
        samples, size = len(item.pcm), len(message[0])
        while self._queue and size < _MOST_AT_ONCE:
            following, frame = self._queue[0]
            if frame is None or following is not turn:
                break
            self._queue.popleft()
            message.append(self._octets(frame))
            samples, size = samples + len(frame.pcm), size + len(message[-1])
        self._unsent = max(0.0, self._unsent - samples / rate)
        if turn.begin is None:
            turn.begin = turn.covered = sent / rate
        turn.finish = (sent + samples) / rate
        await line.send(b"".join(message))
        return sent + samples

    def _octets(self, frame: AudioFrame) -> bytes:
        if self._mulaw:
            return g711.to_ulaw(frame.pcm)
        return frame.pcm.astype("<i2", copy=False).tobytes()

    def _take(self, message: str) -> None:
        told = read(message)
        if told is None:
            self._broken(EngineFailed("deepgram sent what is no message"))
        elif isinstance(told, Notice):
            if told.kind == "Error":
                self._broken(EngineFailed(f"deepgram: {told.detail}"))
        elif (turn := self._turn_of(told)) is None:
            self._counts["stale"] += 1
        else:
            self._hear(turn, told)

    def _turn_of(self, told: Results) -> _Turn | None:
        """Which segment the answer is about: that into whose sound it reaches.

        Each segment ends with a `Finalize`, so no answer reaches over the end of one.
        """
        sent = [turn for turn in self._turns if turn.begin is not None]
        asked = [turn for turn in sent if not told.from_finalize or turn.answered < turn.asked]
        reached = [turn for turn in asked if turn.begin is not None and turn.begin + _EDGE < told.end]
        if reached or not told.from_finalize:
            return reached[-1] if reached else None
        # A server whose times are of no use answers at least in order.
        if self._owed:
            self._owed -= 1
            return None
        return asked[0] if asked else None

    def _hear(self, turn: _Turn, told: Results) -> None:
        turn.heard = True
        turn.covered = max(turn.covered, told.end)
        if not turn.ended and not turn.settled:
            self._disarm(turn)
        if told.from_finalize:
            turn.answered += 1
        if told.is_final:
            turn.rest = ""
            if told.text:
                words = tuple(_within(word, turn.begin or 0.0) for word in told.words)
                turn.parts.append(
                    Transcript(turn.number, told.text, True, told.confidence, len(told.text), words)
                )
        else:
            turn.rest = told.text
        if turn.settled:
            if turn.answered_all and turn in self._turns:
                self._turns.remove(turn)
        elif turn.ended and turn.answered_all:
            self._conclude(turn)
        elif not turn.ended:
            self._show(turn)

    def _show(self, turn: _Turn) -> None:
        early = turn.paused and turn.answered_all
        shown = joined(turn.number, turn.parts, turn.rest, early=early)
        if early or (self._options.interim and shown.text):
            self._book.show(turn, shown)

    def _conclude_if_covered(self, turn: _Turn) -> None:
        """Where `Finalize` is not answered because there is nothing left to settle."""
        sent_all = not any(queued is turn for queued, _ in self._queue)
        if not turn.settled and sent_all and not turn.rest and turn.covered >= turn.finish - _COVERED:
            self._counts["finalize_unanswered"] += 1
            self._owed += turn.asked - turn.answered
            self._conclude(turn)

    def _conclude(self, turn: _Turn) -> None:
        self._disarm(turn)
        self._book.conclude(turn, turn.parts)
        while turn in self._turns:  # cancelled ones before it go too: of them nothing more can come
            self._turns.popleft()

    def _lost(self, line: ClientConnection, error: EngineError) -> None:
        if self._line is line:
            self._broken(error)

    def _broken(self, error: EngineError) -> None:
        """The connection is of no more use; what is on it has no future."""
        for turn in list(self._turns):
            self._disarm(turn)
            self._book.fail(turn, error)
        self._turns.clear()
        self._queue.clear()
        self._unsent, self._owed = 0.0, 0
        self._open = None
        line, self._line = self._line, None
        if line is not None:
            line.transport.abort()


def _within(word: Word, begin: float) -> Word:
    return replace(word, start=max(0.0, word.start - begin), end=max(0.0, word.end - begin))
