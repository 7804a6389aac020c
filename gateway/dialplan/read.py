"""From a dialplan's file to its routes, or to the list of everything that is wrong in it."""

from __future__ import annotations

import wave
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from engines.base import Residency
from gateway.dialplan.actions import FORMS, Action, ActionForm, ConnectAgent, PlayFile, order_problem
from gateway.dialplan.match import Match, Pattern, Route, compile_pattern
from gateway.problems import Problem, nearest
from gateway.validation import in_words
from gateway.yaml_source import Place, Refused, Source, dotted, read

_ROUTE_KEYS = ("name", "match", "actions", "optional", "data")
_MATCH_KEYS = ("called", "caller", "trunk")
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {form.cls: TypeAdapter(form.cls) for form in FORMS.values()}


@dataclass(slots=True)
class RoutesRead:
    """What a file gave."""

    routes: list[Route] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_routes(path: Path, agents: Collection[str] | None) -> RoutesRead:
    """Read one file; every mistake is in `problems`, nothing is raised."""
    out = RoutesRead()
    try:
        source = read(path.read_text(encoding="utf-8"), str(path))
    except Refused as refused:
        out.problems.append(refused.problem)
        return out
    except (OSError, UnicodeDecodeError) as error:
        what = (error.strerror or "cannot be read") if isinstance(error, OSError) else "not UTF-8 text"
        out.problems.append(Problem(str(path), 0, "", what.lower(), "check the path"))
        return out
    _File(source, path.parent, agents, out).read()
    return out


