"""A Twilio app, unchanged, serves telephone calls: keys, speech, recordings, a second telephone, failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gateway import twilio_ids
from media.frame import Pcm
from tests.live.gateway.listening import Listener, prompt, same_words, words
from tests.live.gateway.node import Node, eventually
from tests.live.gateway.twilio_app import TOKEN, TwilioApp
from tests.live.sip.phone import Phone, heard, loudness, parse, pitch, tone

pytestmark = pytest.mark.live

ACCOUNT = twilio_ids.account_sid("offhook")
VOICE, HUM, GONG = 700.0, 600.0, 900.0
"""What the caller, the second telephone and the app's sound are like; ringing sounds otherwise."""


class Desk:
    """A second telephone: waits for one call, answers it or not, and hums."""

    def __init__(self) -> None:
        self.phone = Phone(("127.0.0.1", 9))
        self.code = 200
        self.key: int | None = None
        self.stays = False
        self.heard: Pcm = np.zeros(0, np.int16)
        self.seconds = 3.0

    def ring(
        self, code: int = 200, seconds: float = 3.0, *, key: int | None = None, stays: bool = False
    ) -> threading.Thread:
        """Be ready for a call in a thread of its own. `key`: pressed two seconds after the answer.

        `stays`: he never hangs up; the gateway does.
        """
        self.code, self.seconds, self.key, self.stays = code, seconds, key, stays
        thread = threading.Thread(target=self._take, daemon=True)
        thread.start()
        return thread

    def _take(self) -> None:
        invite = self.phone.rings(20.0)
        if self.code != 200:
            self.phone.respond(invite, self.code)
            self.phone.expect("ACK")
            return
        self.phone.respond(invite, 180)
        time.sleep(0.3)
        self.phone.take(invite)
        before = len(self.phone.rtp.received)
        if self.key is not None:
            self.phone.rtp.talk(tone(HUM, 2.0))
            self.phone.rtp.key(self.key)
        self.phone.rtp.talk(tone(HUM, self.seconds))
        self.heard = heard(self.phone.rtp.received[before:])
        if self.stays:
            self.phone.respond(self.phone.expect("BYE", 10.0), 200)
        else:
            self.phone.bye()


def hums(pcm: Pcm, frequency: float) -> int:
    """How many quarters of a second are this tone, and loud."""
    pieces = [pcm[i : i + 2000] for i in range(0, len(pcm) - 2000, 2000)]
    return sum(loudness(piece) > 2000 and abs(pitch(piece) - frequency) < 8 for piece in pieces)


def plan(url: str) -> str:
    names = (
        "keys",
        "speech",
        "record",
        "dial",
        "screened",
        "reject",
        "redirect",
        "stream",
        "listen",
        "relay",
    )
    routes = "".join(
        f"  - {{name: {name}, match: {{called: {name}}}, actions: [twiml: '{url}/{name}']}}\n"
        for name in names
    )
    return f"""
routes:
{routes}
  - name: hello
    match: {{called: hello}}
    actions:
      - twiml:
          url: {url}/hello
          status_callback: {url}/status
          status_events: [ringing, answered, completed]
  - name: refused
    match: {{called: refused}}
    actions: [twiml: {{url: "{url}/reject", status_callback: "{url}/refused"}}]
  - name: rescued
    match: {{called: rescued}}
    actions: [twiml: {{url: "{url}/broken", fallback_url: "{url}/fallback"}}]
  - name: lost
    match: {{called: lost}}
    actions:
      - twiml: {{url: "{url}/broken", fallback_url: "http://127.0.0.1:9/nobody"}}
        fallback: [answer, say: The application is away., hangup]
  - name: guarded
    match: {{called: guarded}}
    actions:
      - twiml:
          document: <Response><Say>Hi</Say><Redirect>{url}/hello</Redirect></Response>
        fallback: [answer, say: That was not allowed., hangup]
"""


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.phone.close()


@pytest.fixture(scope="module")
def app() -> Iterator[TwilioApp]:
    with TwilioApp() as running:
        yield running


