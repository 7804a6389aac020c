"""A dialplan's tests as they are written: `*.test.yaml` beside the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gateway.dialplan.times import read_zone
from gateway.errors import DialplanFileError
from gateway.problems import Problem, nearest
from gateway.rehearsal.others import ANSWERS
from gateway.validation import in_words
from gateway.yaml_source import Place, Refused, Source, dotted, read

_STRICT = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
_NOON = datetime(2026, 1, 7, 12, 0, tzinfo=UTC)
"""A Wednesday: when calls come whose case does not say when."""


@dataclass(frozen=True, slots=True)
class GivenCall:
    """The call that comes in."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    called: str
    caller: str = ""
    trunk: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    time: str = ""
    """`2026-12-24 10:00`, with a zone's name behind it, or an offset; without one it is UTC."""

    @property
    def at(self) -> datetime:
        """The moment. Raises `ValueError`."""
        return read_moment(self.time) if self.time else _NOON


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that the caller does when it is his turn."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    keys: str = ""
    says: str = ""
    waits: float = 0.0
    """Seconds of silence; what follows belongs to the same turn."""
    hangs_up: bool = False
    interrupts: bool = False
    """Do it while he is being spoken to, instead of after it."""

    def __post_init__(self) -> None:
        if sum((bool(self.keys), bool(self.says), self.waits > 0, self.hangs_up)) != 1:
            raise ValueError("must do one thing; write keys:, says:, waits: or hangs_up")

    def __str__(self) -> str:
        if self.hangs_up:
            return "hangs up"
        if self.waits:
            return f"waits {self.waits:g} s"
        return f"keys {self.keys}" if self.keys else f"says {self.says!r}"


@dataclass(frozen=True, slots=True)
class AgentGiven:
    """What an agent says in this case."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    greeting: str = ""
    replies: tuple[str | dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come of it; what is left out is not looked at."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    route: str = ""
    """The first one."""
    routes: tuple[str, ...] = ()
    """All of them, with those that were gone to."""
    refused: int = 0
    """SIP code with which the call was not taken."""
    hears: tuple[str, ...] = ()
    """What the caller heard, in this order, among other things; a file is `[name.wav]`, a tone `[beep]`."""
    never_hears: tuple[str, ...] = ()
    does: tuple[str, ...] = ()
    """Every action in order, by its word, with its detail if you like: `transfer +49301000`."""
    dials: tuple[str, ...] = ()
    """Whom we called, or sent the caller to."""
    asks: tuple[str, ...] = ()
    """Addresses of webhooks, or their beginnings, in order."""
    variables: Mapping[str, str] = field(default_factory=dict)
    messages: tuple[dict[str, str], ...] = ()
    """Voicemails, by what their JSON must hold."""
    ends: str = ""
    """The call's end reason."""
    cause: int = 0
    """Q.850 cause told to the caller."""


@dataclass(frozen=True, slots=True)
class Case:
    """One call and what must come of it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: str
    call: GivenCall
    expect: Expected
    caller: tuple[Act, ...] = ()
    """What he does, one thing at each of his turns; after the last he is silent."""
    down: tuple[str, ...] = ()
    """What does not work, as the plan's `health` sees it: asr, tts, agents."""
    fails: tuple[str, ...] = ()
    """What breaks when it is used: asr, tts, or an agent's name."""
    agents: Mapping[str, AgentGiven] = field(default_factory=dict)
    """What agents say; one that is not named repeats the caller's words."""
    dial: Mapping[str, str] = field(default_factory=dict)
    """What those who are called do: answers, busy, no_answer, rejected, unknown; others may not be called."""
    webhooks: Mapping[str, Any] = field(default_factory=dict)
    """What servers answer, by address or its beginning: a status, silence, or `{set: {...}, choose: ...}`."""

    def __post_init__(self) -> None:
        for number, does in self.dial.items():
            if does != "answers" and does not in ANSWERS:
                raise ValueError(f'dial: {number} cannot "{does}"; choose answers, {", ".join(ANSWERS)}')


