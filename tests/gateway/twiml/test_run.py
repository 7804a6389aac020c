"""Documents over a call, in virtual time: what the caller gets, what the app is told, and that it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.base import EngineFailed
from gateway.announcer import CallerGone
from gateway.errors import AppFailed, TwimlError, TwimlUnfit, Unreachable
from gateway.twiml.asking import App, Asking, Inline
from gateway.twiml.client import AppClient, trusting
from gateway.twiml.form import CallFields, CallStatus
from gateway.twiml.host import Dialled, Gathered, Recording
from gateway.twiml.perform import MOST_LOOPS, Ended
from gateway.twiml.read import read_document
from gateway.twiml.run import CIRCLES, TwimlRun
from gateway.twiml.settings import TwimlSettings
from gateway.twiml.status import StatusCallbacks
from tests.fakes.twilio_app import Said, ScriptedApp, twiml
from tests.fakes.verb_host import ScriptedHost
from tests.virtual_time import run_virtual

BASE = "http://app.example.com"
APP = App(f"{BASE}/voice", "POST", f"{BASE}/fallback")
FIELDS = CallFields("CAcall", "ACaccount", "+4930123", "100", "inbound")
RECORDING = Recording("RE" + "1" * 32, "http://node/RE", 3.4, "Thu, 26 Nov 2026 04:05:06 +0000", 1, "#")


@dataclass
class Came:
    """What came of a call."""

    host: ScriptedHost
    app: ScriptedApp
    end: Ended | Exception
    seconds: float

    @property
    def done(self) -> list[str]:
        return self.host.done

    def told(self, path: str, *names: str) -> list[tuple[str, ...]]:
        """These fields of each request to a path."""
        return [tuple(form.get(name, "-") for name in names) for form in self.app.forms(path)]


def run(
    says: dict[str, Said | list[Said]],
    host: ScriptedHost | None = None,
    app: App | Inline = APP,
    *,
    beside: Callable[[TwimlRun], None] | None = None,
    documents: int = 1000,
) -> Came:
    """`beside` is called five seconds into the call."""
    host, scripted = host or ScriptedHost(), ScriptedApp(says)

    async def main() -> Came:
        loop = asyncio.get_running_loop()
        client = AppClient(TwimlSettings(), scripted, scripted)
        callbacks = StatusCallbacks(client, tries=1, waiting=100)
        wall = lambda: datetime(2026, 11, 26, tzinfo=UTC)  # noqa: E731
        asking = Asking(client, callbacks, trusting([BASE]), FIELDS, wall, documents)
        call = TwimlRun(host, asking, app)
        if beside is not None:
            loop.call_later(5.0, beside, call)
        end: Ended | Exception
        try:
            end = await call.run()
        except (CallerGone, TwimlError) as error:
            end = error
        seconds = loop.time()
        await callbacks.aclose(30.0)
        mine = asyncio.current_task()
        assert [task for task in asyncio.all_tasks() if task is not mine] == []
        return Came(host, scripted, end, seconds)

    return run_virtual(main())


def test_verbs_are_done_in_order_and_then_the_call_ends() -> None:
    came = run({"/voice": twiml('<Say loop="2">Hi</Say><Pause/><Play>a.wav</Play><Play digits="1w2"/>')})
    assert came.done == ["answer", "say Hi", "say Hi", "pause 1", f"play {BASE}/a.wav", "press 1w2"]
    assert came.end == Ended()
    assert came.app.forms("/voice")[0] == {
        "CallSid": "CAcall", "AccountSid": "ACaccount", "From": "+4930123", "To": "100",
        "CallStatus": "ringing", "Direction": "inbound", "ApiVersion": "2010-04-01", "Caller": "+4930123",
        "Called": "100",
    }  # fmt: skip


def test_a_call_is_taken_no_sooner_than_a_verb_needs_it() -> None:
    assert run({"/voice": twiml('<Reject reason="busy"/>')}).done == ["reject 486"]
    came = run({"/voice": twiml("<Reject/><Say>never</Say>")})
    assert came.done == ["reject 603"] and came.end == Ended(rejected=True)
    assert run({"/voice": twiml('<Pause length="3"/><Reject/>')}).done == ["ring 3", "reject 603"]
    assert run({"/voice": twiml("<Redirect>/b</Redirect>"), "/b": twiml("<Hangup/>")}).done == []
    assert run({"/voice": twiml('<Dial answerOnBridge="true">100</Dial>')}).done == ["dial 100"]
    assert run({"/voice": twiml("<Dial>100</Dial>")}).done == ["answer", "dial 100"]
    assert run({"/voice": twiml("<Say>Hi</Say><Reject/>")}).end == Ended()


def test_keys_and_speech_lead_to_the_action() -> None:
    gather = (
        '<Gather input="dtmf speech" action="/got"><Say>Press</Say><Play>m.wav</Play></Gather><Say>No</Say>'
    )
    host = ScriptedHost(gathers=[Gathered("12", "#"), Gathered(speech="sales please", confidence=0.93)])
    came = run({"/voice": twiml(gather), "/got": [twiml(gather), twiml("<Say>Bye</Say>")]}, host)
    assert came.told("/got", "Digits", "FinishedOnKey", "SpeechResult", "Confidence", "CallStatus") == [
        ("12", "#", "-", "-", "in-progress"),
        ("-", "-", "sales please", "0.9300000", "in-progress"),
    ]
    assert any(f"{BASE}/m.wav" in line for line in came.done)
    assert came.done[-1] == "say Bye" and "say No" not in came.done


def test_nothing_gathered_leads_to_the_next_verb_unless_the_action_wants_it() -> None:
    assert run({"/voice": twiml("<Gather/><Say>No</Say>")}).done == ["answer", "gather", "say No"]
    came = run(
        {"/voice": twiml('<Gather actionOnEmptyResult="true" action="/e" input="speech"/>'), "/e": twiml("")}
    )
    assert came.told("/e", "SpeechResult", "Confidence", "Digits") == [("", "0.0000000", "-")]
    came = run(
        {"/voice": twiml('<Gather actionOnEmptyResult="true" action="/e" method="GET"/>'), "/e": twiml("")}
    )
    assert came.told("/e", "Digits", "FinishedOnKey") == [("", "")]
    assert came.app.asked[1].method == "GET"


def test_without_an_action_the_document_is_asked_again() -> None:
    host = ScriptedHost(gathers=[Gathered("1", "")])
    came = run({"/voice": [twiml("<Gather/>"), twiml("<Say>You pressed one</Say>")]}, host)
    assert came.told("/voice", "Digits") == [("-",), ("1",)]


def test_words_so_far_are_told_once_each_and_in_order() -> None:
    host = ScriptedHost(partials=[("", "I"), ("", "I"), ("I", "want")], gathers=[Gathered(speech="I want")])
    came = run({"/voice": [twiml('<Gather input="speech" partialResultCallback="/p"/>'), twiml("")],
                "/p": Said(status=204)}, host)  # fmt: skip
    assert came.told("/p", "SequenceNumber", "StableSpeechResult", "UnstableSpeechResult") == [
        ("0", "", "I"), ("1", "I", "want"),
    ]  # fmt: skip


def test_a_recording_leads_to_the_action_and_is_told_and_written_down() -> None:
    record = (
        '<Record action="/done" recordingStatusCallback="/rec" transcribeCallback="/words" playBeep="false"/>'
    )
    says: dict[str, Said | list[Said]] = {
        "/voice": twiml(record), "/done": twiml(""), "/rec": Said(), "/words": Said()
    }  # fmt: skip
    came = run(says, ScriptedHost(recordings=[RECORDING], words="call me back"))
    expected = (RECORDING.sid, "http://node/RE", "3")
    names = ("RecordingSid", "RecordingUrl", "RecordingDuration")
    assert came.told("/done", *names, "Digits") == [(*expected, "#")]
    assert came.told("/rec", *names, "RecordingStatus", "RecordingSource", "RecordingChannels") == [
        (*expected, "completed", "RecordVerb", "1")
    ]
    assert came.told("/words", *names, "TranscriptionText", "TranscriptionStatus") == [
        (*expected, "call me back", "completed")
    ]
    assert came.seconds < 4.0  # nobody waits for the transcript
    came = run(says, ScriptedHost(recordings=[RECORDING], words=EngineFailed("broken")))
    assert came.told("/words", "TranscriptionText", "TranscriptionStatus") == [("", "failed")]


def test_an_empty_recording_leads_to_the_next_verb() -> None:
    record = '<Record recordingStatusCallback="/rec" recordingStatusCallbackEvent="completed absent"/>'
    came = run({"/voice": twiml(f"{record}<Say>Nothing</Say>"), "/rec": Said()})
    assert came.done == ["answer", "record", "say Nothing"]
    assert came.told("/rec", "RecordingStatus", "RecordingUrl") == [("absent", "-")]


def test_who_hangs_up_after_his_message_has_left_it() -> None:
    host = ScriptedHost(recordings=[replace(RECORDING, ended_by="hangup")], leaves_at=2.0)
    came = run({"/voice": twiml('<Record action="/done"/>'), "/done": twiml("<Say>never</Say>")}, host)
    assert came.told("/done", "Digits", "CallStatus") == [("hangup", "completed")]
    assert came.done == ["answer", "record"] and came.end == Ended()


def test_a_dial_tells_how_it_went_and_goes_on() -> None:
    dialled = Dialled(CallStatus.COMPLETED, "CAchild", 12.2, RECORDING)
    steps = [
        ("initiated", CallStatus.INITIATED), ("ringing", CallStatus.RINGING),
        ("answered", CallStatus.IN_PROGRESS), ("completed", CallStatus.COMPLETED),
    ]  # fmt: skip
    number = (
        '<Number statusCallback="/n" statusCallbackEvent="initiated ringing answered completed">555</Number>'
    )
    dial = f'<Dial action="/after" record="true" recordingStatusCallback="/rec">{number}</Dial>'
    says: dict[str, Said | list[Said]] = {
        "/voice": twiml(dial), "/after": twiml("<Say>Bye</Say>"), "/rec": Said(), "/n": Said()
    }  # fmt: skip
    came = run(says, ScriptedHost(dials=[dialled], progress=steps))
    names = ("DialCallStatus", "DialCallSid", "DialCallDuration", "DialBridged", "RecordingUrl")
    assert came.told("/after", *names) == [("completed", "CAchild", "12", "true", "http://node/RE")]
    assert came.told("/n", "CallStatus", "SequenceNumber", "CallSid", "ParentCallSid", "Direction", "To") == [
        (status, str(i), "CAchild", "CAcall", "outbound-dial", "555")
        for i, status in enumerate(("initiated", "ringing", "in-progress", "completed"))
    ]
    assert came.told("/n", "CallDuration")[3] == ("12",)
    assert came.told("/rec", "RecordingSource", "RecordingStatus") == [("DialVerb", "completed")]
    assert came.done[-1] == "say Bye"


def test_a_dial_without_an_action_leads_to_the_next_verb() -> None:
    host = ScriptedHost(dials=[Dialled(CallStatus.BUSY, "CAchild")])
    assert run({"/voice": twiml("<Dial>555</Dial><Say>Busy</Say>")}, host).done == [
        "answer", "dial 555", "say Busy",
    ]  # fmt: skip


def test_an_app_may_have_the_call_and_give_it_back() -> None:
    connect = '<Connect action="/after"><ConversationRelay url="wss://bot/"/></Connect><Say>never</Say>'
    outcome = (("SessionStatus", "ended"), ("HandoffData", '{"to":"sales"}'))
    host = ScriptedHost(connected=outcome)
    came = run({"/voice": twiml(connect), "/after": twiml("<Say>Sales</Say>")}, host)
    assert came.told("/after", "SessionStatus", "HandoffData") == [("ended", '{"to":"sales"}')]
    assert came.done == ["answer", "connect wss://bot/", "say Sales"]
    stream = '<Connect><Stream url="wss://bot/"/></Connect><Say>Back</Say>'
    assert run({"/voice": twiml(stream)}).done == ["answer", "connect wss://bot/", "say Back"]
    came = run({"/voice": twiml(connect), "/after": twiml("")}, ScriptedHost(leaves_at=9.0))
    assert came.told("/after", "CallStatus") == [("completed",)]


def test_a_stream_beside_the_document_and_a_refer() -> None:
    start = '<Start><Stream name="ear" url="wss://bot/" statusCallback="/s"/></Start>'
    stop = '<Stop><Stream name="ear"/></Stop>'
    refer = '<Refer action="/r"><Sip>sip:a@b</Sip></Refer>'
    came = run({"/voice": twiml(f"{start}<Say>Hi</Say>{stop}{refer}"), "/r": twiml("")})
    assert [line.split()[0] for line in came.done] == ["answer", "start", "say", "stop", "refer"]
    assert f"{BASE}/s" in came.done[1]
    assert came.told("/r", "ReferCallStatus", "ReferSipResponseCode") == [("completed", "202")]


def test_relative_addresses_begin_where_the_document_came_from() -> None:
    moved = Said(status=302, headers=(("Location", "/deep/down/doc.xml?x=1"),))
    says: dict[str, Said | list[Said]] = {
        "/voice": moved,
        "/deep/down/doc.xml": twiml("<Play>a.wav</Play><Redirect>../next</Redirect>"),
        "/deep/next": twiml("<Play>/b.wav</Play>"),
    }
    assert run(says).done == ["answer", f"play {BASE}/deep/down/a.wav", f"play {BASE}/b.wav"]


def test_a_sound_that_cannot_be_had_is_left_out() -> None:
    host = ScriptedHost(missing=(f"{BASE}/a.wav",))
    assert run({"/voice": twiml("<Play>/a.wav</Play><Say>Hi</Say>")}, host).done == ["answer", "say Hi"]


def test_texts_and_sounds_are_answers_too() -> None:
    assert run({"/voice": Said("Hello\nthere", content_type="text/plain")}).done == [
        "answer",
        "say Hello there",
    ]
    assert run({"/voice": Said(b"RIFF", content_type="audio/wav")}).done == ["answer", f"play {BASE}/voice"]
    assert run({"/voice": Said("<Response/>", content_type="")}).done == []


BROKEN = [
    (Said("Oh no", 500), 11200),
    (Said("Gone", 404), 11200),
    (Said("<Response><Say>", 200), 12100),
    (Said("<Response><Sya/></Response>"), 12200),
    (Said("<html/>", content_type="text/html"), 12200),
    (Said("{}", content_type="application/json"), 12300),
    (Said(""), 12100),
    (Said(error=Unreachable("no connection")), 11205),
    (Said(b"<Response>" + b" " * 70_000), 11750),
    (twiml("<Hangup/>", after=40.0), 11200),
    (twiml("<Redirect>/voice</Redirect>"), 11215),
]
"""Every way in which an app can fail, and Twilio's code for it."""


