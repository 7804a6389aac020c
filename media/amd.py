"""Who answered a call of ours: somebody, a machine, a fax? Judged from the first seconds. Pure.

People say little and wait; machines say much and beep. So the length of the greeting, its stretches and the
silence after it decide (as in Asterisk's AMD and Twilio's MachineDetection, whose names the settings follow).
Time is counted in frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from media.beep import LOWEST_HZ, ToneEar, is_beep, is_fax
from media.frame import FRAME_MS, AudioFrame, Voice

_TICK = FRAME_MS / 1000


class Answerer(StrEnum):
    HUMAN = "human"
    MACHINE = "machine"
    FAX = "fax"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AmdSettings:
    """Answering-machine detection. Seconds."""

    silence_timeout: float = 5.0
    """Silence after the answer until we give up, 1 to 10."""
    speech_threshold: float = 2.4
    """A greeting longer than this is a machine's, 0.5 to 10."""
    speech_end_threshold: float = 1.0
    """Silence after a greeting that makes it a human's, 0.3 to 5."""
    most_stretches: int = 4
    """A greeting of more stretches between short pauses is a machine's, 1 to 20."""
    shortest_stretch: float = 0.1
    """Shorter sounds are no speech, 0.02 to 1."""
    pause: float = 0.2
    """Silence that parts two stretches, 0.04 to 1."""
    limit: float = 10.0
    """Seconds after the answer at which the verdict is `unknown` at the latest, 1 to 60."""
    greeting_end: float = 1.6
    """Silence after a machine's greeting that stands for its beep, 0.5 to 10."""
    beep_limit: float = 30.0
    """Longest wait for the end of a machine's greeting, counted from the answer, 1 to 120."""

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "silence_timeout": (1, 10),
            "speech_threshold": (0.5, 10),
            "speech_end_threshold": (0.3, 5),
            "most_stretches": (1, 20),
            "shortest_stretch": (0.02, 1),
            "pause": (0.04, 1),
            "limit": (1, 60),
            "greeting_end": (0.5, 10),
            "beep_limit": (1, 120),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: must lie between {low:g} and {high:g}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who answered."""

    answerer: Answerer
    why: str
    """`greeting_short`, `greeting_long`, `stretches`, `silence`, `beep`, `tone`, `limit`."""
    seconds: float
    """After the answer."""


@dataclass(frozen=True, slots=True)
class GreetingOver:
    """A machine's greeting is over: now is the time to speak."""

    beep: bool
    """Whether it beeped; else it only fell silent, or took too long."""
    seconds: float


class AnswerJudge:
    """Hears the frames of one call from its answer on; says a `Verdict` once, then a `GreetingOver`."""

    def __init__(self, settings: AmdSettings) -> None:
        self._settings = settings
        self._ear = ToneEar()
        self._frames = 0
        self._first: int | None = None
        """Frame in which the first stretch of speech began."""
        self._last = 0
        """Frame after the last voiced one."""
        self._stretch = 0
        self._stretches = 0
        self._counted = False
        self._verdict: Verdict | None = None
        self._over: GreetingOver | None = None

    @property
    def verdict(self) -> Verdict | None:
        """None until it is clear."""
        return self._verdict

    @property
    def greeting_over(self) -> GreetingOver | None:
        """None until a machine's greeting is over; stays None for anybody else."""
        return self._over

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """One more frame."""
        self._frames += 1
        tone = self._ear.push(frame)
        beeped = tone is not None and is_beep(tone)
        sounding = tone is not None and tone.going_on and tone.hz >= LOWEST_HZ and tone.seconds >= 0.08
        self._speech(voice.quick and voice.probability >= 0.5 and not sounding)
        if self._verdict is None:
            fax = tone is not None and is_fax(tone)
            self._judge(beeped=beeped, fax=fax, sounding=sounding)
        if self._verdict is not None and self._verdict.answerer is Answerer.MACHINE and self._over is None:
            self._await_end(beeped=beeped)

    def _speech(self, voiced: bool) -> None:
        settings = self._settings
        if not voiced:
            if (self._frames - self._last) * _TICK >= settings.pause:
                self._stretch, self._counted = 0, False
            return
        if not self._stretch:
            self._stretch = self._frames
        self._last = self._frames
        if not self._counted and (self._frames - self._stretch + 1) * _TICK >= settings.shortest_stretch:
            self._counted = True
            self._stretches += 1
            if self._first is None:
                self._first = self._stretch

    def _judge(self, *, beeped: bool, fax: bool, sounding: bool) -> None:
        settings, passed = self._settings, self._frames * _TICK
        if fax:
            self._say(Answerer.FAX, "tone")
        elif beeped:
            self._say(Answerer.MACHINE, "beep")
        elif self._first is not None and self._greeting > settings.speech_threshold:
            self._say(Answerer.MACHINE, "greeting_long")
        elif self._stretches > settings.most_stretches:
            self._say(Answerer.MACHINE, "stretches")
        elif self._first is not None and self._quiet >= settings.speech_end_threshold and not sounding:
            self._say(Answerer.HUMAN, "greeting_short")
        elif self._first is None and passed >= settings.silence_timeout and not sounding:
            self._say(Answerer.UNKNOWN, "silence")
        elif passed >= settings.limit:
            self._say(Answerer.UNKNOWN, "limit")

    def _await_end(self, *, beeped: bool) -> None:
        passed = self._frames * _TICK
        if beeped:
            self._over = GreetingOver(True, passed)
        elif self._quiet >= self._settings.greeting_end or passed >= self._settings.beep_limit:
            self._over = GreetingOver(False, passed)

    @property
    def _greeting(self) -> float:
        """Seconds from the first speech to the last."""
        return (self._last - (self._first or 0) + 1) * _TICK

    @property
    def _quiet(self) -> float:
        """Seconds since the last speech."""
        return (self._frames - self._last) * _TICK

    def _say(self, answerer: Answerer, why: str) -> None:
        self._verdict = Verdict(answerer, why, self._frames * _TICK)
