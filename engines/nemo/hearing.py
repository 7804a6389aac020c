"""One utterance's words on their way from the engine's thread to its stream's loop."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from functools import partial

from engines.base import EngineError, Transcript
from engines.nemo.utterance import Post, Utterance, Work
from engines.nemo.words import Script, Token


class Hearing:
    """Serves `Listener`: writes the words down and posts what is to be told. Made on the stream's loop."""

    def __init__(
        self,
        number: int,
        script: Script,
        *,
        interim: bool,
        loop: AbstractEventLoop,
        told: Callable[[Hearing, Transcript], None],
        broke: Callable[[Hearing, EngineError], None],
    ) -> None:
        """`told` and `broke` are called on the loop."""
        self.number = number
        self.paused = False
        """Whether an early transcript is wanted now. Belongs to the loop."""
        self._script = script
        self._interim = interim
        self._loop = loop
        self._told = told
        self._broke = broke

    def heard(self, utterance: Utterance, work: Work, tokens: Sequence[Token], post: Post) -> None:
        """See `Listener.heard`. An interim is told when there is something new in it."""
        if work is Work.PEEK:
            self._tell(
                self._script.with_more(tokens).transcript(self.number, is_final=False, early=True), post
            )
            return
        self._script.add(tokens)
        if work is Work.FINAL:
            self._tell(self._script.transcript(self.number, is_final=True), post)
        elif tokens and self._interim:
            self._tell(self._script.transcript(self.number, is_final=False), post)

    def failed(self, utterance: Utterance, error: EngineError, post: Post) -> None:
        """See `Listener.failed`."""
        post.add(self._loop, partial(self._broke, self, error))

    def _tell(self, transcript: Transcript, post: Post) -> None:
        post.add(self._loop, partial(self._told, self, transcript))
