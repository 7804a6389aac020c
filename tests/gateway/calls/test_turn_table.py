from __future__ import annotations

from pathlib import Path
from typing import get_args

from gateway.calls.turn_events import Phase, Timer, TurnEvent
from gateway.calls.turn_table import TABLE, diagram

README = Path(__file__).parents[3] / "gateway" / "calls" / "README.md"


def test_the_diagram_in_the_readme_is_the_table() -> None:
    drawn = README.read_text(encoding="utf-8").split("```mermaid\n")[1].split("```")[0]
    assert drawn == diagram(), "run `python -m gateway.calls.turn_table` and paste what it prints"


def test_every_phase_has_rows_and_every_trigger_has_a_place() -> None:
    assert set(TABLE) == set(Phase)
    listed = {trigger for rows in TABLE.values() for trigger in rows}
    assert listed == set(get_args(TurnEvent)) | set(Timer)


def test_every_phase_can_be_reached_and_left() -> None:
    reached = {to for rows in TABLE.values() for step in rows.values() for to in step.to}
    assert reached == set(Phase)
    for phase, rows in TABLE.items():
        leaves = any(to is not phase for step in rows.values() for to in step.to)
        assert leaves == (phase is not Phase.ENDED)
