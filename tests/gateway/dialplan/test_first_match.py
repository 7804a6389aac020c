"""The first route that fits takes the call, for any routes and any call; judged by a second reading."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import event, given, settings
from hypothesis import strategies as st

from gateway.dialplan.match import Arrival
from gateway.dialplan.plan import Dialplan
from gateway.errors import DialplanError, verdict
from media.legs.base import Parties

# Each pattern with what it means as a regular expression, written down by hand.
NUMBERS = {
    "100": r"\+?100", "10?": r"\+?10.", "1*": r"\+?1.*", "*": r".*", "[12]0[01]": r"\+?[12]0[01]",
    "/1[0-9]+/": r"1[0-9]+", "+49 30 *": r"\+4930.*", "sales": r"sales", "": r"",
}  # fmt: skip
VALUES = {"gold": r"gold", "g*": r"g.*", "?*": r".+", "/gold|silver/": r"gold|silver", "": r""}
HOURS = {"08:00-12:00": range(8, 12), "12:00-20:00": range(12, 20)}

Patterns = st.lists(st.sampled_from(sorted(NUMBERS)), min_size=1, max_size=2)
Matches = st.fixed_dictionaries(
    {},
    optional={
        "called": Patterns,
        "caller": Patterns,
        "trunk": st.lists(st.sampled_from(["carrier", "office", ""]), min_size=1, max_size=2),
        "headers": st.dictionaries(
            st.sampled_from(["X-A", "X-B"]), st.sampled_from(sorted(VALUES)), min_size=1, max_size=2
        ),
        "time": st.fixed_dictionaries({"zone": st.just("UTC"), "hours": st.sampled_from(sorted(HOURS))}),
        "health": st.dictionaries(
            st.sampled_from(["asr", "tts"]), st.sampled_from(["ok", "down"]), min_size=1
        ),
    },
)
Numbers = st.sampled_from(
    ["100", "+100", "101", "109", "201", "12345", "+4930123456", "sales", "anonymous", ""]
)
Headers = st.dictionaries(st.sampled_from(["x-a", "x-b"]), st.sampled_from(["gold", "Silver", "grey", ""]))
Calls = st.builds(
    lambda caller, called, trunk, headers, hour, down: Arrival(
        Parties(caller, called, trunk, headers=tuple(headers.items())),
        datetime(2026, 11, 26, hour, 30, tzinfo=UTC),
        frozenset(down),
    ),
    Numbers, Numbers, st.sampled_from(["carrier", "office", ""]), Headers, st.integers(0, 23),
    st.sets(st.sampled_from(["asr", "tts"])),
)  # fmt: skip


def one_of(patterns: Sequence[str], meanings: Mapping[str, str], value: str) -> bool:
    return any(re.fullmatch(meanings.get(one, re.escape(one)), value, re.IGNORECASE) for one in patterns)


def fits(match: Mapping[str, object], call: Arrival) -> str:
    """What speaks against this route first: called, caller or moment; "" when it is for the call."""
    who = call.parties
    asked = {name: match.get(name) for name in ("called", "caller", "trunk")}
    said = {"called": who.called, "caller": who.caller, "trunk": who.trunk}
    for name, patterns in asked.items():
        if isinstance(patterns, list) and not one_of(
            patterns, {} if name == "trunk" else NUMBERS, said[name]
        ):
            return "called" if name == "called" else "caller"
    return _rest(match, call)


def _rest(match: Mapping[str, object], call: Arrival) -> str:
    came = dict(call.parties.headers)
    headers, time, health = (match.get(name) or {} for name in ("headers", "time", "health"))
    assert isinstance(headers, dict) and isinstance(time, dict) and isinstance(health, dict)
    if not all(one_of([value], VALUES, came.get(name.lower(), "")) for name, value in headers.items()):
        return "caller"
    if time and call.at.hour not in HOURS[time["hours"]]:
        return "moment"
    works = all((name in call.down) == (state == "down") for name, state in health.items())
    return "" if works else "moment"


def expected(matches: Sequence[Mapping[str, object]], call: Arrival) -> str | int:
    """The route's name, or the code of the refusal: 480 before 403 before 404."""
    verdicts = [(fits(match, call), "called" in match) for match in matches]
    for i, (against, _) in enumerate(verdicts):
        if not against:
            return f"r{i}"
    told = {against for against, named in verdicts if named}
    return 480 if "moment" in told else 403 if "caller" in told else 404


@settings(max_examples=400, deadline=None)
@given(st.lists(Matches, min_size=1, max_size=6), Calls)
def test_the_first_route_that_fits_takes_the_call(matches: list[dict[str, object]], call: Arrival) -> None:
    routes = [{"name": f"r{i}", "match": match, "actions": ["answer"]} for i, match in enumerate(matches)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.yaml"
        path.write_text(json.dumps({"routes": routes}))
        plan = Dialplan.load([path])
    found: str | int
    try:
        found = plan.route(call).name
    except DialplanError as error:
        found = verdict(error).sip_code
    event("taken" if isinstance(found, str) else f"refused {found}")
    assert found == expected(matches, call)
