"""Whole calls in virtual time whose words come from a ConversationRelay app."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from gateway.agents.base import Interruptible
from gateway.agents.conversation_relay.agent import RelayAgent, RelayHome
from gateway.agents.conversation_relay.outcome import SessionStatus
from gateway.agents.conversation_relay.settings import RelayLimits, RelaySettings
from gateway.calls.call_events import AgentFault
from gateway.calls.turn_settings import GuardSettings, TurnSettings
from gateway.secret import Secret
from gateway.twilio_ids import call_sid, is_sid
from gateway.twilio_signature import signature
from media.frame import Pcm
from media.legs.base import DtmfReceived, EndReason
from tests.calls.place_call import Outcome, place_call
from tests.fakes.caller import TICK
from tests.fakes.relay_app import Message, ScriptedApp, ScriptedWire, text

STORY = (
    "There once was a miller who had three sons. "
    "He left his mill to the first, and his donkey to the second. "
    "The youngest got nothing but the cat."
)
ASK = (0.5, 1.5, "Tell me a story.")
URL = "wss://app.example.com/relay"

Answer = Callable[[ScriptedWire, Message], None]


def answering(**answers: Sequence[Message]) -> Answer:
    """What the app says to each type of message."""

    def answer(wire: ScriptedWire, message: Message) -> None:
        if message["type"] != "prompt" or message["last"]:
            wire.say(*answers.get(message["type"], ()))

    return answer


def echo(wire: ScriptedWire, message: Message) -> None:
    if message["type"] == "prompt" and message["last"]:
        wire.say(*(text(word + " ", last=False) for word in message["voicePrompt"].split()), text(""))


async def beep(source: str, rate: int) -> AsyncGenerator[Pcm, None]:
    if source.endswith("none.wav"):
        raise OSError("no such file")
    yield np.full(rate // 5, 7000, np.int16)


class Relayed:
    """One call with an app."""

    def __init__(
        self, app: ScriptedApp | Answer, says: Sequence[tuple[float, float, str]] = (ASK,), *,
        until: float = 8.0, does: Sequence[Any] = (), turns: TurnSettings | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        self.app = app if isinstance(app, ScriptedApp) else ScriptedApp(app)
        chosen = RelaySettings(url=URL, auth_token=Secret("12345"), **settings)
        home = RelayHome("AC" + 32 * "0", self.app.dial, beep, lambda: 1_700_000_000.0)
        self.agent = RelayAgent("relay", chosen, home)
        self.call: Outcome = place_call(says, until=until, does=does, agent=self.agent, turns=turns)

    @property
    def told(self) -> list[Message]:
        """All that the app was told, without the type `info`."""
        return [message for _, message in self.app.told if message["type"] != "info"]

    @property
    def heard(self) -> list[str]:
        """What was said to the caller, sentence by sentence."""
        return self.call.watcher.said

    @property
    def faults(self) -> list[tuple[str, str]]:
        """What broke, and what was done, as the call's record keeps it."""
        events = self.call.record.events
        return [(event.kind, event.action) for event in events if isinstance(event, AgentFault)]

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.told]


def test_a_conversation() -> None:
    relayed = Relayed(echo, greeting="Hello there.", parameters={"foo": "bar"})
    setup, prompt = relayed.told
    assert setup["from"] == "100" and setup["to"] == "200" and setup["customParameters"] == {"foo": "bar"}
    assert setup["callSid"] == call_sid("call-1") and is_sid(setup["sessionId"], "VX")
    assert prompt == {"type": "prompt", "voicePrompt": "Tell me a story.", "lang": "en-US", "last": True}
    assert relayed.heard == ["Hello there.", "Tell me a story."]
    assert relayed.call.turns == [("Tell me a story.", "Tell me a story.")]
    assert relayed.app.headers == {"X-Twilio-Signature": signature(Secret("12345"), URL)}
    assert relayed.call.tasks_left == [] and relayed.app.wires[0].closed
    assert relayed.agent.outcome.status is SessionStatus.COMPLETED


