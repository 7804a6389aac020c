"""Lists of actions, as they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from gateway.dialplan.actions import ConnectAgent
from gateway.dialplan.actions_ask import DigitRule, Menu
from gateway.dialplan.answers import read_expected
from gateway.dialplan.forms import FALLBACK, FORMS, INVALID, NO_INPUT, ON, Action, ActionForm
from gateway.dialplan.page import Page
from gateway.dialplan.steps import Branch, Step, Steps
from gateway.problems import nearest
from gateway.validation import in_words
from gateway.yaml_source import Place

_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {form.cls: TypeAdapter(form.cls) for form in FORMS.values()}
_DEEPEST = 12
"""Lists within lists that are read."""
_PLAIN = ("say", "play", "answer", "agent", "hangup")


class AgentMissing(Exception):
    """An optional route connects an agent that is not configured."""


@dataclass(frozen=True, slots=True)
class StepReader:
    """Reads lists of actions; everything wrong is told to the page."""

    page: Page
    optional: bool = False
    """Whether an unknown agent raises `AgentMissing` instead of being told."""

    def steps(self, data: object, place: Place, depth: int = 0) -> Steps:
        """The steps; with mistakes they are of no use. Raises `AgentMissing`."""
        if not isinstance(data, list) or not data:
            self.page.problem(place, "must be a list of actions", f"choose from {', '.join(FORMS)}")
            return ()
        if depth > _DEEPEST:
            self.page.problem(place, "is nested too deeply", "make a route of it, and `goto` it")
            return ()
        read = (self._step(item, (*place, i), depth) for i, item in enumerate(data))
        return tuple(step for step in read if step is not None)

    def _step(self, data: object, place: Place, depth: int) -> Step | None:
        word, value, beside = data, None, None
        if isinstance(data, dict):
            rest = dict(data)
            beside = rest.pop(FALLBACK, None) if len(rest) == 2 else None
            if len(rest) == 1:
                word, value = next(iter(rest.items()))
        if not isinstance(word, str):
            self.page.problem(place, "must be one action", "write `- word` or `- word: value`")
            return None
        form = FORMS.get(word)
        if form is None:
            self.page.problem(place, f'no action is called "{word}"', nearest(word, FORMS))
            return None
        here = (*place, word)
        given = self._given(form, value, here, word)
        if given is None:
            return None
        lists = {key: given.pop(key) for key in (*form.lists, ON) if key in given}
        where: dict[str, Place] = {key: (*here, key) for key in lists}
        if beside is not None:
            if not form.can_fail or FALLBACK in lists:
                what = "never fails" if not form.can_fail else "has a fallback already"
                self.page.problem((*place, FALLBACK), f"`{word}` {what}", "remove it")
                return None
            lists[FALLBACK], where[FALLBACK] = beside, (*place, FALLBACK)
        action = self._action(form, given, here)
        return None if action is None else self._whole(action, form, lists, where, place, depth)

    def _whole(
        self,
        action: Action,
        form: ActionForm,
        lists: Mapping[str, object],
        where: Mapping[str, Place],
        place: Place,
        depth: int,
    ) -> Step:
        def inner(key: str) -> Steps:
            return self.steps(lists[key], where[key], depth + 1) if key in lists else ()

        on = self._branches(lists.get(ON), where.get(ON, place), depth)
        if isinstance(action, Menu) and not on:
            self.page.problem(place, "offers nothing", "write `on:` and below it `1: [...]` for each choice")
        step = Step(action, inner(FALLBACK), on, inner(INVALID), inner(NO_INPUT), self.page.spot(place))
        if isinstance(action, ConnectAgent):
            self._known(action.agent, (*place, "agent"))
        return step

    def _branches(self, data: object, place: Place, depth: int) -> tuple[Branch, ...]:
        if data is None:
            return ()
        if not isinstance(data, dict) or not data:
            self.page.problem(place, "must be a section", "write `1: [...]`, or `sales: [...]`, below it")
            return ()
        found: list[Branch] = []
        for key, value in data.items():
            here = (*place, key)
            try:
                when = read_expected(key)
            except ValueError as error:
                what, _, cure = str(error).partition("; ")
                self.page.problem(here, what, cure)
                continue
            found.append(Branch(when, self.steps(value, here, depth + 1)))
        return tuple(found)

    def _known(self, agent: str, place: Place) -> None:
        known = self.page.agents
        if known is None or agent in known:
            return
        if self.optional:
            raise AgentMissing(agent)
        self.page.problem(place, f'no agent is called "{agent}"', nearest(agent, known))

    # -- one action -----------------------------------------------------------------------------------

    def _given(self, form: ActionForm, value: object, here: Place, word: str) -> dict[str, object] | None:
        """The fields that were written, by name; None when it cannot be told which."""
        fields = form.cls.__dataclass_fields__
        if value is None and form.bare:
            return {}
        if isinstance(value, dict) and not form.whole:
            known = (*fields, *form.lists, *((ON,) if form.branches else ()))
            if self.page.unknown(value, known, here):
                return None
            digits = value.get("digits")
            if isinstance(digits, dict) and self.page.unknown(
                digits, tuple(DigitRule.__dataclass_fields__), (*here, "digits")
            ):
                return None
            return {key: self._value(fields, key, value[key], (*here, key)) for key in value}
        if value is None or not form.main:
            if form.main or form.branches:
                self.page.problem(here, "takes a value", f"write `- {word}: …`")
            else:
                self.page.problem(here, "takes no value", f"write `- {word}`")
            return None
        return {form.main: self._value(fields, form.main, value, here)}

    def _value(self, fields: Mapping[str, Any], name: str, value: object, place: Place) -> object:
        """Text is taken as it was written: 0301 is no number, and +1555 does not lose its plus."""
        kind = getattr(fields.get(name), "type", "")
        if kind == "str":
            return self.page.source.raw.get(place, value)
        if kind == "tuple[str, ...]":
            items = value if isinstance(value, list) else [value]
            places = [(*place, i) for i in range(len(items))] if isinstance(value, list) else [place]
            return tuple(self.page.source.raw.get(p, v) for p, v in zip(places, items, strict=True))
        if kind == "Mapping[str, str]" and isinstance(value, dict):
            return {key: self.page.source.raw.get((*place, key), inner) for key, inner in value.items()}
        if name == "digits" and isinstance(value, dict) and "terminator" in value:
            return {**value, "terminator": self.page.source.raw.get((*place, "terminator"))}
        return value

    def _action(self, form: ActionForm, given: dict[str, object], here: Place) -> Action | None:
        try:
            action: Action = _ADAPTERS[form.cls].validate_python(given)
        except ValidationError as error:
            for mistake in error.errors(include_url=False):
                self._mistake(here, form, mistake)
            return None
        return self._with_sounds(action, form, here)

    def _with_sounds(self, action: Action, form: ActionForm, here: Place) -> Action | None:
        """The action with its files found; None, and told, when one cannot be played."""
        for name in ("file", "play"):
            path = getattr(action, name, None)
            if isinstance(path, Path):
                place = (*here, name) if name in self._written(here) else here
                found = self.page.sound(path, place)
                if found is None:
                    return None
                action = replace(action, **{name: found})  # type: ignore[arg-type]  # the field was read from it
        return action

    def _mistake(self, place: Place, form: ActionForm, mistake: ErrorDetails) -> None:
        what, cure = in_words(mistake)
        name = str(mistake["loc"][0]) if mistake["loc"] else what.partition(":")[0]
        if name in form.cls.__dataclass_fields__:
            what = what.removeprefix(f"{name}: ")
            place = (*place, name) if name in self._written(place) else place
        self.page.problem(place, what, cure)

    def _written(self, place: Place) -> set[str | int]:
        depth = len(place)
        return {path[depth] for path in self.page.source.lines if len(path) > depth and path[:depth] == place}