@pytest.mark.parametrize(("said", "code"), BROKEN)
def test_whatever_is_wrong_the_fallback_is_told_why_and_serves(said: Said, code: int) -> None:
    came = run({"/voice": said, "/fallback": twiml("<Say>Sorry</Say>")})
    assert came.told("/fallback", "ErrorCode", "ErrorUrl") == [(str(code), APP.url)]
    assert came.done == ["answer", "say Sorry"] and came.end == Ended()
    assert came.seconds <= 16.5


@pytest.mark.parametrize(("said", "code"), BROKEN)
def test_with_no_fallback_left_the_dialplan_learns_why(said: Said, code: int) -> None:
    for app in (APP, replace(APP, fallback_url="")):
        came = run({"/voice": said, "/fallback": said}, app=app)
        assert isinstance(came.end, TwimlError)
        assert came.end.code == code or isinstance(came.end, AppFailed)
        assert came.done == [] and came.seconds <= 31.0


def test_a_document_that_fails_in_the_middle_of_a_call_is_caught_as_well() -> None:
    came = run({"/voice": twiml("<Say>Hi</Say><Redirect>/broken</Redirect>"),
                "/fallback": twiml("<Say>Sorry</Say>")})  # fmt: skip
    assert came.done == ["answer", "say Hi", "say Sorry"]


