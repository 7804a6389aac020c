"""A dialplan: immutable routes read from YAML, of which the first that matches a call takes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.dialplan import order
from gateway.dialplan.match import Arrival, Route
from gateway.dialplan.read import FileRead, read_file
from gateway.dialplan.steps import Steps, walk
from gateway.errors import CallerForbidden, DialplanFileError, NumberClosed, NumberUnknown
from gateway.problems import Problem, nearest

BUILT_IN = Path(__file__).resolve().parent.parent.parent / "dialplans" / "default.yaml"
"""The dialplan used when the configuration names none."""
TESTS = ".test.yaml"
"""How files end that hold a plan's tests; they are no plans."""


@dataclass(frozen=True, slots=True)
class Dialplan:
    """All routes, in order. Never changes: a reload makes a new one, and a running call keeps the old."""

    routes: tuple[Route, ...]
    skipped: tuple[str, ...] = ()
    """Optional routes left out because an agent of theirs is not configured."""
    fallback: Steps = ()
    """What is done when an action failed that has no fallback of its own; then the call is over."""

    @classmethod
    def load(cls, paths: Iterable[Path], agents: Collection[str] | None = None, region: str = "") -> Dialplan:
        """Read files, and the `*.yaml` of folders, in order.

        `agents` are the names that exist, None: any. `region` is for files that name none (ISO 3166).

        Raises `DialplanFileError` with every mistake of every file.
        """
        read = [read_file(path, agents, region) for path in files(paths)]
        problems = [problem for one in read for problem in one.problems]
        routes = [route for one in read for route in one.routes]
        skipped = [name for one in read for name in one.skipped]
        fallback = _fallback(read, problems)
        _unique(routes, problems)
        _jumps(routes, skipped, fallback, problems)
        problems += order.problems(routes, fallback)
        if problems:
            raise DialplanFileError(problems)
        return cls(tuple(routes), tuple(skipped), fallback)

    def route(self, call: Arrival) -> Route:
        """The first route for this call.

        Raises `NumberUnknown` (404), `CallerForbidden` (403) or `NumberClosed` (480).
        """
        number_known = caller_known = False
        for route in self.routes:
            match = route.match
            if not match.means_number(call):
                continue
            if match.means_caller(call):
                if match.means_moment(call):
                    return route
                caller_known = caller_known or bool(match.called)
            number_known = number_known or bool(match.called)
        if caller_known:
            raise NumberClosed("no route takes calls to the called number now")
        if number_known:
            raise CallerForbidden("no route lets this caller reach the called number")
        raise NumberUnknown("no route is meant for the called number")

    @property
    def headers(self) -> frozenset[str]:
        """Names, in lower case, of the headers that its matches ask for."""
        return frozenset(name for route in self.routes for name, _ in route.match.headers)

    def named(self, name: str) -> Route | None:
        """The route of that name."""
        return next((route for route in self.routes if route.name == name), None)

    def exact_numbers(self) -> Iterator[str]:
        """One for each route that can be dialled by one exact name."""
        for route in self.routes:
            if route.refuses is None and route.match.called and route.match.called[0].exact:
                yield route.match.called[0].written


def files(paths: Iterable[Path]) -> Sequence[Path]:
    """The files themselves, and in their place the sorted `*.yaml` of each folder, without tests."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        found.extend(file for file in inside if file == path or not file.name.endswith(TESTS))
    return found


def _fallback(read: Sequence[FileRead], problems: list[Problem]) -> Steps:
    given = [one.fallback for one in read if one.fallback]
    for more in given[1:]:
        what = f"the plan has a fallback in {given[0][0].spot.source} already"
        problems.append(more[0].spot.problem(what, "keep one of them"))
    return given[0] if given else ()


def _unique(routes: Sequence[Route], problems: list[Problem]) -> None:
    first: dict[str, str] = {}
    for route in routes:
        if route.name in first:
            source, _, line = route.source.rpartition(":")
            what = f'a route called "{route.name}" stands in {first[route.name]} already'
            problems.append(Problem(source, int(line), "name", what, "give it a name of its own"))
        first.setdefault(route.name, route.source)


def _jumps(
    routes: Sequence[Route], skipped: Collection[str], fallback: Steps, problems: list[Problem]
) -> None:
    """A `goto` must lead somewhere."""
    names = {route.name for route in routes}
    for steps in (*(route.steps for route in routes), fallback):
        for step, target in order.targets(walk(steps)):
            if target in skipped:
                what = f'the route "{target}" is left out, because an agent of it is not configured'
                problems.append(step.spot.problem(what, "configure the agent, or make this route optional"))
            elif target not in names:
                what = f'no route is called "{target}"'
                problems.append(step.spot.problem(what, nearest(target, names)))
