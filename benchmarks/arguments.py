"""Command-line arguments that several benchmarks share."""

from __future__ import annotations

import argparse
from pathlib import Path

SPEECH = Path("tests/data/speech")


def parser(module: str, description: str) -> argparse.ArgumentParser:
    """A parser with the arguments that every benchmark with speech has."""
    arguments = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{module}",
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    arguments.add_argument("--speech", type=Path, default=SPEECH, help="folder with prompts.tsv and its WAVs")
    return arguments


def numbers(text: str) -> list[int]:
    """`25,50,100` as a list."""
    return [int(part) for part in text.split(",")]
