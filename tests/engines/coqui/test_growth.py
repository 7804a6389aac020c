from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engines.coqui.growth import ChunkSizes, Pace

TOKEN = 1024 / 22050
GPU = Pace(TOKEN, 0.005, 0.006, 0.0004, 0.1, 0.04)
SIZES = ChunkSizes(4, 40)


def test_a_quick_device_begins_small_and_grows_by_doubling() -> None:
    opening = SIZES.opening(GPU, 0.0)
    assert opening <= 5
    chunks, ahead = [opening], opening * TOKEN - GPU.held
    for _ in range(6):
        chunks.append(SIZES.following(GPU, ahead, chunks[-1]))
        ahead += chunks[-1] * (TOKEN - GPU.step - GPU.each) - GPU.voicing
    assert chunks == sorted(chunks) and chunks[-1] == 40
    assert all(later <= 2 * earlier for earlier, later in zip(chunks, chunks[1:], strict=False))


def test_a_slow_device_waits_until_there_is_enough() -> None:
    slow = Pace(TOKEN, 0.02, 0.1, 0.01, 0.1, 0.04)
    assert SIZES.opening(slow, 0.0) > SIZES.opening(GPU, 0.0)
    assert SIZES.opening(Pace(TOKEN, 0.06, 0.1, 0.01, 0.1, 0.04), 0.0) == 40


paces = st.builds(
    Pace, st.just(TOKEN), st.floats(0.0005, 0.04), st.floats(0, 0.2), st.floats(0, 0.02), st.just(0.1),
    st.just(0.04),
)  # fmt: skip


@given(paces)
def test_on_a_steady_device_no_chunk_is_late_if_one_can_be_in_time(pace: Pace) -> None:
    """One listener, exact costs: from the opening on, every chunk comes before the last one is heard."""
    chunk = SIZES.opening(pace, 0.0)
    if chunk == SIZES.longest:
        return
    ahead = chunk * pace.token - pace.held
    for _ in range(30):
        chunk = SIZES.following(pace, ahead, chunk)
        ahead -= chunk * pace.step + pace.voicing + chunk * pace.each
        assert ahead >= -1e-9
        ahead += chunk * pace.token


@given(paces, st.floats(-1, 10), st.integers(1, 40))
def test_sizes_stay_in_their_bounds(pace: Pace, ahead: float, previous: int) -> None:
    assert 4 <= SIZES.opening(pace, ahead) <= 40
    assert 4 <= SIZES.following(pace, ahead, previous) <= 40
