"""The conversation as the caller lived it, within bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.agents.chat_history import CHARACTERS_PER_TOKEN, History


def test_turns_are_told_in_order_and_roles_alternate() -> None:
    history = History(10, 1000)
    history.note(0, "", "Hello.", complete=True)
    history.note(1, "Hi.", "What can I do?", complete=True)
    assert history.messages("Help.") == [
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "What can I do?"},
        {"role": "user", "content": "Help."},
    ]


def test_a_cut_reply_is_told_as_cut() -> None:
    history = History(10, 1000)
    history.note(1, "Tell me a story.", "Once upon a ", complete=False)
    assert history.messages("Stop.")[1] == {"role": "assistant", "content": "Once upon a —"}


def test_a_reply_that_nobody_heard_leaves_only_the_question() -> None:
    history = History(10, 1000)
    history.note(1, "One.", "", complete=False)
    assert history.messages("Two.") == [{"role": "user", "content": "One.\nTwo."}]


def test_noting_a_turn_again_replaces_it() -> None:
    history = History(10, 1000)
    history.note(1, "a", "b", complete=False)
    history.note(1, "a", "b and c", complete=True)
    assert history.messages("d")[1]["content"] == "b and c"


def test_the_oldest_turns_go_first() -> None:
    history = History(2, 1000)
    for number in range(1, 5):
        history.note(number, f"u{number}", f"a{number}", complete=True)
    assert [message["content"] for message in history.messages("u5")] == ["u3", "a3", "u4", "a4", "u5"]


@given(
    st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30), st.booleans()), max_size=12),
    st.text(max_size=60),
    st.integers(1, 6),
    st.integers(1, 12),
)
def test_bounds_hold_and_roles_alternate_whatever_was_said(
    turns: list[tuple[str, str, bool]], newest: str, max_turns: int, max_tokens: int
) -> None:
    history = History(max_turns, max_tokens)
    for number, (user, agent, complete) in enumerate(turns):
        history.note(number, user, agent, complete=complete)
    told = history.messages(newest)
    roles = [message["role"] for message in told]
    assert all(a != b for a, b in zip(roles, roles[1:], strict=False))
    assert all(message["content"].strip() for message in told)
    # Joints and cut marks may add a little to what was counted.
    slack = 3 * (max_turns + 1)
    assert sum(len(message["content"]) for message in told) <= max_tokens * CHARACTERS_PER_TOKEN + slack


def test_what_was_said_beside_the_replies_follows_the_newest_turn() -> None:
    history = History(10, 1000)
    history.note(0, "", "Hello.", complete=True)
    history.note_unasked("The line is recorded.", complete=True)
    history.note(1, "Hi.", "What can I", complete=False)
    history.note_unasked("We close", complete=False)
    assert [message["content"] for message in history.messages("Help.")] == [
        "Hello. The line is recorded.",
        "Hi.",
        "What can I — We close —",
        "Help.",
    ]