def test_the_app_is_asked_once_the_turn_is_over_and_never_ahead_of_it() -> None:
    relayed = Relayed(echo, [(0.5, 1.5, "I want to"), (2.0, 3.0, "book a table.")])
    assert relayed.kinds() == ["setup", "prompt"]
    assert relayed.told[1]["voicePrompt"] == "I want to book a table."


def test_a_turn_that_is_taken_up_again_is_told_as_it_grows() -> None:
    def slow(wire: ScriptedWire, message: Message) -> None:
        if message["type"] == "prompt" and "room" in message["voicePrompt"]:
            wire.say(text("Very well."))

    says = [(0.5, 1.5, "I want a table."), (2.15, 3.0, "In the back room.")]
    relayed = Relayed(slow, says, until=6.0)
    assert relayed.kinds() == ["setup", "prompt", "interrupt", "prompt"]
    first, second = [message["voicePrompt"] for message in relayed.told if message["type"] == "prompt"]
    assert (first, second) == ("I want a table.", "In the back room.")
    assert relayed.told[2]["utteranceUntilInterrupt"] == ""
    assert relayed.call.turns == [("I want a table. In the back room.", "Very well.")]


def test_the_app_may_speak_whenever_it_likes() -> None:
    def speaks_first(wire: ScriptedWire, message: Message) -> None:
        if message["type"] == "setup":
            wire.say(text("Good morning. ", last=False), text("Who is there?"))
        elif message["type"] == "prompt":
            wire.say(text("Let me look."), text("I have found it."))

    relayed = Relayed(speaks_first, [(2.0, 3.0, "It is me.")])
    assert relayed.heard == ["Good morning.", "Who is there?", "Let me look.", "I have found it."]
    assert relayed.call.audible[0][0] < 0.3
    assert [turn.heard for turn in relayed.call.record.turns] == [
        "Good morning. Who is there?", "Let me look.", "I have found it.",
    ]  # fmt: skip


def test_what_the_app_says_while_the_caller_speaks_waits_for_him() -> None:
    class Impatient(ScriptedApp):
        pass

    app = Impatient(answering(setup=[], prompt=[text("Of course.")]))

    def answers(wire: ScriptedWire, message: Message) -> None:
        if message["type"] == "info" and message["value"] == "on" and message["name"] == "clientSpeaking":
            wire.say(text("By the way."))
        elif message["type"] == "prompt":
            wire.say(text("Of course."))

    app.answers = answers
    relayed = Relayed(app, events=("speaker-events",))
    assert relayed.heard == ["By the way.", "Of course."]
    assert relayed.call.audible[0][0] > 1.5
    assert relayed.call.turns == [("Tell me a story.", "By the way. Of course.")]


def test_a_barge_in_tells_what_was_heard_and_for_how_long() -> None:
    tokens = [text(token, last=False) for token in STORY.split("e")]
    tokens = [{**token, "token": token["token"] + "e"} for token in tokens]
    story = "".join(token["token"] for token in tokens)
    relayed = Relayed(answering(prompt=[*tokens, text("")]), [ASK, (4.0, 4.8, "Please stop.")], until=6.0)
    assert relayed.kinds() == ["setup", "prompt", "interrupt", "prompt"]
    interrupt = relayed.told[2]
    heard = interrupt["utteranceUntilInterrupt"]
    assert story.startswith(heard) and 5 < len(heard.split()) < 25
    began, ended = relayed.call.audible[0]
    assert interrupt["durationUntilInterruptMs"] == pytest.approx(1000 * (ended - began), abs=25)
    assert len(heard.split()) == int((ended - began) / 0.1 + 1e-6)
    assert relayed.told[3]["voicePrompt"] == "Please stop."


