"""From a dialplan's file to its routes, or to the list of everything that is wrong in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engines.base import Residency
from gateway.dialplan.match import Route
from gateway.dialplan.numbers import is_region
from gateway.dialplan.page import Page
from gateway.dialplan.read_match import MatchReader
from gateway.dialplan.read_steps import AgentMissing, StepReader
from gateway.dialplan.steps import Steps
from gateway.dialplan.times import TimeWindow, read_zone
from gateway.problems import Problem
from gateway.yaml_source import Place, Refused, read

_FILE_KEYS = ("routes", "fallback", "region", "zone", "times")
_ROUTE_KEYS = ("name", "match", "actions", "optional", "data")


@dataclass(slots=True)
class FileRead:
    """What a file gave."""

    routes: list[Route] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    fallback: Steps = ()
    problems: list[Problem] = field(default_factory=list)


def read_file(path: Path, agents: Collection[str] | None, region: str = "") -> FileRead:
    """Read one file; every mistake is in `problems`, nothing is raised."""
    out = FileRead()
    try:
        source = read(path.read_text(encoding="utf-8"), str(path))
    except Refused as refused:
        out.problems.append(refused.problem)
        return out
    except (OSError, UnicodeDecodeError) as error:
        what = (error.strerror or "cannot be read") if isinstance(error, OSError) else "not UTF-8 text"
        out.problems.append(Problem(str(path), 0, "", what.lower(), "check the path"))
        return out
    _File(Page(source, path.parent, agents, out.problems), out, region).read()
    return out


@dataclass(frozen=True, slots=True)
class _File:
    page: Page
    out: FileRead
    region: str

    def read(self) -> None:
        data = self.page.source.data
        if not isinstance(data, dict) or "routes" not in data:
            self.page.problem((), "holds no routes", "begin with `routes:` and a list below it")
        if not isinstance(data, dict):
            return
        self.page.unknown(data, _FILE_KEYS, ())
        matches = self._matches(data)
        if "fallback" in data:
            self.out.fallback = StepReader(self.page).steps(data["fallback"], ("fallback",))
        routes = data.get("routes", [])
        if not isinstance(routes, list):
            self.page.problem(("routes",), "must be a list", "begin each route with `- name:`")
            return
        for i, route in enumerate(routes):
            self._route(route, ("routes", i), matches)

    def _matches(self, data: Mapping[str, object]) -> MatchReader:
        """What the top of the file says for all its routes."""
        region, zone = self.region, ""
        if "region" in data:
            region = self.page.made(("region",), _region, "write a country like DE") or ""
        if "zone" in data:
            zone = self.page.made(("zone",), read_zone, "write an IANA name like Europe/Berlin") or ""
        times: dict[str, tuple[TimeWindow, ...]] = {}
        reader = MatchReader(self.page, region, zone, times)
        named = data.get("times", {})
        if not isinstance(named, dict):
            cure = "write `office: {days: [mon-fri]}` below it"
            self.page.problem(("times",), "must be a section", cure)
            return reader
        for name, window in named.items():
            times[name] = reader.windows(window, ("times", name))
        return reader

    def _route(self, data: object, place: Place, matches: MatchReader) -> None:
        page = self.page
        if not isinstance(data, dict):
            page.problem(place, "must be a route", "write `name:`, `match:` and `actions:` below the dash")
            return
        before = len(page.problems)
        mistyped = page.unknown(data, _ROUTE_KEYS, place)
        name = page.text(data.get("name"), (*place, "name"), "the route needs a name")
        match = matches.match(data.get("match", {}), (*place, "match"))
        optional = data.get("optional", False)
        if not isinstance(optional, bool):
            cure = "write `optional: true`, or leave it out"
            page.problem((*place, "optional"), "must be true or false", cure)
        limit = self._limit(data.get("data"), (*place, "data"))
        if mistyped and "actions" not in data:
            return
        try:
            steps = StepReader(page, optional is True).steps(data.get("actions"), (*place, "actions"))
        except AgentMissing:
            self.out.skipped.append(name)
            return
        if len(page.problems) == before:
            where = f"{page.source.name}:{page.source.line(place)}"
            self.out.routes.append(Route(name, match, steps, where, limit))

    def _limit(self, data: object, place: Place) -> Residency | None:
        if data is None or data in list(Residency):
            return None if data is None else Residency(str(data))
        self.page.problem(place, f'"{data}" is no place', "choose node, site or cloud")
        return None


def _region(text: str) -> str:
    if not is_region(text):
        raise ValueError(f'"{text}" is no country; write its two capital letters, like DE')
    return text
