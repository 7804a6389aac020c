"""What an app says, put together: talks, their order, what cuts what, and what is too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.agents.base import AgentError, Finish, PlaySound, ReplyPart, Say
from gateway.agents.conversation_relay.talks import Talks, TalkUnfit
from media.frame import Pcm
from tests.virtual_time import run_virtual


class Floor:
    """Remembers what it was offered."""

    def __init__(self) -> None:
        self.offers: list[tuple[bool, bool]] = []

    def offer(self, *, preempts: bool, urgent: bool) -> None:
        self.offers.append((preempts, urgent))


def talks(floor: Floor | None = None, *, most: int = 4, characters: int = 100) -> Talks:
    return Talks(floor or Floor(), most=most, characters=characters, preemptible=False)


def say(made: Talks, text: str, *, last: bool = True, preemptible: bool = False, at: float = 0.0) -> None:
    made.say(Say(text) if text else None, at, last=last, preemptible=preemptible)


async def nothing(rate: int) -> AsyncGenerator[Pcm, None]:
    for _ in ():
        yield _


def text(parts: list[ReplyPart]) -> str:
    return "".join(part.text if isinstance(part, Say) else f"<{type(part).__name__}>" for part in parts)


async def read(made: Talks, prompt: int = 0, seconds: float = 1.0) -> str:
    """What one reader gets, "..." when it still waits, "!" when the talk is broken off."""
    parts: list[ReplyPart] = []
    try:
        async with asyncio.timeout(seconds), aclosing(made.read(prompt)) as reader:
            async for part in reader:
                parts.append(part)
    except TimeoutError:
        return text(parts) + "..."
    except AgentError:
        return text(parts) + "!"
    return text(parts)


def test_a_talk_nobody_asked_for_is_offered_once_and_read_to_its_last() -> None:
    floor = Floor()
    made = talks(floor)
    for token, last in (("One ", False), ("two.", False), ("", True), ("Another.", True)):
        say(made, token, last=last)
    assert floor.offers == [(False, False)] * 2
    assert run_virtual(read(made)) == "One two."
    assert len(floor.offers) == 3  # the other still waits
    assert run_virtual(read(made)) == "Another."
    assert len(floor.offers) == 3


def test_an_answer_is_what_begins_after_the_prompt() -> None:
    made = talks()
    say(made, "By the way.")
    prompt = made.prompted()
    say(made, "The answer.")
    say(made, "One thing more.")
    assert run_virtual(read(made, prompt)) == "By the way.\nThe answer."
    assert run_virtual(read(made)) == "One thing more."


def test_a_reader_waits_for_what_is_still_to_come() -> None:
    async def scene() -> str:
        floor = Floor()
        made = talks(floor)
        reading = asyncio.create_task(read(made, made.prompted()))
        for token in ("It ", "is ", "late."):
            await asyncio.sleep(0.2)
            say(made, token, last=token == "late.", at=0.0)
        assert floor.offers == []  # somebody reads already
        return await reading

    assert run_virtual(scene()) == "It is late."


def test_an_empty_last_says_that_there_is_no_answer() -> None:
    floor = Floor()
    made = talks(floor)
    prompt = made.prompted()
    say(made, "", last=True)
    assert floor.offers == []
    say(made, "Later.")
    assert run_virtual(read(made, prompt)) == "Later."


def test_a_talk_that_may_be_cut_gives_way_to_the_next() -> None:
    floor = Floor()
    made = talks(floor)
    say(made, "Long story.", preemptible=True)
    prompt = made.prompted()
    say(made, "News!")
    assert run_virtual(read(made, prompt)) == "Long story."
    assert floor.offers[-1] == (True, False)
    assert run_virtual(read(made)) == "News!"
    say(made, "More.")
    assert floor.offers[-1] == (False, False)


def test_the_end_waits_until_a_talk_was_heard_unless_it_is_endless() -> None:
    floor = Floor()
    made = talks(floor)
    say(made, "Goodbye.", preemptible=True)
    assert run_virtual(read(made)) == "Goodbye."
    made.add(Finish(), preemptible=True)
    assert floor.offers[-1] == (False, True)
    assert run_virtual(read(made)) == "<Finish>"
    made.add(PlaySound(nothing, loops=0), preemptible=False)
    assert run_virtual(read(made)) == "<PlaySound>"
    made.add(Finish(), preemptible=False)
    assert floor.offers[-1] == (True, True)


def test_sounds_and_keys_between_the_words_keep_their_place() -> None:
    made = talks()
    say(made, "Listen: ", last=False)
    made.add(PlaySound(nothing), preemptible=False)
    say(made, "Nice?")
    made.add(PlaySound(nothing), preemptible=False)
    assert run_virtual(read(made)) == "Listen: <PlaySound>Nice?"
    assert run_virtual(read(made)) == "<PlaySound>"


def test_an_interruption_drops_what_waits_and_the_rest_of_what_was_begun() -> None:
    made = talks()
    say(made, "One. ", last=False)
    made.forget(5.0)
    say(made, "Two. ", last=False, at=5.1)
    say(made, "Three.", last=True, at=5.2)
    say(made, "Sorry, go ahead.", at=5.3)
    assert run_virtual(read(made)) == "Sorry, go ahead."


@pytest.mark.parametrize("prompted", [True, False])
def test_an_app_that_just_stopped_begins_anew(prompted: bool) -> None:
    made = talks()
    say(made, "One. ", last=False)
    made.forget(5.0)
    if prompted:
        made.prompted()
    say(made, "Yes?", at=5.1 if prompted else 6.5)
    assert run_virtual(read(made)) == "Yes?"


def test_a_finished_talk_that_is_interrupted_costs_the_next_one_nothing() -> None:
    made = talks()
    say(made, "One.")
    made.forget(5.0)
    say(made, "Two.", at=5.1)
    assert run_virtual(read(made)) == "Two."


def test_the_end_survives_an_interruption() -> None:
    floor = Floor()
    made = talks(floor)
    say(made, "Goodbye.")
    made.add(Finish(), preemptible=False)
    made.forget(1.0)
    assert run_virtual(read(made)) == "<Finish>"


def test_a_talk_without_end_is_cut_and_told_once() -> None:
    made = talks(characters=10)
    say(made, "0123456789", last=False)
    with pytest.raises(TalkUnfit, match="more than 10 characters"):
        say(made, "x", last=False, at=1.0)
    say(made, "y" * 1000, last=False, at=1.1)
    say(made, "", last=True, at=1.2)
    say(made, "Next.", at=1.3)
    assert run_virtual(read(made)) == "0123456789"
    assert run_virtual(read(made)) == "Next."


def test_too_many_talks_are_refused() -> None:
    made = talks(most=2)
    say(made, "One.")
    say(made, "Two.")
    with pytest.raises(TalkUnfit, match="more than 2 talks wait"):
        say(made, "Three.")


def test_an_app_that_dies_in_mid_talk_breaks_the_reply_off() -> None:
    made = talks()
    prompt = made.prompted()
    say(made, "Once upon a ", last=False)
    made.break_off("cut")
    assert run_virtual(read(made, prompt)) == "Once upon a !"
    made.break_off("nothing was under way")
    say(made, "Again.")
    assert run_virtual(read(made)) == "Again."


def test_whoever_waits_may_be_told_to_give_up() -> None:
    async def scene() -> str:
        made = talks()
        reading = asyncio.create_task(read(made, made.prompted()))
        await asyncio.sleep(0.1)
        made.give_up("away")
        return await reading

    assert run_virtual(scene()) == "!"


_STEPS = st.lists(
    st.tuples(st.sampled_from(["say", "last", "prompt", "forget", "play", "read"]), st.booleans()),
    max_size=30,
)


@given(_STEPS)
def test_nothing_is_said_twice_and_nothing_out_of_order(steps: list[tuple[str, bool]]) -> None:
    async def scene() -> list[int]:
        made = talks(most=50, characters=10_000)
        heard: list[int] = []
        prompt = 0
        for number, (step, flag) in enumerate(steps):
            match step:
                case "say" | "last":
                    say(made, f"{number} ", last=step == "last", preemptible=flag, at=float(number * 3))
                case "prompt":
                    prompt = made.prompted()
                case "forget":
                    made.forget(float(number * 3))
                case "play":
                    made.add(PlaySound(nothing), preemptible=flag)
                case "read":
                    got = (await read(made, prompt if flag else 0)).replace("<PlaySound>", " ")
                    heard += [int(word) for word in got.replace("...", "").split()]
        return heard

    heard = run_virtual(scene())
    assert heard == sorted(set(heard))
