"""Signed statements: only what was signed comes out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from license.signature import BadSignature, derived_key, new_key, public_of, seal, unseal

KEY = new_key()
PUBLIC = public_of(KEY)
STATEMENT = seal("test+jwt", {"a": 1}, KEY)


def test_what_was_signed_comes_out() -> None:
    assert unseal("test+jwt", STATEMENT, PUBLIC) == {"a": 1}
    assert unseal("test+jwt", STATEMENT + "\n", PUBLIC) == {"a": 1}


def test_the_published_example() -> None:
    """RFC 8037 appendix A: our keys and signatures are everybody's."""
    private = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
    assert public_of(private) == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"


def test_another_key_another_kind() -> None:
    with pytest.raises(BadSignature):
        unseal("test+jwt", STATEMENT, public_of(new_key()))
    with pytest.raises(BadSignature, match="no other"):
        unseal("other", STATEMENT, PUBLIC)


@given(st.integers(0, len(STATEMENT) - 1), st.characters(codec="ascii"))
def test_no_character_can_be_changed(place: int, char: str) -> None:
    changed = STATEMENT[:place] + char + STATEMENT[place + 1 :]
    try:
        assert unseal("test+jwt", changed, PUBLIC) == {"a": 1}
        assert changed.strip() == STATEMENT or char in "=" or place == len(STATEMENT) - 1
    except BadSignature:
        pass


@given(st.text(max_size=200))
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(BadSignature):
        unseal("test+jwt", text, PUBLIC)


def test_keys_are_made_again_from_a_secret() -> None:
    assert derived_key("s", "a") == derived_key("s", "a")
    assert len({derived_key("s", "a"), derived_key("s", "b"), derived_key("t", "a")}) == 3