@pytest.fixture(scope="module")
def node(app: TwilioApp, desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    settings: dict[str, Any] = {
        "twiml": {"auth_token": TOKEN},
        "sip": {"trunks": [{"name": "local", "sources": ["127.0.0.1"], "outbound": True}]},
        "outbound": {"rules": [{"trunk": "local", "extensions": ["*"]}]},
    }
    with Node(tmp_path_factory.mktemp("twiml"), settings, plan(app.url)) as running:
        desk.phone.wire.aim(("127.0.0.1", running.sip_port))
        yield running


def called(node: Node, name: str, stack: ExitStack, desk: str = "") -> Phone:
    """A phone whose call was taken. `desk`: who else may be called, told in a header."""
    phone = stack.enter_context(Phone(("127.0.0.1", node.sip_port), name))
    phone.invite(headers=[("X-Desk", desk)] if desk else [])
    phone.expect(200, 10.0)
    phone.ack()
    return phone


def hung_up_on(phone: Phone, seconds: float = 15.0) -> Pcm:
    """Listen until the far end hangs up; everything that was heard."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        phone.rtp.talk(np.zeros(1600, np.int16))
        data = phone.wire.receive(0.001)
        if data is not None and data.startswith(b"BYE"):
            phone.respond(parse(data))
            return heard(phone.rtp.received)
    raise AssertionError("nobody hung up")


def last(node: Node, app: TwilioApp, path: str, count: int = 1) -> tuple[dict[str, str], dict[str, Any]]:
    """The last form that came to a path, and the record of the call that it belongs to."""
    form = dict(app.forms(path, count)[-1])
    return form, recorded(node, lambda one: twilio_ids.call_sid(one["call_id"]) == form["CallSid"])


def recorded(node: Node, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The record of a call that is over."""

    def look() -> dict[str, Any]:
        found = [record for record in node.records("1001") if wanted(record)]
        assert found, "no such record"
        return found[-1]

    return eventually(look)


def test_keys_reach_the_app_and_its_answer_the_caller(node: Node, app: TwilioApp, listener: Listener) -> None:
    with ExitStack() as stack:
        phone = called(node, "keys", stack)
        phone.rtp.talk(np.zeros(24_000, np.int16))
        for key in (4, 7, 1, 1):
            phone.rtp.key(key)
            phone.rtp.talk(np.zeros(800, np.int16))
        hung_up_on(phone)
    form, record = last(node, app, "/keys", 2)
    assert (form["Digits"], form["FinishedOnKey"]) == ("4711", "")
    assert form["AccountSid"] == ACCOUNT and form["CallStatus"] == "in-progress"
    first = app.forms("/keys")[0]
    assert (first["CallStatus"], first["Direction"], first["From"], first["To"]) == (
        "ringing", "inbound", "1001", "keys",
    )  # fmt: skip
    said = listener.heard_by_caller(node.recording(record))
    assert same_words("please enter your code you entered", said) >= 0.8, said
    assert record["end_reason"] == "dialplan_hung_up"


def test_speech_reaches_the_app_as_words(node: Node, app: TwilioApp, listener: Listener) -> None:
    spoken = prompt("vm-prev")
    with ExitStack() as stack:
        phone = called(node, "speech", stack)
        phone.rtp.talk(np.zeros(20_000, np.int16))
        phone.rtp.talk(spoken.pcm)
        hung_up_on(phone)
    form, record = last(node, app, "/speech/got")
    assert same_words(spoken.text, form["SpeechResult"]) >= 0.8, form
    assert 0.0 < float(form["Confidence"]) <= 1.0
    said = listener.heard_by_caller(node.recording(record))
    assert same_words(spoken.text, said) >= 0.8, said


def test_a_message_is_kept_fetched_and_written_down(node: Node, app: TwilioApp, listener: Listener) -> None:
    spoken = prompt("check-number-dial-again")
    with ExitStack() as stack:
        phone = called(node, "record", stack)
        phone.rtp.talk(np.zeros(20_000, np.int16))
        phone.rtp.talk(spoken.pcm)
        hung_up_on(phone)
    form, record = last(node, app, "/record/got")
    assert form["RecordingUrl"].startswith(f"{node.api}/2010-04-01/Accounts/{ACCOUNT}/Recordings/RE")
    assert abs(int(form["RecordingDuration"]) - len(spoken.pcm) / 8000) <= 3, form
    assert httpx.get(form["RecordingUrl"]).status_code == 401
    fetched = httpx.get(form["RecordingUrl"] + ".wav", auth=(ACCOUNT, TOKEN))
    assert fetched.status_code == 200 and fetched.content.startswith(b"RIFF")
    assert abs(len(fetched.content) / 16_000 - len(spoken.pcm) / 8000) < 3
    (status,) = app.forms("/record/status")
    assert (status["RecordingStatus"], status["RecordingSid"]) == ("completed", form["RecordingSid"])
    (written,) = app.forms("/record/words")
    assert same_words(spoken.text, written["TranscriptionText"]) >= 0.8, written
    assert written["TranscriptionStatus"] == "completed"


def test_a_second_telephone_is_rung_and_the_two_talk(node: Node, app: TwilioApp, desk: Desk) -> None:
    with ExitStack() as stack:
        waiting = desk.ring(seconds=3.0)
        phone = called(node, "dial", stack, desk.phone.uri)
        back = heard(phone.rtp.talk(tone(VOICE, 6.0)))
        hung_up_on(phone)
        waiting.join(10.0)
    assert hums(back, HUM) >= 8 and hums(desk.heard, VOICE) >= 8, (hums(back, HUM), hums(desk.heard, VOICE))
    form, record = last(node, app, "/dial/got")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "true")
    assert 2 <= int(form["DialCallDuration"]) <= 4 and form["CallStatus"] == "in-progress"
    tape = httpx.get(form["RecordingUrl"], auth=(ACCOUNT, TOKEN))
    both = np.frombuffer(tape.content[44:], np.int16).reshape(-1, 2)
    assert hums(both[:, 0], HUM) >= 8 and hums(both[:, 1], VOICE) >= 6, "each on a channel of his own"
    told = app.forms("/dial/progress", 4)
    assert [one["CallStatus"] for one in told] == ["initiated", "ringing", "in-progress", "completed"]
    assert [one["SequenceNumber"] for one in told] == ["0", "1", "2", "3"]
    assert {one["ParentCallSid"] for one in told} == {form["CallSid"]}
    assert {one["CallSid"] for one in told} == {form["DialCallSid"]}


