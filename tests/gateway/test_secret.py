"""A secret is never seen unless it is asked for."""

from __future__ import annotations

import pickle

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.secret import MASK, Secret


def test_no_way_of_printing_shows_the_text() -> None:
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {[secret]} %s" % secret
    assert "hunter2" not in shown
    assert MASK in shown
    assert secret.reveal() == "hunter2"


def test_empty_is_false_and_looks_empty() -> None:
    assert not Secret()
    assert Secret("x")
    assert repr(Secret()) == "Secret()"


def test_equality_and_hash_go_by_the_text() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_configuration_reads_it_from_text_only() -> None:
    adapter = TypeAdapter(Secret)
    assert adapter.validate_python("key") == Secret("key")
    assert adapter.validate_python(Secret("key")) == Secret("key")
    with pytest.raises(ValidationError):
        adapter.validate_python(["key"])


def test_survives_a_copy_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(Secret("key"))) == Secret("key")
