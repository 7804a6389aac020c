"""Random plans: reading raises nothing but its own error; what can be read can be run to an end."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gateway.calls.settings import SessionSettings
from gateway.dialplan.check import findings
from gateway.dialplan.forms import FORMS
from gateway.dialplan.match import Arrival
from gateway.dialplan.plan import Dialplan
from gateway.errors import DialplanError
from gateway.metrics import Metrics
from gateway.rehearsal.case import Act, Case, Expected, GivenCall
from gateway.rehearsal.perform import LONGEST, rehearse
from media.legs.base import Parties

METRICS = Metrics()
_FIELDS = sorted({name for form in FORMS.values() for name in (*form.cls.__dataclass_fields__, *form.lists)})
_VALUES = st.one_of(
    st.sampled_from(
        ["", "1", "1000", "+49 30 1", "*", "/1[0-9]+/", "Hello ${caller}.", "${", "echo", "one", "two",
         "digits", "office", "https://a.example/${gathered}", "refer", "bridge", "#", "[0-9]{2}", "yes"]
    ),
    st.sampled_from([None, True, 0, 1, 2, 5, 0.5, 16, 486, -1, 1000]),
)  # fmt: skip
_ANSWERS = st.sampled_from(["1", "2", "yes", "1, yes", "*", "/1./", "!", ""])


def _action(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    word = st.sampled_from(sorted(FORMS))
    lists = st.lists(inner, min_size=1, max_size=2)
    branches = st.dictionaries(_ANSWERS, lists, min_size=1, max_size=2)
    section = st.dictionaries(
        st.sampled_from([*_FIELDS, "on"]), st.one_of(_VALUES, lists, branches), min_size=1, max_size=4
    )
    return st.one_of(word, st.tuples(word, _VALUES | section).map(lambda pair: {pair[0]: pair[1]}))


_ACTIONS = st.recursive(_action(st.just("hangup")), _action, max_leaves=8)
_MATCH: st.SearchStrategy[object] = st.one_of(
    st.just("never"),
    st.just({}),
    st.dictionaries(
        st.sampled_from(["called", "caller", "trunk", "time", "headers", "health"]),
        _VALUES
        | st.lists(_VALUES, max_size=2)
        | st.dictionaries(st.sampled_from(["asr", "days", "x"]), _VALUES),
        max_size=3,
    ),
)
_ROUTE = st.fixed_dictionaries(
    {"name": st.sampled_from(["one", "two"]), "match": _MATCH, "actions": st.lists(_ACTIONS, max_size=4)}
)


def load(plan: object) -> Dialplan | None:
    """JSON is YAML: this reaches every branch behind the parser."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.yaml"
        path.write_text(json.dumps(plan))
        try:
            return Dialplan.load([path], {"echo"})
        except DialplanError:
            return None


@settings(max_examples=300, deadline=None)
@given(
    st.lists(_ROUTE, min_size=1, max_size=3),
    st.none() | st.lists(_ACTIONS, max_size=2),
    st.text(max_size=12),
    st.text(max_size=12),
)
def test_no_plan_and_no_call_raises_anything_but_a_dialplan_error(
    routes: list[object], fallback: object, called: str, caller: str
) -> None:
    plan = load({"routes": routes, **({"fallback": fallback} if fallback is not None else {})})
    if plan is None:
        return
    findings(plan)
    try:
        assert plan.route(Arrival(Parties(caller, called), datetime(2026, 1, 1, tzinfo=UTC))) in plan.routes
    except DialplanError:
        pass


_SOUND = st.sampled_from(
    [
        {"say": "Hello ${caller}."}, {"gather": {"say": "Hm?", "retries": 1, "timeout": 1}},
        {"menu": {"say": "One.", "retries": 0, "on": {"1": ["hangup"], "yes": [{"goto": "two"}]}}},
        {"gather": {"on": {"1": [{"say": "One."}], "*": [{"goto": "one"}]}, "no_input": [{"goto": "two"}]}},
        {"agent": "echo"}, {"agent": {"agent": "echo", "fallback": [{"say": "No."}]}}, {"bridge": "5"},
        {"bridge": {"to": "${gathered}", "fallback": [{"voicemail": "x"}]}}, {"transfer": "6"},
        {"record": {"max_seconds": 2}}, {"voicemail": {"mailbox": "x", "silence": 1}}, {"goto": "two"},
        {"set": {"a": "${gathered}"}}, {"hangup": 17},
        {"webhook": {"url": "https://a.example/", "fallback": [{"goto": "one"}]}},
    ]
)  # fmt: skip
_CALLER = st.lists(
    st.sampled_from([Act(keys="1"), Act(keys="#"), Act(says="yes"), Act(waits=2.0), Act(hangs_up=True)]),
    max_size=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    one=st.lists(_SOUND, min_size=1, max_size=4),
    two=st.lists(_SOUND, min_size=1, max_size=3),
    fallback=st.none() | st.lists(_SOUND, min_size=1, max_size=2),
    acts=_CALLER,
    fails=st.sets(st.sampled_from(["asr", "tts", "echo"])),
)
def test_whatever_can_be_read_runs_to_an_end(
    one: list[object], two: list[object], fallback: object, acts: list[Act], fails: set[str]
) -> None:
    routes = [
        {"name": "one", "match": {"called": "1"}, "actions": ["answer", *one]},
        {"name": "two", "match": "never", "actions": two},
    ]
    plan = load({"routes": routes, **({"fallback": fallback} if fallback else {})})
    assume(plan is not None)
    assert plan is not None
    case = Case(
        "x", GivenCall("1"), Expected(), tuple(acts), fails=tuple(fails), dial={"5": "answers", "6": "busy"}
    )
    outcome = rehearse(case, plan, SessionSettings(), METRICS)
    assert outcome.ends or outcome.refused
    assert outcome.seconds < LONGEST