@dataclass(frozen=True, slots=True)
class _File:
    source: Source
    folder: Path
    agents: Collection[str] | None
    out: RoutesRead

    def problem(self, place: Place, what: str, cure: str) -> None:
        self.out.problems.append(
            Problem(self.source.name, self.source.line(place), dotted(place), what, cure)
        )

    def read(self) -> None:
        data = self.source.data
        if not isinstance(data, dict) or "routes" not in data:
            self.problem((), "holds no routes", "begin with `routes:` and a list below it")
        if isinstance(data, dict):
            self._unknown(data, ("routes",), ())
            routes = data.get("routes", [])
            if not isinstance(routes, list):
                self.problem(("routes",), "must be a list", "begin each route with `- name:`")
                return
            for i, route in enumerate(routes):
                self._route(route, ("routes", i))

    def _route(self, data: object, place: Place) -> None:
        if not isinstance(data, dict):
            self.problem(place, "must be a route", "write `name:`, `match:` and `actions:` below the dash")
            return
        before = len(self.out.problems)
        mistyped = self._unknown(data, _ROUTE_KEYS, place)
        name = self._text(data.get("name"), (*place, "name"), "the route needs a name")
        match = self._match(data.get("match", {}), (*place, "match"))
        optional = data.get("optional", False)
        if not isinstance(optional, bool):
            cure = "write `optional: true`, or leave it out"
            self.problem((*place, "optional"), "must be true or false", cure)
        limit = self._limit(data.get("data"), (*place, "data"))
        if mistyped and "actions" not in data:
            return
        actions = self._actions(data.get("actions"), (*place, "actions"), optional=optional is True)
        if actions is None:
            self.out.skipped.append(name)
        elif len(self.out.problems) == before:
            where = f"{self.source.name}:{self.source.line(place)}"
            self.out.routes.append(Route(name, match, tuple(actions), where, limit))

    def _limit(self, data: object, place: Place) -> Residency | None:
        if data is None or data in list(Residency):
            return None if data is None else Residency(str(data))
        self.problem(place, f'"{data}" is no place', "choose node, site or cloud")
        return None

    # -- match ----------------------------------------------------------------------------------------

    def _match(self, data: object, place: Place) -> Match:
        if not isinstance(data, dict):
            self.problem(place, "must be a section", "write called:, caller: or trunk: below it")
            return Match()
        self._unknown(data, _MATCH_KEYS, place)
        return Match(
            *(self._patterns(data[key], (*place, key)) if key in data else () for key in _MATCH_KEYS)
        )

    def _patterns(self, data: object, place: Place) -> tuple[Pattern, ...]:
        if not isinstance(data, list):
            return self._pattern(place)
        if not data:
            self.problem(place, "is empty", "leave it out to mean everybody")
        return tuple(pattern for i in range(len(data)) for pattern in self._pattern((*place, i)))

    def _pattern(self, place: Place) -> tuple[Pattern, ...]:
        # As it was written: +1555 must not become the number 1555.
        written = self.source.raw.get(place)
        if written is None:
            self.problem(
                place, "must be a number, a name or a pattern", 'write 1000, "+49 30 *" or /^49[0-9]+$/'
            )
            return ()
        try:
            return (compile_pattern(written),)
        except ValueError as error:
            what, _, cure = str(error).partition("; ")
            self.problem(place, what, cure)
            return ()

    # -- actions --------------------------------------------------------------------------------------

    def _actions(self, data: object, place: Place, *, optional: bool) -> list[Action] | None:
        """The actions, or None when the route is optional and an agent of it is not configured."""
        if not isinstance(data, list) or not data:
            self.problem(place, "must be a list of actions", f"choose from {', '.join(FORMS)}")
            return []
        actions: list[Action] = []
        for i, item in enumerate(data):
            action = self._action(item, (*place, i))
            if action is None:
                return []
            if wrong := order_problem(actions, action):
                self.problem((*place, i), *wrong)
            if (
                isinstance(action, ConnectAgent)
                and self.agents is not None
                and action.agent not in self.agents
            ):
                if optional:
                    return None
                what = f'no agent is called "{action.agent}"'
                self.problem((*place, i, "agent"), what, nearest(action.agent, self.agents))
            actions.append(action)
        return actions

    def _action(self, data: object, place: Place) -> Action | None:
        word, value = data, None
        if isinstance(data, dict) and len(data) == 1:
            word, value = next(iter(data.items()))
        if not isinstance(word, str):
            self.problem(place, "must be one action", "write `- word` or `- word: value`")
            return None
        form = FORMS.get(word)
        if form is None:
            self.problem(place, f'no action is called "{word}"', nearest(word, FORMS))
            return None
        return self._made(form, value, place, word)

    def _made(self, form: ActionForm, value: object, place: Place, word: str) -> Action | None:
        here = (*place, word)
        fields = form.cls.__dataclass_fields__
        if value is None and form.bare:
            given: Mapping[str, object] = {}
        elif isinstance(value, dict):
            given = value
            if self._unknown(given, tuple(fields), here):
                return None
        elif value is None or not form.main:
            if form.main:
                self.problem(here, "takes a value", f"write `- {word}: …`")
            else:
                self.problem(here, "takes no value", f"write `- {word}`")
            return None
        else:
            given = {form.main: self.source.raw.get(here, value) if form.main in ("text", "agent") else value}
        try:
            action: Action = _ADAPTERS[form.cls].validate_python(given)
        except ValidationError as error:
            for mistake in error.errors(include_url=False):
                self._mistake(here, form, mistake)
            return None
        return self._playable(action, here) if isinstance(action, PlayFile) else action

    def _mistake(self, place: Place, form: ActionForm, mistake: ErrorDetails) -> None:
        what, cure = in_words(mistake)
        field = str(mistake["loc"][0]) if mistake["loc"] else what.partition(":")[0]
        if field in form.cls.__dataclass_fields__:
            what = what.removeprefix(f"{field}: ")
            place = (*place, field) if field in self._written(place) else place
        self.problem(place, what, cure)

    def _written(self, place: Place) -> set[str | int]:
        depth = len(place)
        return {path[depth] for path in self.source.lines if len(path) > depth and path[:depth] == place}

    def _playable(self, action: PlayFile, place: Place) -> PlayFile | None:
        file = self.folder / action.file
        try:
            with wave.open(str(file), "rb") as sound:
                if sound.getnchannels() == 1 and sound.getsampwidth() == 2:
                    return PlayFile(file)
            what = "is not mono 16-bit"
        except (OSError, ValueError) as error:
            what = (
                (error.strerror or "cannot be read").lower() if isinstance(error, OSError) else "is no path"
            )
        except (wave.Error, EOFError):
            what = "is no PCM WAV file"
        self.problem(place, f"{action.file}: {what}", "name a mono 16-bit PCM WAV file beside the dialplan")
        return None

    # -- common ---------------------------------------------------------------------------------------

    def _unknown(self, data: Mapping[str, object], known: Collection[str], place: Place) -> bool:
        strangers = [key for key in data if key not in known]
        for key in strangers:
            self.problem((*place, key), f'nothing is called "{key}" here', nearest(key, known))
        return bool(strangers)

    def _text(self, data: object, place: Place, what: str) -> str:
        if data is None or isinstance(data, dict | list) or not str(data).strip():
            self.problem(place, what, "one word will do")
            return ""
        return self.source.raw.get(place, str(data))
