"""A route's way through its actions: branches, failures, circles, reloads; by plans as they are written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.calls.settings import SessionSettings
from gateway.dialplan.actions import Answer, GoToRoute, SayText
from gateway.dialplan.actions_ask import Gather
from gateway.dialplan.match import Match, Route
from gateway.dialplan.plan import BUILT_IN, Dialplan
from gateway.dialplan.steps import plain
from gateway.metrics import Metrics
from gateway.rehearsal.case import Act, Case, Expected, GivenCall
from gateway.rehearsal.perform import LONGEST, Outcome, rehearse
from media.legs.base import EndReason
from tests.fakes.desk import FrontDesk, Phone
from tests.fakes.tts import ToneTts
from tests.virtual_time import run_virtual

EXAMPLES = sorted(p for p in (BUILT_IN.parent / "examples").glob("*.yaml") if ".test." not in p.name)
BEEP = Path(__file__).parent.parent.parent / "data" / "dialplans" / "beep.wav"
METRICS = Metrics()


def play(folder: Path, text: str, **given: object) -> Outcome:
    """One call to 1 through a plan of this text."""
    path = folder / "plan.yaml"
    path.write_text(text)
    case = Case("x", GivenCall("1", "+49301"), Expected(), **given)  # type: ignore[arg-type]
    return rehearse(case, Dialplan.load([path]), SessionSettings(), METRICS)


def route(*actions: str, fallback: str = "") -> str:
    lines = "\n".join(f"      - {action}" for action in actions)
    head = f"fallback: {fallback}\n" if fallback else ""
    return f"{head}routes:\n  - name: one\n    match: {{called: 1}}\n    actions:\n{lines}\n"


def test_a_failed_action_leads_to_its_fallback_and_then_on(tmp_path: Path) -> None:
    text = route("answer", "bridge: {to: '5', fallback: [say: 'Failed: ${failure}.']}", "say: Still here.")
    outcome = play(tmp_path, text, dial={"5": "busy"})
    assert outcome.heard == ["[ringing]", "Failed: busy.", "Still here."]
    assert (outcome.ends, outcome.dials) == ("dialplan_hung_up", ["5"])


@pytest.mark.parametrize(
    ("does", "word"),
    [
        ("busy", "busy"),
        ("no_answer", "no_answer"),
        ("rejected", "rejected"),
        ("unknown", "failed"),
        ("", "denied"),
    ],
)
def test_why_it_failed_is_one_word(tmp_path: Path, does: str, word: str) -> None:
    text = route("answer", "bridge: {to: '5', fallback: [hangup]}")
    outcome = play(tmp_path, text, dial={"5": does} if does else {})
    assert outcome.variables["failure"] == word


def test_a_fallback_that_fails_leads_to_the_plans(tmp_path: Path) -> None:
    text = route(
        "answer", "transfer: {to: '5', fallback: [bridge: '6']}", fallback="[say: Sorry., hangup: 41]"
    )
    outcome = play(tmp_path, text, dial={"5": "busy", "6": "busy"})
    assert (outcome.heard[-1], outcome.cause, outcome.dials) == ("Sorry.", 41, ["5", "6"])


def test_the_plans_fallback_leaves_out_what_fails_too(tmp_path: Path) -> None:
    text = route("answer", "say: Hello.", fallback=f"[say: Sorry., play: {BEEP}, hangup: 41]")
    outcome = play(tmp_path, text, fails=("tts",))
    assert outcome.heard == ["[beep.wav]"]
    assert (outcome.ends, outcome.cause) == ("engine_failed", 41)


def test_the_plans_fallback_may_go_on_with_a_route(tmp_path: Path) -> None:
    text = route("answer", "bridge: '5'", fallback="[goto: two]") + (
        "  - {name: two, match: never, actions: [say: Two., bridge: '5', say: Never.]}\n"
    )
    outcome = play(tmp_path, text)
    assert outcome.routes[:3] == ["one", "two", "two"] and "Never." not in outcome.heard
    assert outcome.ends == "internal_error", "and a circle through it ends"


def test_without_any_fallback_the_caller_hears_an_apology(tmp_path: Path) -> None:
    outcome = play(tmp_path, route("answer", "bridge: '5'", "say: Never."))
    assert outcome.heard[-1] == SessionSettings().phrases.failure_goodbye
    assert outcome.ends == "dialplan_hung_up"


def test_a_failure_before_the_answer_refuses_or_answers_to_say_so(tmp_path: Path) -> None:
    hook = "webhook: https://a.example/"
    refused = play(tmp_path, route(hook, "answer", "say: Hello."))
    assert refused.refused >= 500 and refused.heard == []
    spoken = play(tmp_path, route(hook, "answer", "say: Hello.", fallback="[say: Sorry., hangup]"))
    assert spoken.heard == ["Sorry."] and not spoken.refused


@pytest.mark.parametrize(
    "more",
    [
        "  - {name: two, match: never, actions: [goto: one]}\n",
        "  - {name: two, match: never, actions: [say: Hm., goto: two]}\n",
        "  - {name: two, match: never, actions: [gather: {timeout: 0.5, retries: 0}, goto: two]}\n",
    ],
)
def test_a_plan_that_runs_in_a_circle_ends(tmp_path: Path, more: str) -> None:
    outcome = play(tmp_path, route("answer", "goto: two") + more)
    assert outcome.ends == "internal_error" and outcome.heard[-1].startswith("I'm sorry")
    assert len(outcome.does) <= 200


def test_a_variable_never_becomes_part_of_an_address(tmp_path: Path) -> None:
    text = route(
        "answer", "set: {who: '5@evil.example'}", "bridge: {to: 'sip:${who}@pbx', fallback: [hangup]}"
    )
    outcome = play(tmp_path, text, dial={"sip:5@evil.example@pbx": "answers"})
    assert outcome.dials == [] and outcome.variables["failure"] == "target"


def test_a_server_may_choose_and_set(tmp_path: Path) -> None:
    hook = "webhook: {url: 'https://a.example/${caller}', on: {vip: [say: 'Hello ${name}.']}}"
    text = route("answer", hook, "say: Bye.")
    decides = {"choose": "vip", "set": {"name": "${caller}"}}
    outcome = play(tmp_path, text, webhooks={"https://a.example/": decides})
    assert outcome.heard == ["Hello ${caller}.", "Bye."], "what a server sets is text, not a reference"
    assert outcome.asks == ["https://a.example/%2B49301"]
    outcome = play(tmp_path, text, webhooks={"https://a.example/": {"choose": "other"}})
    assert outcome.ends == "dead_air", "a branch that does not exist is a failure"


def test_a_running_call_keeps_the_whole_plan_that_it_began_with() -> None:
    def plan(word: str) -> Dialplan:
        ask = (Answer(), Gather(say="Hm?", timeout=2.0, retries=0), GoToRoute("end"))
        first = Route("one", Match(), plain(*ask))
        return Dialplan((first, Route("end", Match(never=True), plain(SayText(word)))))

    async def main() -> None:
        tts = ToneTts()
        desk = FrontDesk([], tts=tts)
        desk.plan = plan("Old.")
        desk.reception.take(Phone())
        await asyncio.sleep(1.0)
        desk.plan = plan("New.")
        await asyncio.sleep(0.0)
        desk.reception.take(Phone(name="p2"))
        await desk.until_idle()
        assert tts.spoken == ["Hm?", "Hm?", "Old.", "New."]
        assert [record.end_reason for record in desk.keeper.records] == [EndReason.DIALPLAN_HUNG_UP] * 2

    run_virtual(main())


_ACTS = st.one_of(
    st.sampled_from(["1", "2", "0", "#", "12345"]).map(lambda keys: Act(keys=keys)),
    st.sampled_from(["hours", "order", "yes", "no", "one two three", "hm"]).map(lambda says: Act(says=says)),
    st.floats(0.5, 20.0).map(lambda waits: Act(waits=waits)),
    st.just(Act(hangs_up=True)),
    st.just(Act(says="stop", interrupts=True)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(EXAMPLES),
    number=st.integers(0, 3),
    acts=st.lists(_ACTS, max_size=6),
    fails=st.sets(st.sampled_from(["asr", "tts", "desk"])),
    does=st.sampled_from(["answers", "busy", "no_answer", ""]),
    server=st.sampled_from([None, 500, "silence", {"choose": "known"}, {"choose": "nonsense"}]),
)
def test_whatever_fails_and_whatever_he_does_the_call_ends(
    path: Path, number: int, acts: list[Act], fails: set[str], does: str, server: object
) -> None:
    plan = Dialplan.load([path])
    matches = [one.match.called[0].written for one in plan.routes if one.match.called]
    targets = ("+49301234100", "+49301234999", "+49301234200")
    case = Case(
        "x", GivenCall(matches[number % len(matches)].replace("*", "1").strip("/"), "+49 171 1"), Expected(),
        caller=tuple(acts), fails=tuple(fails), dial={to: does for to in targets if does},
        webhooks={} if server is None else {"https://": server},
    )  # fmt: skip
    outcome = rehearse(case, plan, SessionSettings(), METRICS)
    assert outcome.ends or outcome.refused, "the call has an end, and one reason for it"
    assert outcome.seconds < LONGEST
    if "tts" not in fails and "answer" in outcome.does and outcome.ends != "caller_hung_up":
        assert outcome.heard, "nobody is left in silence"