def test_a_caller_does_not_wait_in_silence() -> None:
    came = run({"/voice": twiml("<Say>Hi</Say><Redirect>/slow</Redirect>"), "/slow": twiml("", after=9.0)})
    assert came.done == ["answer", "say Hi", "filler"]
    assert run({"/voice": twiml("<Say>Hi</Say>", after=9.0)}).done == ["answer", "say Hi"]  # it rings


def test_loops_have_an_end() -> None:
    alone = replace(APP, fallback_url="")
    assert run({"/voice": twiml('<Say loop="0">Hi</Say>')}).done.count("say Hi") == MOST_LOOPS
    came = run({"/voice": twiml("<Pause/><Redirect/>")}, app=alone, documents=30)
    assert isinstance(came.end, AppFailed) and came.end.code == 11215
    assert len(came.app.asked) == 30
    came = run({"/voice": twiml("<Redirect/>")}, app=alone)
    assert len(came.app.asked) == CIRCLES


def test_who_hangs_up_ends_it() -> None:
    came = run(
        {"/voice": twiml("<Say>Hi</Say><Pause length='9'/><Say>never</Say>")}, ScriptedHost(leaves_at=4.0)
    )
    assert isinstance(came.end, CallerGone)
    assert came.done == ["answer", "say Hi", "pause 9"] and came.seconds == 4.0


