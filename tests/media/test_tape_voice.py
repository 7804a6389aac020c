from __future__ import annotations

import numpy as np

from media.frame import Pcm
from media.tape_voice import TapeVoice, lay_onto


def ones(count: int, value: int = 1) -> Pcm:
    return np.full(count, value, np.int16)


def laid(voice: TapeVoice, length: int, origin: int = 0) -> list[int]:
    channel = np.zeros(length, np.int16)
    voice.take(channel, origin)
    return [int(sample) for sample in channel]


def test_only_what_falls_into_the_channel_is_laid() -> None:
    channel = np.zeros(4, np.int16)
    lay_onto(channel, 10, 8, np.array([1, 2, 3, 4, 5, 6, 7, 8], np.int16))
    assert channel.tolist() == [3, 4, 5, 6]
    lay_onto(channel, 10, 20, ones(4, 9))
    assert channel.tolist() == [3, 4, 5, 6]


def test_a_reply_lies_where_it_started_though_written_earlier() -> None:
    voice = TapeVoice(100)
    voice.write(ones(2), 1, now=0)
    voice.write(ones(2, 2), 1, now=0)
    assert laid(voice, 3) == [0, 0, 0]
    voice.started(1, 5)
    assert laid(voice, 7, origin=3) == [0, 0, 1, 1, 2, 2, 0]


def test_what_is_cut_by_a_block_continues_in_the_next() -> None:
    voice = TapeVoice(100)
    voice.write(np.array([1, 2, 3, 4], np.int16), 1, now=0)
    voice.started(1, 1)
    assert laid(voice, 3) == [0, 1, 2]
    assert laid(voice, 3, origin=3) == [3, 4, 0]


def test_a_late_piece_lies_where_it_could_be_heard() -> None:
    voice = TapeVoice(100)
    voice.write(ones(2), 1, now=0)
    voice.started(1, 0)
    voice.write(ones(2, 3), 1, now=5)
    assert laid(voice, 8) == [1, 1, 0, 0, 0, 3, 3, 0]


def test_a_cut_keeps_what_was_heard_and_drops_replies_that_waited() -> None:
    voice = TapeVoice(100)
    voice.write(ones(4), 1, now=0)
    voice.started(1, 2)
    voice.write(ones(4, 2), 2, now=0)
    voice.cut(3)
    voice.started(2, 6)
    assert laid(voice, 12) == [0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]


def test_a_cut_counts_what_is_on_the_disk_already() -> None:
    voice = TapeVoice(100)
    voice.write(ones(6), 1, now=0)
    voice.started(1, 0)
    laid(voice, 2)
    voice.cut(4)
    assert laid(voice, 6, origin=2) == [1, 1, 0, 0, 0, 0]


def test_news_of_the_start_may_come_after_the_cut() -> None:
    voice = TapeVoice(100)
    voice.write(ones(6), 1, now=0)
    voice.cut(2)
    voice.started(1, 3)
    assert laid(voice, 8) == [0, 0, 0, 1, 1, 0, 0, 0]


def test_a_reply_heard_whole_is_not_cut_for_the_next_one() -> None:
    voice = TapeVoice(100)
    voice.write(ones(3), 1, now=0)
    voice.started(1, 0)
    voice.drained(1)
    voice.write(ones(3, 2), 2, now=0)
    voice.cut(0)
    assert laid(voice, 6) == [1, 1, 1, 0, 0, 0]


def test_room_is_bounded_and_given_back() -> None:
    voice = TapeVoice(5)
    voice.write(ones(4), 1, now=0)
    voice.write(ones(4), 1, now=0)
    assert voice.dropped == 4
    voice.started(1, 0)
    voice.drained(1)
    laid(voice, 4)
    voice.write(ones(5), 2, now=4)
    assert voice.dropped == 4


def test_replies_that_never_start_do_not_pile_up() -> None:
    voice = TapeVoice(10_000)
    for reply in range(100):
        voice.write(ones(100), reply, now=0)
    assert voice.dropped == 0
    voice.started(99, 0)
    assert laid(voice, 2) == [1, 1]
