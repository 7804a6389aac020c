"""Several engines as one: the best that works serves, and another takes over within the call."""

from __future__ import annotations

from engines.router.asr import RoutedAsr
from engines.router.bench import Bench, Member
from engines.router.settings import RouterSettings
from engines.router.tts import RoutedTts

__all__ = ["Bench", "Member", "RoutedAsr", "RoutedTts", "RouterSettings"]