def test_noise_is_no_interruption() -> None:
    relayed = Relayed(answering(prompt=[text(STORY)]), [ASK, (4.0, 4.3, "")], until=12.0)
    assert relayed.kinds() == ["setup", "prompt"]
    assert relayed.call.turns == [("Tell me a story.", STORY)]


@pytest.mark.parametrize(("ignored", "kinds"), [(False, ["interrupt", "prompt"]), (True, [])])
def test_backchannels(ignored: bool, kinds: list[str]) -> None:
    relayed = Relayed(
        answering(prompt=[text(STORY)]), [ASK, (4.0, 4.3, "Mm-hm.")], until=8.0, ignore_backchannel=ignored
    )
    assert relayed.kinds()[2:] == kinds


@pytest.mark.parametrize(
    ("settings", "fields"),
    [({"interruptible": "none"}, {}), ({"interruptible": "dtmf"}, {}), ({}, {"interruptible": False})],
)
def test_a_talk_that_voice_may_not_cut_is_heard_out(settings: Any, fields: dict[str, Any]) -> None:
    chosen: Any = {name: Interruptible(value) for name, value in settings.items()}
    app = answering(prompt=[text(STORY, **fields)])
    relayed = Relayed(app, [ASK, (3.0, 3.8, "Please stop.")], until=7.0, **chosen)
    assert relayed.kinds() == ["setup", "prompt"]
    assert relayed.call.turns == [("Tell me a story.", STORY)]
    assert len(relayed.call.audible) == 1


def test_what_is_said_under_such_a_talk_is_reported_when_asked() -> None:
    def answers(wire: ScriptedWire, message: Message) -> None:
        if message["type"] == "prompt":
            wire.say(text(STORY if "story" in message["voicePrompt"] else "You said something."))

    relayed = Relayed(
        answers, [ASK, (3.0, 3.8, "Please stop.")], until=9.0,
        interruptible=Interruptible.NONE, report_input=Interruptible.VOICE,
    )  # fmt: skip
    assert relayed.kinds() == ["setup", "prompt", "prompt"]
    assert relayed.told[2]["voicePrompt"] == "Please stop."
    at = next(at for at, message in relayed.app.told if message.get("voicePrompt") == "Please stop.")
    began, ended = relayed.call.audible[0]
    assert began < at < ended
    assert " ".join(relayed.heard) == STORY + " You said something."


def test_preemptible_talk_gives_way_to_the_next() -> None:
    def answers(wire: ScriptedWire, message: Message) -> None:
        if message["type"] == "prompt":
            long = "story" in message["voicePrompt"]
            wire.say(text(STORY if long else "Stopped.", preemptible=True))

    relayed = Relayed(
        answers, [ASK, (3.0, 3.8, "Please stop.")], until=9.0,
        interruptible=Interruptible.NONE, report_input=Interruptible.VOICE,
    )  # fmt: skip
    assert relayed.heard[-1] == "Stopped."
    story, stopped = relayed.call.record.turns
    assert STORY.startswith(story.heard) and len(story.heard) < len(STORY)
    assert stopped.heard == "Stopped."
    assert "interrupt" not in relayed.kinds()


def test_keys_arrive_one_by_one_and_are_no_turns() -> None:
    does = [(2.0 + 0.2 * n, DtmfReceived(digit, 2.0 + 0.2 * n)) for n, digit in enumerate("12#")]
    relayed = Relayed(echo, [], does=does)
    assert [message["digit"] for message in relayed.told if message["type"] == "dtmf"] == ["1", "2", "#"]
    assert relayed.call.turns == []


def test_a_key_cuts_the_talk_first() -> None:
    relayed = Relayed(answering(prompt=[text(STORY)]), does=[(4.0, DtmfReceived("5", 4.0))])
    assert relayed.kinds() == ["setup", "prompt", "interrupt", "dtmf"]
    assert relayed.call.audible[0][1] == pytest.approx(4.0, abs=2 * TICK)


