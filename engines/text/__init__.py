"""From an agent's text to what a voice can say: sentences as they stream in, and words as read on a phone."""

from __future__ import annotations

from engines.text.sentences import SentenceSplitter
from engines.text.spoken import SpokenWord, speakable, spoken

__all__ = ["SentenceSplitter", "SpokenWord", "speakable", "spoken"]
