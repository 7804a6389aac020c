"""A turn's stamps with round figures."""

from __future__ import annotations

from gateway.calls.timings import ListeningStamps, ReplyStamps, TurnTimings


def timed_turn(first_packet: float = 10.640) -> TurnTimings:
    """Ended 200 ms after the speech, committed 100 ms later, and so on: 640 ms in all."""
    listened = ListeningStamps(
        speech_end=10.0, ended=10.2, ended_heard=10.22, committed=10.32, last_audio=10.22, final=10.33
    )
    replied = ReplyStamps(asked=10.33, first_text=10.43, sentence=10.43, first_pcm=10.6, queued=10.6)
    return TurnTimings(1, listened, replied, first_packet)