@pytest.mark.parametrize(("report", "told"), [("none", []), ("dtmf", ["5"]), ("any", ["5"])])
def test_a_key_under_a_talk_that_goes_on_is_told_when_asked(report: str, told: list[str]) -> None:
    relayed = Relayed(
        answering(prompt=[text(STORY)]), does=[(4.0, DtmfReceived("5", 4.0))],
        interruptible=Interruptible.VOICE, report_input=Interruptible(report),
    )  # fmt: skip
    assert [message["digit"] for message in relayed.told if message["type"] == "dtmf"] == told
    assert "interrupt" not in relayed.kinds()


def test_partial_prompts() -> None:
    relayed = Relayed(echo, partial_prompts=True)
    partials = [message["voicePrompt"] for message in relayed.told if message.get("last") is False]
    assert partials and all("Tell me a story.".startswith(partial) for partial in partials)
    assert relayed.told[-1]["last"] is True


def test_the_app_may_ask_who_speaks_and_what_was_played() -> None:
    relayed = Relayed(
        answering(prompt=[text("One two three.")]), until=5.0, events=("speaker-events", "tokens-played")
    )
    infos = [(m["name"], m["value"]) for m in relayed.app.of("info")]
    speakers = [" ".join(info) for info in infos if info[0] != "tokensPlayed"]
    assert speakers == [f"{who}Speaking {how}" for who in ("client", "agent") for how in ("on", "off")]
    assert " ".join(value for name, value in infos if name == "tokensPlayed") == "One two three."
    assert relayed.app.of("info")[0]["ts"] == 1_700_000_000_000


def test_the_end_comes_when_all_was_heard_and_hands_over() -> None:
    end = {"type": "end", "handoffData": '{"reason": "human"}'}
    relayed = Relayed(answering(prompt=[text("I will connect you."), end]))
    outcome = relayed.agent.outcome
    assert relayed.call.turns == [("Tell me a story.", "I will connect you.")]
    assert outcome.status is SessionStatus.ENDED and outcome.handoff_data == '{"reason": "human"}'
    assert outcome.form()[1] == ("SessionStatus", "ended")
    assert relayed.call.record.end_reason is EndReason.AGENT_HUNG_UP
    assert len(relayed.app.wires) == 1 and relayed.app.wires[0].closed


def test_the_end_does_not_wait_for_a_caller_who_speaks() -> None:
    def ends(wire: ScriptedWire, message: Message) -> None:
        if message["type"] == "info" and message["value"] == "on":
            wire.say({"type": "end"})

    relayed = Relayed(ends, [(1.0, 6.0, "Blah.")], events=("speaker-events",), until=8.0)
    assert relayed.call.record.duration < 1.5


def test_an_end_whose_goodbye_is_interrupted_is_an_end() -> None:
    relayed = Relayed(
        answering(prompt=[text(STORY, last=False), {"type": "end"}]), [ASK, (3.0, 3.8, "Wait!")], until=9.0
    )
    assert relayed.call.record.end_reason is EndReason.AGENT_HUNG_UP
    assert relayed.call.record.duration < 6.0


def test_sounds_are_played_in_their_place() -> None:
    sound = {"type": "play", "source": "https://example.com/beep.wav", "loop": 2}
    relayed = Relayed(answering(prompt=[text("Listen: ", last=False), sound, text("Nice?")]))
    levels = [int(pcm[0]) for _, _, pcm in relayed.call.caller.playout.heard]
    assert levels == sorted(levels, key=[100, 7000, 200].index)
    assert levels.count(7000) == 20
    assert relayed.call.turns == [("Tell me a story.", "Listen: Nice?")]


@pytest.mark.parametrize("source", ["https://example.com/none.wav", "hold.wav", "../../etc/passwd"])
def test_a_sound_that_cannot_be_had_is_told_and_left_out(source: str) -> None:
    relayed = Relayed(answering(prompt=[{"type": "play", "source": source}, text("Here I am.")]))
    assert len(relayed.app.of("error")) == 1
    assert "Here I am." in relayed.heard
    assert relayed.call.record.end_reason is EndReason.CALLER_HUNG_UP