def test_a_running_call_can_be_sent_to_another_document() -> None:
    other = Inline(read_document(b"<Response><Say>Operator</Say></Response>"))
    came = run(
        {"/voice": twiml("<Pause length='99'/>")},
        ScriptedHost(answered=True),
        beside=lambda c: c.redirect(other),
    )
    assert came.done == ["pause 99", "hush", "say Operator"] and came.seconds == 6.0
    app = App(f"{BASE}/other")
    came = run(
        {"/voice": twiml("", after=14.0), "/other": twiml("<Say>Other</Say>")},
        beside=lambda c: c.redirect(app),
    )
    assert came.done == ["hush", "answer", "say Other"] and came.seconds == 6.0


def test_a_document_without_an_address_needs_whole_ones() -> None:
    inline = Inline(read_document(b"<Response><Say>Hi</Say><Redirect>/next</Redirect></Response>"))
    came = run({}, app=inline)
    assert isinstance(came.end, AppFailed) and came.end.code == 11100
    whole = f"<Response><Redirect>{BASE}/next</Redirect></Response>".encode()
    assert run({"/next": twiml("<Say>Hi</Say>")}, app=Inline(read_document(whole))).done == [
        "answer",
        "say Hi",
    ]


_VERBS = st.sampled_from(
    [
        "<Say>Hi</Say>", "<Say loop='0'>Hi</Say>", "<Pause length='2'/>", "<Play>/s.wav</Play>", "<Gather/>",
        "<Gather action='/b' input='speech'/>", "<Record action='/b' transcribeCallback='/c'/>", "<Hangup/>",
        "<Dial action='/a'>1</Dial>", "<Dial>2</Dial>", "<Redirect/>", "<Redirect>/a</Redirect>",
        "<Redirect>/b</Redirect>", "<Redirect>http://[</Redirect>", "<Reject/>", "<Sya/>",
        "<Connect action='/b'><Stream url='wss://bot/'/></Connect>",
    ]
)  # fmt: skip
_ANSWERS = st.one_of(
    st.lists(_VERBS, max_size=4).map(lambda verbs: twiml("".join(verbs))),
    st.sampled_from([said for said, _ in BROKEN]),
)


