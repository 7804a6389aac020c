"""When a question is answered: literal times, and random callers."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.actions.asking import WORDS_DUE, Asking, Move
from gateway.dialplan.actions_ask import DigitRule, Gather
from gateway.dialplan.answers import Heard

ASK = Gather("?", digits=DigitRule(1, 4, "#"), timeout=5.0, digit_timeout=3.0, end_silence=0.8, longest=10.0)


def asked(ask: Gather = ASK, **more: object) -> Asking:
    asking = Asking(ask)
    asking.asked(0.0)
    return asking


def test_silence_after_the_question_is_no_answer() -> None:
    asking = Asking(ASK)
    assert asking.due == math.inf and asking.timeout(100.0) is Move.NOTHING
    asking.asked(10.0)
    assert asking.due == 15.0 and asking.timeout(14.9) is Move.NOTHING
    assert asking.timeout(15.0) is Move.DONE and asking.answer is None


def test_keys_end_with_the_last_one_the_terminator_or_a_pause() -> None:
    asking = asked()
    assert [asking.key(digit, 1.0) for digit in "1234"] == [Move.HUSH] * 3 + [Move.DONE]
    assert asking.answer == Heard("1234", keyed=True)
    asking = asked()
    assert [asking.key(digit, 1.0) for digit in "12#"] == [Move.HUSH, Move.HUSH, Move.DONE]
    assert asking.answer == Heard("12", keyed=True, ended_by="#")
    asking = asked()
    asking.key("7", 2.0)
    assert asking.due == 5.0 and asking.timeout(5.0) is Move.DONE
    assert asking.answer == Heard("7", keyed=True)


def test_keys_that_no_further_key_could_change_are_an_answer_at_once() -> None:
    asking = Asking(ASK, complete=lambda keys: keys in ("1", "22"))
    assert asking.key("2", 0.0) is Move.HUSH and asking.key("2", 0.1) is Move.DONE


def test_speech_ends_with_quiet_and_waits_for_its_words() -> None:
    asking = asked()
    assert asking.voice_began(1.0) is Move.HUSH
    asking.voice_ended(1, 2.0)
    assert asking.due == 2.8
    assert asking.timeout(2.8) is Move.NOTHING and asking.due == 2.8 + WORDS_DUE
    assert asking.words(1, "sales please", 3.0) is Move.DONE
    assert asking.answer == Heard("sales please", keyed=False)


def test_words_that_come_before_the_quiet_is_over_wait_for_it() -> None:
    asking = asked()
    asking.voice_began(1.0)
    asking.voice_ended(1, 2.0)
    assert asking.words(1, "my number is", 2.3) is Move.NOTHING
    asking.voice_began(2.5)
    asking.voice_ended(2, 3.5)
    asking.words(2, "one two", 3.7)
    assert asking.timeout(4.3) is Move.DONE
    assert asking.answer == Heard("my number is one two", keyed=False)


def test_noise_is_waited_out_but_not_for_ever() -> None:
    asking, now = asked(), 0.0
    for number in range(1, 4):
        assert asking.voice_began(now) is Move.HUSH
        asking.voice_ended(number, now + 0.2)
        asking.words(number, "", now + 0.3)
        move = asking.timeout(now + 1.0)
        now += 2.0
    assert move is Move.DONE and asking.answer is None


def test_words_that_never_come_are_given_up() -> None:
    asking = asked()
    asking.voice_began(1.0)
    asking.voice_ended(1, 2.0)
    asking.timeout(2.8)
    assert asking.timeout(2.8 + WORDS_DUE) is Move.NOTHING
    assert asking.due == 2.8 + WORDS_DUE + 5.0, "asked again: it was as good as noise"


def test_a_key_goes_before_what_was_said() -> None:
    asking = asked()
    asking.voice_began(1.0)
    asking.voice_ended(1, 1.5)
    assert asking.key("9", 1.6) is Move.HUSH
    assert asking.words(1, "hm", 1.7) is Move.NOTHING and not asking.wants_speech
    assert asking.timeout(4.6) is Move.DONE and asking.answer == Heard("9", keyed=True)


def test_an_endless_answer_is_cut_and_still_heard() -> None:
    asking = asked()
    asking.voice_began(1.0)
    assert asking.timeout(11.0) is Move.CUT
    asking.voice_ended(1, 11.0)
    assert asking.words(1, "and so on", 11.5) is Move.NOTHING
    assert asking.timeout(11.8) is Move.DONE and asking.answer == Heard("and so on", keyed=False)


def test_who_may_not_interrupt_is_not_heard_while_the_question_is_asked() -> None:
    asking = Asking(Gather("?", barge_in=False))
    assert not asking.wants_speech and asking.voice_began(1.0) is Move.NOTHING
    assert asking.key("1", 1.0) is Move.NOTHING
    asking.asked(2.0)
    assert asking.wants_speech and asking.key("1", 3.0) is Move.HUSH


def test_a_lost_recogniser_leaves_the_keys() -> None:
    asking = asked()
    asking.voice_began(1.0)
    asking.deaf(2.0)
    assert asking.due == 7.0 and not asking.wants_speech
    assert asking.key("1", 3.0) is Move.HUSH


class RandomCaller(RuleBasedStateMachine):
    """Whatever a caller and a recogniser do, the question ends, once, and in time."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.began, self.segment, self.open = 0.0, 0.0, 0, False
        self.asking = Asking(ASK)
        self.ended = 0

    def note(self, move: Move) -> None:
        if move is Move.DONE:
            self.ended += 1
        if move is Move.CUT and self.open:
            self.open = False
            self.asking.voice_ended(self.segment, self.now)

    @rule(seconds=st.floats(0.01, 3.0))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        while self.asking.due <= until:
            self.now = max(self.now, self.asking.due)
            self.note(self.asking.timeout(self.now))
        self.now = until

    @rule()
    def the_question_ends(self) -> None:
        self.asking.asked(self.now)

    @rule(digit=st.sampled_from("0123456789*#"))
    def presses(self, digit: str) -> None:
        self.note(self.asking.key(digit, self.now))

    @precondition(lambda self: not self.open)
    @rule()
    def speaks(self) -> None:
        if self.asking.wants_speech:
            self.open, self.segment = True, self.segment + 1
            self.note(self.asking.voice_began(self.now))

    @precondition(lambda self: self.open)
    @rule()
    def falls_silent(self) -> None:
        self.open = False
        self.asking.voice_ended(self.segment, self.now)

    @rule(back=st.integers(0, 2), text=st.sampled_from(["", "yes", "a b"]))
    def words_come(self, back: int, text: str) -> None:
        self.note(self.asking.words(self.segment - back, text, self.now))

    @rule()
    def the_recogniser_is_lost(self) -> None:
        self.asking.deaf(self.now)

    @invariant()
    def it_ends_once_and_then_rests(self) -> None:
        assert self.ended == int(self.asking.done)
        if self.asking.done:
            assert self.asking.due == math.inf
            assert self.asking.answer is None or self.asking.answer.text

    def teardown(self) -> None:
        self.asking.asked(self.now)
        for _ in range(20):
            if self.asking.done:
                break
            assert self.asking.due < math.inf, "stuck"
            self.now = max(self.now, self.asking.due)
            self.note(self.asking.timeout(self.now))
        assert self.asking.done


TestRandomCaller = RandomCaller.TestCase
TestRandomCaller.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
