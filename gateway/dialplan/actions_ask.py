"""What a route can ask of a caller: words, keys, a message."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gateway.dialplan import variables
from gateway.dialplan.actions import between, spoken
from gateway.dialplan.patterns import safe_regex

KEYS = "0123456789*#ABCD"


@dataclass(frozen=True, slots=True)
class DigitRule:
    """How many keys make an answer."""

    min: int = 1
    """Fewer are no valid answer; 1 to 64."""
    max: int = 32
    """So many are an answer at once; `min` to 64."""
    terminator: str = "#"
    """The key that ends an answer before `max`; "" for none."""

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.max <= 64:
            raise ValueError("digits: must hold 1 <= min <= max <= 64")
        if len(self.terminator) > 1 or self.terminator not in KEYS:
            raise ValueError('digits: the terminator must be one key, or "" for none')


@dataclass(frozen=True, slots=True)
class Gather:
    """Ask for something and wait for the answer, spoken or keyed."""

    say: str = ""
    """The question, spoken; `${name}` stands for a variable."""
    play: Path | None = None
    """The question as a WAV file; after `say`, when both are given."""
    input: Literal["speech", "digits", "both"] = "both"
    """What counts as an answer."""
    digits: DigitRule = field(default_factory=DigitRule)
    """How many keys are expected."""
    hints: tuple[str, ...] = ()
    """Words that the caller is likely to say; those of `on` are added."""
    valid: str = ""
    """Regular expression that the whole answer must fit; "" takes any."""
    into: str = "gathered"
    """Variable that gets the answer."""
    retries: int = 2
    """How often the question is asked again after no answer, or a wrong one; 0 to 10."""
    timeout: float = 5.0
    """Seconds of silence after the question that mean no answer; 0.5 to 60."""
    digit_timeout: float = 3.0
    """Seconds after a key within which the next one must come; 0.5 to 30."""
    end_silence: float = 0.8
    """Seconds of quiet that end a spoken answer; 0.2 to 5."""
    longest: float = 30.0
    """Seconds that a spoken answer may last; 1 to 120."""
    barge_in: bool = True
    """Whether the caller may answer while the question is still being asked."""
    say_invalid: str = ""
    """Said before the question is asked again, after an answer that does not fit."""
    say_no_input: str = ""
    """Said before the question is asked again, after none."""

    def __post_init__(self) -> None:
        _check_question(self.say, self.say_invalid, self.say_no_input)
        _check_waiting(self.retries, self.timeout)
        between("digit_timeout", self.digit_timeout, 0.5, 30)
        between("end_silence", self.end_silence, 0.2, 5)
        between("longest", self.longest, 1, 120)
        _check_variable(self.into)
        if self.valid:
            try:
                safe_regex(self.valid.strip("/"))
            except ValueError as error:
                raise ValueError(f"valid: {error}") from None

    @property
    def hears_speech(self) -> bool:
        return self.input != "digits"

    @property
    def hears_keys(self) -> bool:
        return self.input != "speech"

    def fits(self, answer: str) -> bool:
        """Whether `valid` allows the answer."""
        return not self.valid or safe_regex(self.valid.strip("/")).fullmatch(answer[:128]) is not None


@dataclass(frozen=True, slots=True)
class Menu:
    """Offer choices, by key and by word; `on` says what each one does."""

    say: str = ""
    """The choices, spoken."""
    play: Path | None = None
    """The choices as a WAV file; after `say`, when both are given."""
    hints: tuple[str, ...] = ()
    """Words beside those of `on` that the caller is likely to say."""
    retries: int = 2
    """How often the choices are told again; 0 to 10."""
    timeout: float = 5.0
    """Seconds of silence that mean no choice; 0.5 to 60."""
    barge_in: bool = True
    """Whether the caller may choose while the choices are still being told."""
    say_invalid: str = ""
    """Said before the choices are told again, after one that is none of them."""
    say_no_input: str = ""
    """Said before the choices are told again, after silence."""

    def __post_init__(self) -> None:
        _check_question(self.say, self.say_invalid, self.say_no_input)
        _check_waiting(self.retries, self.timeout)

    def gather(self, longest_key: int) -> Gather:
        """The question that a menu is; `longest_key`: keys of the longest choice."""
        return Gather(
            self.say, self.play, "both", DigitRule(1, max(1, longest_key), ""), self.hints,
            retries=self.retries, timeout=self.timeout, digit_timeout=1.5, barge_in=self.barge_in,
            say_invalid=self.say_invalid, say_no_input=self.say_no_input,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """Keep what the caller says, as a WAV file in the folder of records."""

    max_seconds: float = 120.0
    """Longest recording; 1 to 3600."""
    silence: float = 4.0
    """Seconds of quiet that end it; 0 never does, else 0.5 to 60."""
    beep: bool = True
    """A short tone says when to speak."""
    finish_key: str = "#"
    """The key that ends it; "" for none."""
    transcript: bool = False
    """Whether the recogniser's words go into the variable `transcript`."""
    folder: str = "recorded"
    """Folder within `node.record_dir`: letters, digits, dots, _ and -."""

    def __post_init__(self) -> None:
        _check_recording(self.max_seconds, self.silence, self.finish_key)
        _check_folder("folder", self.folder)


