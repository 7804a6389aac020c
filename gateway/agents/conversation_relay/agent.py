"""An agent whose words come from an app over the ConversationRelay protocol.

    caller's turn ── reply ──> prompt ──> app ── text, play, sendDigits ──> Talks ──> reply's parts
    keys, words, interruptions ── notice ──> dtmf, prompt, interrupt ──> app
    app speaks unasked ──> Talks ── line.offer ──> unprompted ──> parts

A prompt cannot be taken back, so the app is asked only once the caller's turn is over. What the app says is
kept in `Talks` and read from there, whether it answers something or not; `Link` keeps the app connected.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import structlog

from gateway.agents.base import Do, Finish, Interruptible, PlaySound, ReplyPart, Say, UserTurn
from gateway.agents.companion import CallNews, Companion, Interrupted, Line
from gateway.agents.conversation_relay import messages
from gateway.agents.conversation_relay.link import Link
from gateway.agents.conversation_relay.messages import AppMessage, MessageUnfit
from gateway.agents.conversation_relay.news import NewsTeller
from gateway.agents.conversation_relay.outcome import LOST, NEVER_CONNECTED, RelayOutcome, SessionStatus
from gateway.agents.conversation_relay.settings import RelaySettings
from gateway.agents.conversation_relay.talks import Talks, TalkUnfit
from gateway.agents.conversation_relay.tuning import tuned
from gateway.agents.handoff import HANDOFF
from gateway.agents.text_socket import Dial, TextSocket
from gateway.calls.orders import SendKeys
from gateway.calls.settings import SessionSettings
from gateway.twilio_ids import call_sid, session_sid
from gateway.twilio_signature import headers
from media.clock import now
from media.frame import Pcm

log = structlog.get_logger(__name__)

Sounds: TypeAlias = Callable[[str, int], AsyncGenerator[Pcm, None]]
"""The sound of a source, a web address or a path of this machine, at a sample rate."""


@dataclass(frozen=True, slots=True)
class RelayHome:
    """What a session has from its node."""

    account: str
    """AccountSid."""
    dial: Dial
    sounds: Sounds
    wall: Callable[[], float]
    """Seconds since 1970, for what the app is told of times."""


class RelayAgent:
    """One call's session with an app. Serves `Agent`, `Companion`, `LinkEvents` and `Offers`."""

    def __init__(self, name: str, settings: RelaySettings, home: RelayHome, number: int = 0) -> None:
        """`number` tells several sessions of one call apart."""
        self._name = name
        self._settings = settings
        self._home = home
        self._number = number
        limits = settings.limits
        self._talks = Talks(
            self, most=limits.waiting_talks, characters=limits.talk_characters,
            preemptible=settings.preemptible,
        )  # fmt: skip
        self._link = Link(self._connect, limits, self)
        self._news = NewsTeller(settings, self._link, home.wall)
        self._handoff = ""
        self._task: asyncio.Task[None] | None = None
        self._line: Line | None = None
        self._began = 0.0
        self._spoken = settings.spoken_language
        """Language of the next text."""
        self._heard_in = settings.language
        self._said = ""
        """What the app said in the reply under way."""
        self._told = (0, "")
        """Number and words of the caller's latest turn, as far as they were told to the app."""
        self._unanswered = ""
        """The prompt that no token of an answer has come for."""
        self._hasty = False
        """There is a fallback for us: a caller who waits in vain shall have it."""
        self._awaited = False
        """A turn of the caller's waits for its answer."""
        self._patience: asyncio.TimerHandle | None = None
        """When a reply stops waiting for an app that is away."""
        self._outcome: RelayOutcome | None = None
        self._arrived = asyncio.Event()
        """The app was reached, or given up."""

    # ------------------------------------------------------------------------------------ as an agent

    @property
    def name(self) -> str:
        return self._name

    def brief(self, handoff: str) -> None:
        """See `handoff.Briefed`: the app is told in the custom parameter of that name."""
        self._handoff = handoff

    @property
    def companion(self) -> Companion:
        """Itself."""
        return self

    @property
    def outcome(self) -> RelayOutcome:
        """How the session ended; until then, how it would if the call ended now."""
        if self._outcome is not None:
            return self._outcome
        return RelayOutcome(self._session, SessionStatus.COMPLETED, self._seconds)

    async def greet(self) -> AsyncIterator[ReplyPart]:
        self._said = self._settings.greeting
        if self._said:
            yield self._say(self._said, self._settings.greeting_interruptible)
        else:  # so that a caller whose app is not there yet is asked for patience
            await self._arrived.wait()

    async def reply(self, turn: UserTurn) -> AsyncIterator[ReplyPart]:
        self._said = ""
        parts = self._talks.read(self._prompt(turn))
        self._awaited = True
        self._be_patient()
        try:
            async with aclosing(parts):
                async for part in parts:
                    yield self._noted(part)
        finally:
            self._awaited = False
            self._stop_waiting()

    async def unprompted(self) -> AsyncIterator[ReplyPart]:
        self._said = ""
        parts = self._talks.read()
        async with aclosing(parts):
            async for part in parts:
                yield self._noted(part)

    def heard(self, turn: UserTurn, text: str, *, complete: bool) -> None:
        """The app is told of interruptions alone, by `notice`; but a session that is over stays over."""
        if not complete and self._outcome is not None:
            self._talks.add(Finish(), preemptible=True)

    async def aclose(self) -> None:
        self._stop_waiting()
        self._conclude(RelayOutcome(self._session, SessionStatus.COMPLETED, self._seconds))
        await self._link.aclose(self._task)
        if self._link.dropped:
            log.warning("app was away too long to be told all", agent=self._name, dropped=self._link.dropped)

    # -------------------------------------------------------------------------------- as a companion

    def tune(self, settings: SessionSettings) -> SessionSettings:
        session = tuned(settings, self._settings)
        self._hasty = settings.turns.guards.failures == 1
        self._heard_in = session.language
        return session

    def join(self, line: Line) -> None:
        self._line = line
        self._began = now()
        self._task = asyncio.create_task(self._link.run(), name="relay")

    def notice(self, news: CallNews) -> None:
        if isinstance(news, Interrupted):
            news = replace(news, heard=_beginning(self._said, news.heard))
            self._talks.forget(now())
        if self._outcome is None and self._news.tell(news, self._heard_in):
            self._talks.prompted()

    @property
    def counts_words(self) -> bool:
        return "tokens-played" in self._settings.events

    # ------------------------------------------------------------------------------ towards the app

    def _prompt(self, turn: UserTurn) -> int:
        """Tell what the caller said; of a turn that was taken up again, only what is new."""
        number, told = self._told
        new = turn.text[len(told) :] if number == turn.number and turn.text.startswith(told) else turn.text
        self._told = (turn.number, turn.text)
        if self._outcome is None and (new := new.strip()):
            self._unanswered = messages.prompt(new, self._heard_in, last=True)
            self._link.send(self._unanswered)
        return self._talks.prompted()

    def _be_patient(self) -> None:
        """Somebody waits for an app that is away: not for long."""
        waits = self._awaited and self._patience is None
        if waits and not self._link.up and self._outcome is None:
            away = self._settings.limits.away_seconds
            self._patience = asyncio.get_running_loop().call_later(away, self._lose_patience)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        self._patience = None
        self._talks.give_up("the app is away")
        if self._hasty:
            self._link.finish()
            self.gone("it was away while the caller waited")

    def _noted(self, part: ReplyPart) -> ReplyPart:
        if isinstance(part, Say):
            self._said += part.text
        return part

    # ---------------------------------------------------------------------------------- from the link

    async def _connect(self) -> TextSocket:
        settings = self._settings
        signed = headers(settings.auth_token, settings.url)
        return await self._home.dial(settings.url, signed, settings.limits.connect_seconds)

    def opened(self, *, again: bool) -> list[str]:
        assert self._line is not None
        self._arrived.set()
        info, settings = self._line.info, self._settings
        account = settings.account_sid or self._home.account
        setup = messages.Setup(
            self._session, account, call_sid(info.call_id), info.caller, info.called, info.outbound,
            {**({HANDOFF: self._handoff} if self._handoff else {}), **settings.parameters},
        )  # fmt: skip
        if again:
            log.info("app is back", agent=self._name, call_id=info.call_id)
            self._line.fault("cut", "reconnected")
        self._stop_waiting()
        # Of what the old connection carried, a prompt without an answer may have been lost with it.
        lost = again and self._unanswered and not self._link.waits(self._unanswered)
        return [setup.message(), *([self._unanswered] if lost else [])]

    def took(self, frame: str | bytes) -> bool:
        try:
            message = messages.read(frame, self._settings.limits.message_bytes)
            if self._outcome is None:
                self._obey(message)
        except (MessageUnfit, TalkUnfit) as error:
            log.info("app sent what cannot be used", agent=self._name, why=str(error))
            self._link.send(messages.error(str(error)), keep=False)
            if self._line is not None:
                kind = "garbage" if isinstance(error, MessageUnfit) else "endless"
                self._line.fault(kind, "told")
            return isinstance(error, TalkUnfit)
        return True

    def away(self, detail: str) -> None:
        log.warning("app is away", agent=self._name, why=detail)
        self._talks.break_off(f"the app was cut off: {detail}")
        self._be_patient()

    def gone(self, detail: str) -> None:
        log.error("app is given up", agent=self._name, why=detail)
        self._arrived.set()
        connected = self._link.connections > 0
        code = LOST if connected else NEVER_CONNECTED
        self._conclude(RelayOutcome(self._session, SessionStatus.FAILED, self._seconds, "", code, detail))
        if self._line is not None:
            self._line.fault("cut" if connected else "refused", "fallback")
            self._line.lost()

    def offer(self, *, preempts: bool, urgent: bool) -> None:
        if self._line is not None:
            self._line.offer(preempts=preempts, urgent=urgent)

    # ------------------------------------------------------------------------------ what the app says

    def _obey(self, message: AppMessage) -> None:
        """Raises `TalkUnfit`, and `MessageUnfit` for what is wrong in this session alone."""
        match message:
            case messages.Text():
                self._unanswered = ""
                part = self._text(message) if message.token else None
                preemptible = self._preemptible(message.preemptible)
                self._talks.say(part, now(), last=message.last, preemptible=preemptible)
            case messages.Play():
                self._unanswered = ""
                self._talks.add(self._sound(message), preemptible=self._preemptible(message.preemptible))
            case messages.SendDigits():
                self._unanswered = ""
                self._talks.add(self._digits(message), preemptible=self._settings.preemptible)
            case messages.SetLanguage():
                self._spoken = message.ttsLanguage or self._spoken
                if message.transcriptionLanguage and self._line is not None:
                    self._heard_in = message.transcriptionLanguage
                    self._line.hear_in(message.transcriptionLanguage)
            case messages.End():
                handoff = message.handoffData
                self._conclude(RelayOutcome(self._session, SessionStatus.ENDED, self._seconds, handoff))
                self._talks.add(Finish(), preemptible=True)
                self._link.finish()

    def _preemptible(self, written: bool | None) -> bool:
        return self._settings.preemptible if written is None else written

    def _text(self, message: messages.Text) -> Say:
        said = messages.interruptible(message.interruptible)
        return self._say(message.token, said or self._settings.interruptible, message.lang or "")

    def _say(self, text: str, interruptible: Interruptible, language: str = "") -> Say:
        language = language or self._spoken
        voice = self._settings.voice_of(language)
        return Say(text, language=language, voice=voice, interruptible=interruptible)

    def _sound(self, message: messages.Play) -> PlaySound:
        said = messages.interruptible(message.interruptible) or self._settings.interruptible
        source, folder = message.source, self._settings.sounds_dir
        if not source.startswith(("http://", "https://")):
            if not folder:
                raise MessageUnfit("source: must be a web address; no folder of sound files is configured")
            if not _FILE.fullmatch(source):
                raise MessageUnfit("source: must be a web address or the name of a sound file")
            source = f"{folder}/{source}"
        told = partial(self._refused, "play")
        return PlaySound(partial(self._home.sounds, source), message.loop, said, told)

    def _digits(self, message: messages.SendDigits) -> Do:
        return Do(SendKeys(message.digits), partial(self._refused, "sendDigits"))

    def _refused(self, kind: str, why: str) -> None:
        """What came of a message, once its turn had come: only failures are told."""
        if why:
            self._link.send(messages.error(f"{kind}: {why}"))

    # -------------------------------------------------------------------------------------- the session

    @property
    def _session(self) -> str:
        """Its SID: one for each session of a call."""
        call = self._line.info.call_id if self._line is not None else ""
        return session_sid(call, self._number)

    @property
    def _seconds(self) -> float:
        return now() - self._began if self._line is not None else 0.0

    def _conclude(self, outcome: RelayOutcome) -> None:
        """The session is over; the first word on how stays."""
        self._outcome = self._outcome or outcome


_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")


def _beginning(said: str, heard: str) -> str:
    """What the caller heard, in the app's own letters: the voice is given words, not white space."""
    ends = [word.end() for word in re.finditer(r"\S+", said)]
    count = len(heard.split())
    return said[: ends[count - 1]].lstrip() if 0 < count <= len(ends) else heard
