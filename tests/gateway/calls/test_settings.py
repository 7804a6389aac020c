from __future__ import annotations

import pytest

from gateway.calls.settings import DeadlineSettings, PhraseSettings, RecognitionSettings, SessionSettings
from gateway.calls.turn_events import Phrase


def test_every_phrase_has_words() -> None:
    phrases = PhraseSettings()
    assert all(phrases.text(phrase) for phrase in Phrase)
    assert PhraseSettings(filler="").text(Phrase.FILLER) == ""


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        (DeadlineSettings, {"tts_first": 0.0}),
        (RecognitionSettings, {"attempts": 0}),
        (RecognitionSettings, {"backoff": 0.0}),
        (RecognitionSettings, {"replay": 0.0}),
        (SessionSettings, {"speed": 3.0}),
    ],
)
def test_settings_out_of_range_name_the_field(settings: type, change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        settings(**change)