def test_a_telephone_that_is_busy_is_told_so(
    node: Node, app: TwilioApp, desk: Desk, listener: Listener
) -> None:
    before = len(app.forms("/dial/got", 0))
    with ExitStack() as stack:
        waiting = desk.ring(486)
        phone = called(node, "dial", stack, desk.phone.uri)
        hung_up_on(phone)
        waiting.join(10.0)
    form, record = last(node, app, "/dial/got", before + 1)
    assert (form["DialCallStatus"], form["DialCallDuration"]) == ("busy", "0")
    assert "busy" in words(listener.heard_by_caller(node.recording(record)))


def test_whoever_is_dialled_hears_the_apps_sound_and_takes_the_call_by_a_key(
    node: Node, app: TwilioApp, desk: Desk
) -> None:
    with ExitStack() as stack:
        waiting = desk.ring(seconds=5.0, key=1)
        phone = called(node, "screened", stack, desk.phone.uri)
        back = heard(phone.rtp.talk(tone(VOICE, 9.0)))
        hung_up_on(phone)
        waiting.join(10.0)
    form, record = last(node, app, "/screened/got")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "true")
    assert hums(desk.heard, GONG) >= 2 and hums(desk.heard, VOICE) >= 8, "first the sound, then the caller"
    assert hums(desk.heard[:8000], VOICE) == 0, "nobody hears the caller before he is taken"
    assert hums(back, HUM) >= 8 and hums(back, GONG) == 0
    (asked,) = app.forms("/screen")
    assert (asked["ParentCallSid"], asked["CallSid"]) == (form["CallSid"], form["DialCallSid"])
    assert (asked["To"], asked["Direction"], asked["CallStatus"]) == (
        desk.phone.uri,
        "outbound-dial",
        "in-progress",
    )
    (got,) = app.forms("/screen/got")
    assert got["Digits"] == "1" and got["CallSid"] == asked["CallSid"]
    assert "whisper" in [event.get("stage") for event in record["events"]]


def test_whoever_does_not_take_the_call_never_hears_the_caller(
    node: Node, app: TwilioApp, desk: Desk
) -> None:
    before = len(app.forms("/screened/got", 0))
    with ExitStack() as stack:
        waiting = desk.ring(seconds=4.0, stays=True)
        phone = called(node, "screened", stack, desk.phone.uri)
        back = heard(phone.rtp.talk(tone(VOICE, 4.0)))
        hung_up_on(phone)
        waiting.join(15.0)
    assert not waiting.is_alive(), "he was hung up"
    form, _ = last(node, app, "/screened/got", before + 1)
    assert (form["DialCallStatus"], form["DialBridged"]) == ("no-answer", "false")
    assert hums(desk.heard, VOICE) == 0 and hums(desk.heard, GONG) >= 2 and hums(back, HUM) == 0