@settings(max_examples=150, deadline=None)
@given(
    says=st.fixed_dictionaries(
        {path: st.lists(_ANSWERS, min_size=1, max_size=3) for path in ("/voice", "/a", "/b")}
    ),
    fallback=st.one_of(st.none(), _ANSWERS),
    gathers=st.lists(st.sampled_from([Gathered("1"), Gathered(speech="yes", confidence=0.5)]), max_size=5),
    recordings=st.lists(st.sampled_from([RECORDING, None]), max_size=3),
    leaves_at=st.one_of(st.just(1e9), st.floats(0, 120)),
)
def test_whatever_an_app_does_the_run_ends(
    says: dict[str, list[Said]],
    fallback: Said | None,
    gathers: list[Gathered],
    recordings: list[Recording | None],
    leaves_at: float,
) -> None:
    host = ScriptedHost(
        gathers=list(gathers), recordings=list(recordings), leaves_at=leaves_at, words="words"
    )
    answers: dict[str, Said | list[Said]] = {**says}
    if fallback is not None:
        answers["/fallback"] = fallback
    came = run(answers, host, documents=40)
    assert isinstance(came.end, Ended | CallerGone | TwimlError)
    questions = [one for one in came.app.asked if one.path != "/c"]
    assert len(questions) <= 2 * (40 + 6), "each document is one question, tries and redirects aside"
    if came.end == Ended(rejected=True):
        assert came.done[-1].startswith("reject") and not host.answered


def test_an_unfit_document_is_told_apart_from_an_app_that_failed() -> None:
    came = run({"/voice": Said("<Response><Sya/></Response>")}, app=replace(APP, fallback_url=""))
    assert isinstance(came.end, TwimlUnfit) and came.end.verb == "Sya"
