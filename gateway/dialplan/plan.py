"""Which calls are taken and what happens in them: immutable routes read from YAML, the first match wins."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.dialplan.match import Route, any_of, normalise
from gateway.dialplan.read import read_routes
from gateway.errors import CallerForbidden, DialplanFileError, NumberUnknown
from gateway.problems import Problem
from media.legs.base import Parties

BUILT_IN = Path(__file__).resolve().parent.parent.parent / "dialplans" / "default.yaml"
"""The dialplan used when the configuration names none."""


@dataclass(frozen=True, slots=True)
class Dialplan:
    """All routes, in order. Never changes: a reload makes a new one, and a running call keeps its route."""

    routes: tuple[Route, ...]
    skipped: tuple[str, ...] = ()
    """Optional routes left out because an agent of theirs is not configured."""

    @classmethod
    def load(cls, paths: Iterable[Path], agents: Collection[str] | None = None) -> Dialplan:
        """Read files, and the `*.yaml` of folders, in order; `agents` are the names that exist, None: any.

        Raises `DialplanFileError` with every mistake of every file.
        """
        problems: list[Problem] = []
        routes: list[Route] = []
        skipped: list[str] = []
        for path in files(paths):
            read = read_routes(path, agents)
            problems.extend(read.problems)
            routes.extend(read.routes)
            skipped.extend(read.skipped)
        _unique(routes, problems)
        if problems:
            raise DialplanFileError(problems)
        return cls(tuple(routes), tuple(skipped))

    def route(self, parties: Parties) -> Route:
        """The first route for this call. Raises `NumberUnknown` (404) or `CallerForbidden` (403)."""
        called, caller, trunk = map(normalise, (parties.called, parties.caller, parties.trunk))
        number_known = False
        for route in self.routes:
            match = route.match
            if not any_of(match.called, called):
                continue
            if any_of(match.caller, caller) and any_of(match.trunk, trunk):
                return route
            number_known = number_known or bool(match.called)
        if number_known:
            raise CallerForbidden("no route lets this caller reach the called number")
        raise NumberUnknown("no route is meant for the called number")


def files(paths: Iterable[Path]) -> Sequence[Path]:
    """The files themselves, and in their place the sorted `*.yaml` of each folder."""
    found: list[Path] = []
    for path in paths:
        found.extend(sorted(path.glob("*.yaml")) if path.is_dir() else [path])
    return found


def _unique(routes: Sequence[Route], problems: list[Problem]) -> None:
    first: dict[str, str] = {}
    for route in routes:
        if route.name in first:
            source, _, line = route.source.rpartition(":")
            what = f'a route called "{route.name}" stands in {first[route.name]} already'
            problems.append(Problem(source, int(line), "name", what, "give it a name of its own"))
        first.setdefault(route.name, route.source)