@dataclass(frozen=True, slots=True)
class CaseFile:
    """The tests of one file."""

    path: Path
    plan: tuple[Path, ...]
    """The files that are tested, as one plan."""
    cases: tuple[tuple[int, Case], ...]
    """Line and case."""


_CASE = TypeAdapter(Case)


def read_moment(text: str) -> datetime:
    """`2026-12-24 10:00 Europe/Berlin`, or any ISO 8601. Raises `ValueError`."""
    date, _, zone = text.strip().rpartition(" ")
    if "/" in zone or zone == "UTC":
        return datetime.fromisoformat(date).replace(tzinfo=ZoneInfo(read_zone(zone)))
    at = datetime.fromisoformat(text.strip())
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def read_cases(path: Path) -> CaseFile:
    """Read a file of tests. Raises `DialplanFileError` with every mistake in it."""
    try:
        source = read(path.read_text(encoding="utf-8"), str(path))
    except Refused as refused:
        raise DialplanFileError([refused.problem]) from None
    except (OSError, UnicodeDecodeError) as error:
        what = (error.strerror or "cannot be read") if isinstance(error, OSError) else "not UTF-8 text"
        raise DialplanFileError([Problem(str(path), 0, "", what.lower(), "check the path")]) from None
    problems: list[Problem] = []
    data = source.data
    if not isinstance(data, dict) or not isinstance(data.get("cases"), list):
        problem = Problem(str(path), 1, "", "holds no cases", "begin with `cases:` and a list below it")
        raise DialplanFileError([problem])
    for stranger in (key for key in data if key not in ("plan", "cases")):
        cure = nearest(stranger, ("plan", "cases"))
        what = f'nothing is called "{stranger}" here'
        problems.append(Problem(str(path), source.line((stranger,)), stranger, what, cure))
    cases = [_case(source, case, ("cases", i), problems) for i, case in enumerate(data["cases"])]
    if problems:
        raise DialplanFileError(problems)
    named = data.get("plan", path.name.removesuffix(".test.yaml") + ".yaml")
    plans = tuple(path.parent / str(one) for one in (named if isinstance(named, list) else [named]))
    found = tuple((source.line(("cases", i)), case) for i, case in enumerate(cases) if case is not None)
    return CaseFile(path, plans, found)


def _case(source: Source, data: object, place: Place, problems: list[Problem]) -> Case | None:
    try:
        case: Case = _CASE.validate_python(_as_written(source, data, place))
        _ = case.call.at
    except ValidationError as error:
        for mistake in error.errors(include_url=False):
            here: Place = (*place, *(part for part in mistake["loc"] if part != "function-after"))
            what, cure = in_words(mistake)
            if mistake["type"] == "unexpected_keyword_argument":
                what, cure = f'nothing is called "{here[-1]}" here', "see dialplans/README.md for the words"
            problems.append(Problem(source.name, source.line(here), dotted(here), what, cure))
        return None
    except ValueError:
        here = (*place, "call", "time")
        cure = "write it like 2026-12-24 10:00 Europe/Berlin"
        problems.append(Problem(source.name, source.line(here), dotted(here), "is no time", cure))
        return None
    return case


def _as_written(source: Source, data: object, place: Place) -> object:
    """Numbers as the text they are written in: +1555 keeps its plus, 0301 its zero. Words become acts."""
    if isinstance(data, dict):
        return {key: _as_written(source, value, (*place, key)) for key, value in data.items()}
    if isinstance(data, list):
        items = [_as_written(source, value, (*place, i)) for i, value in enumerate(data)]
        return [{"hangs_up": True} if item == "hangs_up" else item for item in items]
    if isinstance(data, int | float) and not isinstance(data, bool):
        return source.raw.get(place, str(data)) if place[-2:-1] != ("webhooks",) else data
    return data