def test_an_endless_sound_gives_way() -> None:
    def answers(wire: ScriptedWire, message: Message) -> None:
        if message["type"] == "setup":
            wire.say({"type": "play", "source": "https://example.com/beep.wav", "loop": 0})
        if message["type"] == "dtmf":
            wire.say(text("Back again."), {"type": "end"})

    relayed = Relayed(
        answers, [], does=[(5.0, DtmfReceived("1", 5.0))], interruptible=Interruptible.NONE,
        report_input=Interruptible.ANY,
    )  # fmt: skip
    assert relayed.heard == ["Back again."]
    assert relayed.call.record.end_reason is EndReason.AGENT_HUNG_UP


# ------------------------------------------------------------------------------------------ the app fails


def test_a_lost_socket_is_dialled_again_and_the_conversation_goes_on() -> None:
    def answers(wire: ScriptedWire, message: Message) -> None:
        if message["type"] == "prompt" and len(wire.app.wires) == 1:
            wire.die()  # asked, and dead before a word
        elif message["type"] == "prompt":
            wire.say(text("I am back."))

    relayed = Relayed(answers, [ASK, (4.0, 5.0, "And now?")])
    assert relayed.kinds() == ["setup", "prompt", "setup", "prompt", "prompt"]
    first, again = relayed.app.of("setup")
    assert first == again
    assert relayed.call.turns == [("Tell me a story.", "I am back."), ("And now?", "I am back.")]
    assert relayed.faults == [("cut", "reconnected")]


def test_what_the_caller_says_while_the_app_is_away_is_delivered() -> None:
    class Restarts(ScriptedApp):
        async def connect(self) -> ScriptedWire:
            if self.wires:
                self.refuses = 5 if len(self.tries) < 5 else 0
            return await super().connect()

    def answers(wire: ScriptedWire, message: Message) -> None:
        if message["type"] == "setup" and len(wire.app.wires) == 1:
            wire.die()
        echo(wire, message)

    relayed = Relayed(Restarts(answers), [(0.2, 1.0, "Are you there?")])
    assert relayed.kinds() == ["setup", "setup", "prompt"]
    assert relayed.call.turns == [("Are you there?", "Are you there?")]


def test_a_caller_who_waits_for_an_app_that_is_away_hears_a_filler_then_an_apology() -> None:
    app = ScriptedApp(refuses=1000)
    relayed = Relayed(app, until=30.0, limits=RelayLimits(first_seconds=15.0))
    assert relayed.heard[0] == "One moment, please."
    assert relayed.heard[1].startswith("I'm sorry, something went wrong.")
    assert relayed.heard[-1].endswith("Goodbye.")
    outcome = relayed.agent.outcome
    assert (outcome.status, outcome.error_code) == (SessionStatus.FAILED, 64102)
    assert ("ErrorCode", "64102") in outcome.form()
    assert relayed.faults == [("slow", "filler"), ("refused", "fallback"), ("refused", "fallback")]
    assert relayed.call.record.end_reason is EndReason.DEAD_AIR


def test_an_app_that_never_is_there_is_not_waited_for_in_silence() -> None:
    relayed = Relayed(ScriptedApp(refuses=1000), [], until=30.0)
    assert relayed.heard[0] == "One moment, please." and relayed.heard[-1].endswith("Goodbye.")
    (filler, _), (goodbye, _) = relayed.call.audible
    assert filler <= 1.5 and goodbye <= 4.0
    assert relayed.faults == [("slow", "filler"), ("refused", "fallback")]
    assert relayed.call.record.end_reason is EndReason.DEAD_AIR


