"""G.711 tables, held against the standard library's own."""

from __future__ import annotations

import warnings

import numpy as np

from media.g711 import ALAW, ULAW, to_alaw, to_ulaw

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

CODES = bytes(range(256))


def test_every_code_means_what_the_standard_says() -> None:
    assert ULAW.tobytes() == audioop.ulaw2lin(CODES, 2)
    assert ALAW.tobytes() == audioop.alaw2lin(CODES, 2)


def test_what_came_out_of_a_code_goes_back_into_it() -> None:
    assert bytes(ULAW[np.frombuffer(to_ulaw(ULAW), np.uint8)]) == bytes(ULAW)
    assert to_alaw(ALAW) == CODES
    assert to_ulaw(np.zeros(1, np.int16)) == b"\xff"


def test_every_sample_gets_the_nearest_value() -> None:
    every = np.arange(-32768, 32768).astype(np.int16)
    for table, encode in ((ULAW, to_ulaw), (ALAW, to_alaw)):
        got = table[np.frombuffer(encode(every), np.uint8)].astype(np.int32)
        best = np.abs(table.astype(np.int32)[None, :] - every[::97, None]).min(axis=1)
        assert (np.abs(got[::97] - every[::97]) == best).all()
