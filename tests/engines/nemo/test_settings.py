"""What an operator may set."""

from __future__ import annotations

from typing import Any

import pytest

from engines import registry
from engines.nemo.settings import NemoSettings
from engines.registry import ASR, EngineMissing


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chunk_ms", 79), ("chunk_ms", 1121), ("threads", -1), ("max_streams", 5000), ("max_batch", 0),
        ("max_late", 0.0), ("max_behind", 500.0), ("hot_word_boost", 21.0), ("languages", ()),
        ("device", "gpu"), ("device", "cuda:x"),
    ],
)  # fmt: skip
def test_a_bad_value_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        NemoSettings(**{field: value})


def test_batches_are_powers_of_two_and_the_largest() -> None:
    assert NemoSettings(max_batch=1).buckets == (1,)
    assert NemoSettings(max_batch=8).buckets == (1, 2, 4, 8)
    assert NemoSettings(max_batch=48).buckets == (1, 2, 4, 8, 16, 32, 48)


def test_without_the_extra_the_engine_says_what_to_install() -> None:
    assert registry.settings_type(ASR, "nemo") is NemoSettings
    try:
        import nemo  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(EngineMissing, match="make setup-gpu"):
            registry.asr("nemo")