def test_where_there_is_a_fallback_the_caller_has_it_soon() -> None:
    guards = GuardSettings(failures=1)
    limits, turns = RelayLimits(first_seconds=15.0), TurnSettings(guards=guards)
    relayed = Relayed(ScriptedApp(refuses=1000), turns=turns, until=30.0, limits=limits)
    assert relayed.call.record.end_reason is EndReason.DEAD_AIR
    assert relayed.call.audible[1][0] - ASK[1] < 4.0
    assert "something went wrong" not in " ".join(relayed.heard)
    assert relayed.agent.outcome.status is SessionStatus.FAILED


def test_an_app_may_leave_a_prompt_without_an_answer_even_so() -> None:
    guards = GuardSettings(failures=1)
    relayed = Relayed(answering(), turns=TurnSettings(guards=guards), until=14.0)
    assert relayed.call.record.end_reason is EndReason.CALLER_HUNG_UP


def test_an_app_that_dies_in_mid_sentence_is_apologised_for() -> None:
    def answers(wire: ScriptedWire, message: Message) -> None:
        if message["type"] == "prompt" and len(wire.app.wires) == 1:
            wire.say(text("Once upon a time. And th", last=False))
            wire.die()
        else:
            echo(wire, message)

    relayed = Relayed(answers, [ASK, (6.0, 7.0, "Again please.")], until=12.0)
    assert relayed.heard[0] == "Once upon a time."
    assert "something went wrong" in relayed.heard[1]
    assert relayed.call.turns[-1] == ("Again please.", "Again please.")


def test_an_app_that_is_lost_for_good_ends_the_conversation() -> None:
    def answers(wire: ScriptedWire, message: Message) -> None:
        if message["type"] == "prompt":
            wire.app.refuses = 1000
            wire.die()

    relayed = Relayed(answers, until=40.0)
    outcome = relayed.agent.outcome
    assert (outcome.status, outcome.error_code) == (SessionStatus.FAILED, 64105)
    assert ("cut", "fallback") in relayed.faults
    assert relayed.call.record.end_reason is EndReason.DEAD_AIR
    assert relayed.call.tasks_left == []


def test_garbage_is_answered_with_an_error_and_harms_nobody() -> None:
    bad: list[Any] = [
        "garbage",
        b"\x00\xff",
        "[]",
        {"type": "sing"},
        {"type": "text", "token": 7},
        "x" * 70_000,
    ]
    relayed = Relayed(answering(prompt=[*bad, text("Still here.")]))
    assert len(relayed.app.of("error")) == len(bad)
    assert all(message["description"].startswith("Invalid message: ") for message in relayed.app.of("error"))
    assert relayed.call.turns == [("Tell me a story.", "Still here.")]
    assert relayed.call.record.end_reason is EndReason.CALLER_HUNG_UP


def test_a_talk_without_end_is_bounded() -> None:
    endless = [text("and so on ", last=False) for _ in range(5000)]
    relayed = Relayed(answering(prompt=endless), until=6.0)
    assert len(relayed.app.of("error")) == 1
    assert len(relayed.agent.outcome.form()) == 3
    assert relayed.call.record.end_reason is EndReason.CALLER_HUNG_UP


def test_an_app_that_answers_nothing_is_covered_for() -> None:
    relayed = Relayed(answering(), until=14.0)
    assert relayed.heard[0] == "One moment, please."
    assert "something went wrong" in relayed.heard[1]


def test_languages() -> None:
    relayed = Relayed(
        answering(
            prompt=[
                text("Guten Tag.", lang="de-DE"),
                {"type": "language", "ttsLanguage": "fr-FR", "transcriptionLanguage": "sv-SE"},
                text("Bonjour."),
            ]
        ),
        [ASK, (5.0, 6.0, "God dag.")],
    )
    assert relayed.heard[:2] == ["Guten Tag.", "Bonjour."]
    assert [m["lang"] for m in relayed.told if m["type"] == "prompt"] == ["en-US", "sv-SE"]
