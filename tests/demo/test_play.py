"""Whatever keeps the demo from running is told with its cure, and the exit code is honest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from callers.sipp import CallCounts
from callers.speech import write_wav

pytest.importorskip("pjsua2", reason="the native wheel is built by make setup")

from demo.play import PROMPTS, judge, run, track, why
from gateway.calls.record import CallRecord, TurnRecord
from media.legs.base import Direction, Parties
from tests.fakes.timings import timed_turn


def failed(capsys: pytest.CaptureFixture[str], prompts: Path | None, out: Path) -> str:
    assert asyncio.run(run(prompts, out)) == 1
    return " ".join(capsys.readouterr().out.split())


def test_without_sipp(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "sipp is not installed; cure: apt-get install sip-tester" in failed(capsys, None, tmp_path)


def test_without_prompts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    for folder in (tmp_path / "none", tmp_path / "gone"):
        told = failed(capsys, folder, tmp_path)
        assert "the demo failed:" in told and "holds no WAV files; give a folder with some" in told


def test_with_a_prompt_that_is_no_telephone_sound(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "noise.wav").write_bytes(b"RIFF, or not")
    told = failed(capsys, tmp_path, tmp_path / "out").replace(" ", "")
    assert "noise.wavcannotbeplayed:" in told and "convertittomono,16bit,8kHz" in told
    (tmp_path / "noise.wav").write_bytes(b"")
    assert "itendsearly" in failed(capsys, tmp_path, tmp_path / "out").replace(" ", "")


def test_with_nowhere_to_write(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "choose a folder with --out" in failed(capsys, None, tmp_path / "file")


def test_the_track_leaves_room_for_each_answer() -> None:
    made = track(PROMPTS)
    assert len(made.spoken) >= 3
    for before, after in zip(made.spoken, made.spoken[1:], strict=False):
        assert after.start - before.end > len(before.prompt.pcm) + 2 * 8000


def test_any_folder_of_recordings_will_do(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.full(8000, 1000, np.int16))
    assert [spoken.prompt.name for spoken in track(tmp_path).spoken] == ["a"]


def test_a_refusal_is_told_by_its_status_line() -> None:
    told = why(
        CallCounts(begun=1, failed=1, errors=("received 'SIP/2.0 500 Server Internal Error\r\nVia: x",))
    )
    assert told.startswith(
        "Offhook refused SIPp's call with 'SIP/2.0 500 Server Internal Error'; `offhook doctor`"
    )
    assert why(CallCounts(errors=("no route to host",))).startswith(
        "SIPp's call did not go through: no route"
    )


@pytest.mark.parametrize(("answered", "code"), [(2, 0), (1, 1), (0, 1)])
def test_the_exit_code_says_whether_every_prompt_was_answered(answered: int, code: int) -> None:
    record = CallRecord("c1", Direction.INBOUND, Parties("1", "2"), "echo", "now")
    record.turns = [
        TurnRecord(number + 1, said="x", timings=timed_turn() if number < answered else None)
        for number in range(2)
    ]
    assert judge(record, 2)[0] == code