@dataclass(frozen=True, slots=True)
class Voicemail:
    """Greet, beep, take a message, write it down, and deliver it."""

    mailbox: str
    """Whose message it is; also the folder's name under `voicemail` in `node.record_dir`."""
    say: str = ""
    """The greeting."""
    play: Path | None = None
    """The greeting as a WAV file; after `say`, when both are given."""
    max_seconds: float = 180.0
    """Longest message; 1 to 3600."""
    silence: float = 5.0
    """Seconds of quiet that end it; 0 never does, else 0.5 to 60."""
    finish_key: str = "#"
    """The key that ends it; "" for none."""
    transcript: bool = True
    """Whether the message is written down by the recogniser."""
    webhook: str = ""
    """Address that is told of each message, signed as every webhook; "" tells nobody."""

    def __post_init__(self) -> None:
        spoken("say", self.say)
        _check_folder("mailbox", self.mailbox)
        _check_recording(self.max_seconds, self.silence, self.finish_key)
        if self.webhook:
            check_url("webhook", self.webhook)


def check_url(name: str, url: str) -> None:
    """Raises `ValueError` for what is no web address, and for variables that would choose the server."""
    try:
        variables.check(url)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    scheme, _, rest = url.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if scheme not in ("http", "https") or not host or "@" in host or any(c <= " " for c in url):
        raise ValueError(f"{name}: must be an address like https://example.com/calls")
    if "$" in host:
        raise ValueError(f"{name}: the server must not depend on the call; use variables after the host only")
    if len(url) > 2000:
        raise ValueError(f"{name}: is longer than 2,000 characters; send values in the body instead")


def _check_question(say: str, invalid: str, no_input: str) -> None:
    for name, text in (("say", say), ("say_invalid", invalid), ("say_no_input", no_input)):
        spoken(name, text)


def _check_waiting(retries: int, timeout: float) -> None:
    between("retries", retries, 0, 10)
    between("timeout", timeout, 0.5, 60)


def _check_recording(seconds: float, silence: float, finish_key: str) -> None:
    between("max_seconds", seconds, 1, 3600)
    if silence:
        between("silence", silence, 0.5, 60)
    if len(finish_key) > 1 or finish_key not in KEYS:
        raise ValueError('finish_key: must be one key, or "" for none')


def _check_variable(name: str) -> None:
    if not variables.is_name(name) or name.startswith(variables.HEADER):
        raise ValueError(f'into: "{name}" is no name of a variable; use letters, digits, _, - and dots')


def _check_folder(name: str, folder: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}", folder):
        raise ValueError(f"{name}: must be 1 to 64 letters, digits, dots, _ and -")
