"""One more call? By what is measured, with memory, and never on an idle node."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.control.admission import Admission, AdmissionSettings


class Node:
    """Measures every 50 ms what it is told to."""

    def __init__(self, **settings: float) -> None:
        self.now = 0.0
        self.load = 0.0
        self.admission = Admission(AdmissionSettings(**settings), lambda: self.now, lambda: self.load)  # type: ignore[arg-type]

    def lags(self, seconds: float, lag: float, every: int = 1) -> None:
        for tick in range(round(seconds / 0.05)):
            self.now += 0.05
            self.admission.lag(lag if tick % every == 0 else 0.001)


def test_a_calm_node_takes_calls() -> None:
    node = Node()
    node.lags(30, 0.002)
    assert [node.admission.judge(running) for running in (0, 1, 50, 299)] == [""] * 4


def test_an_idle_node_never_refuses() -> None:
    node = Node()
    node.lags(30, 5.0)
    node.load = 9.0
    for _ in range(100):
        node.admission.turn(30.0)
    assert node.admission.judge(0) == "" and node.admission.judge(1) == ""
    assert node.admission.judge(2) == "loop_lag"


def test_one_long_stall_is_no_load() -> None:
    node = Node()
    node.lags(20, 0.001)
    node.admission.lag(3.0)
    node.lags(1, 0.001)
    assert node.admission.judge(100) == ""


def test_too_few_measurements_say_nothing() -> None:
    node = Node()
    node.lags(1, 5.0)
    assert node.admission.judge(100) == ""


def test_the_next_call_is_counted_in() -> None:
    node = Node(loop_lag_p99=0.1)
    node.lags(20, 0.08)
    assert node.admission.judge(100) == "" and node.admission.judge(3) == "loop_lag"


def test_refusing_goes_on_until_it_is_well_below() -> None:
    node = Node(loop_lag_p99=0.1, window_seconds=5)
    node.lags(6, 0.12)
    assert node.admission.judge(100) == "loop_lag"
    node.lags(6, 0.09)
    assert node.admission.judge(100) == "loop_lag", "below the limit, but not well below"
    node.lags(6, 0.05)
    assert node.admission.judge(100) == ""
    node.lags(6, 0.09)
    assert node.admission.judge(100) == "", "once open, the limit itself counts"
    assert node.admission.refused == {"loop_lag": 2}


def test_engines_and_turns_count_too() -> None:
    node = Node(turn_p99=1.0)
    node.load = 1.05
    assert node.admission.judge(100) == "engine_load"
    node.load = 0.5
    for _ in range(30):
        node.admission.turn(1.5)
    assert node.admission.judge(100) == "turn_time"
    node.now += 120
    assert node.admission.judge(100) == "", "old turns are forgotten"


def test_it_can_be_switched_off() -> None:
    node = Node(enabled=False)
    node.lags(20, 5.0)
    assert node.admission.judge(300) == ""


@given(st.lists(st.floats(0, 1), max_size=400), st.integers(0, 300))
def test_a_node_whose_figures_are_all_well_below_takes_calls(lags: list[float], running: int) -> None:
    node = Node(loop_lag_p99=4.0)
    for lag in lags:
        node.now += 0.05
        node.admission.lag(lag)
    assert node.admission.judge(running) == ""
