"""A process under test as a context manager that never leaves it behind."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Generic, Self, TypeVar

Text = TypeVar("Text", str, bytes)
"""What its streams carry."""


class Child(ABC, Generic[Text]):
    """Starts in `with`, is waited for until it is ready, and has ended when the block is left."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[Text] | None = None

    @abstractmethod
    def _start(self) -> subprocess.Popen[Text]:
        """The process, just begun."""

    @abstractmethod
    def _await_ready(self) -> None:
        """Return once it serves; raise when it does not come up."""

    @abstractmethod
    def _stop(self, process: subprocess.Popen[Text]) -> None:
        """Ask it to end and wait for that. Raises `subprocess.TimeoutExpired` when it does not."""

    def _tidy(self) -> None:
        """Whatever is left to do once it is over."""

    def __enter__(self) -> Self:
        self._process = self._start()
        try:
            self._await_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def running(self) -> subprocess.Popen[Text]:
        """The process; only within the `with` block."""
        assert self._process is not None, "not started, or over"
        return self._process

    @property
    def pid(self) -> int:
        return self.running.pid

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            try:
                self._stop(process)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        self._tidy()