def test_a_call_may_be_refused(node: Node, app: TwilioApp) -> None:
    with Phone(("127.0.0.1", node.sip_port), "reject") as phone:
        phone.invite()
        phone.refused(486, 10.0)
    with Phone(("127.0.0.1", node.sip_port), "refused") as phone:
        phone.invite()
        phone.refused(486, 10.0)
    (told,) = app.forms("/refused")
    assert (told["CallStatus"], told["CallDuration"]) == ("busy", "0")


def test_a_document_may_lead_to_another(node: Node, app: TwilioApp, listener: Listener) -> None:
    with ExitStack() as stack:
        hung_up_on(called(node, "redirect", stack))
    form, record = last(node, app, "/redirect/next")
    assert form["step"] == "2" and form["CallSid"].startswith("CA")
    assert same_words("you were sent here", listener.heard_by_caller(node.recording(record))) >= 0.7


def test_a_bot_on_a_media_stream_has_the_call_and_gives_it_back(
    node: Node, app: TwilioApp, listener: Listener
) -> None:
    with ExitStack() as stack:
        phone = called(node, "stream", stack)
        back = heard(phone.rtp.talk(tone(VOICE, 5.0)))
        hung_up_on(phone)
    assert hums(back, VOICE) >= 8, "his own voice came back"
    form, record = last(node, app, "/stream/got")
    assert form["StreamName"] == "bot" and form["CallStatus"] == "in-progress"
    told = app.forms("/stream/status", 2)
    assert [one["StreamEvent"] for one in told[:2]] == ["stream-started", "stream-stopped"]
    (socket,) = app.sockets("/media")
    assert socket["seen"] == [{"customer": "7"}]
    assert same_words("the stream is over", listener.heard_by_caller(node.recording(record))) >= 0.7


def test_an_app_listens_while_the_document_goes_on(node: Node, app: TwilioApp, listener: Listener) -> None:
    with ExitStack() as stack:
        hung_up_on(called(node, "listen", stack))
    (socket,) = app.sockets("/ear")
    seen = list(socket["seen"])
    assert seen[:2] == ["connected", "start"] and seen[-1] == "stop" and seen.count("media") > 150
    record = recorded(node, lambda one: one["parties"]["called"] == "listen")
    assert "listened" in words(listener.heard_by_caller(node.recording(record)))


def test_a_relay_talks_and_hands_over(node: Node, app: TwilioApp, listener: Listener) -> None:
    spoken = prompt("vm-prev")
    with ExitStack() as stack:
        phone = called(node, "relay", stack)
        phone.rtp.talk(np.zeros(24_000, np.int16))
        phone.rtp.talk(spoken.pcm)
        hung_up_on(phone, 25.0)
    form, record = last(node, app, "/relay/got")
    assert (form["SessionStatus"], form["HandoffData"]) == ("ended", '{"reason":"done"}')
    assert form["SessionId"].startswith("VX") and int(form["SessionDuration"]) >= 6
    (socket,) = app.sockets("/relay")
    assert socket["seen"][0] == {"customer": "7"} and same_words(spoken.text, socket["seen"][1]) >= 0.8
    said = listener.heard_by_caller(node.recording(record))
    assert same_words(spoken.text, said) >= 0.8 and "hello" in words(said), said
    assert "gone" in words(said), said


def test_the_operator_may_be_told_how_calls_go(node: Node, app: TwilioApp) -> None:
    with ExitStack() as stack:
        hung_up_on(called(node, "hello", stack))
    told = app.forms("/status", 3)
    assert [one["CallStatus"] for one in told] == ["ringing", "in-progress", "completed"]
    assert int(told[2]["CallDuration"]) >= 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rescued", "our app is out of order"),
        ("lost", "the application is away"),
        ("guarded", "that was not allowed"),
    ],
)
def test_an_app_that_fails_is_never_dead_air(
    node: Node, app: TwilioApp, listener: Listener, name: str, said: str
) -> None:
    with ExitStack() as stack:
        hung_up_on(called(node, name, stack))
    record = recorded(node, lambda one: one["parties"]["called"] == name)
    assert same_words(said, listener.heard_by_caller(node.recording(record))) >= 0.7
    if name == "rescued":
        blamed = app.forms("/fallback")[-1]
        assert (blamed["ErrorCode"], blamed["ErrorUrl"]) == ("11200", f"{app.url}/broken")


def test_twilios_validator_believed_every_request(app: TwilioApp) -> None:
    assert app.all_valid()


def test_no_log_line_holds_the_token_or_what_was_said(node: Node, tmp_path: Path) -> None:
    told = str(node.log)
    assert TOKEN not in told and "4711" not in told and prompt("vm-prev").text.lower() not in told.lower()
