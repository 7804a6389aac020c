"""The actions that ask a caller: again when he does not answer, and on to the branch that he chose."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.actions import taping
from gateway.actions.gather import gather
from gateway.actions.line import Line
from gateway.actions.taping import Recording, Tape
from gateway.actions.voicemail import FOLDER, deliver, discard, place
from gateway.actions.webhook import PlanHooks
from gateway.calls.call_events import Recorded
from gateway.dialplan import variables
from gateway.dialplan.actions_ask import Gather, Menu, Record, Voicemail
from gateway.dialplan.answers import Heard, digits, hints, longest_key
from gateway.dialplan.steps import Step, Steps
from media.clock import now

GREETING = "Please leave a message after the tone."
"""Of a mailbox that has none."""


async def ask(
    line: Line, step: Step, question: Gather, complete: Callable[[str], bool] = lambda keys: False
) -> Steps | None:
    """Ask as often as the question allows; returns the branch to take.

    Raises `CallerGone`, `EngineError`, `OSError`.
    """
    likely = tuple(dict.fromkeys((*question.hints, *hints(branch.when for branch in step.on))))
    before, otherwise = "", step.no_input
    for _ in range(question.retries + 1):
        heard = await gather(line, question, _prompt(line, question, before), likely, complete)
        if heard is None:
            before, otherwise = question.say_no_input, step.no_input
            continue
        value = _value(question, heard)
        branch = next((branch for branch in step.on if branch.when.fits(heard)), None)
        if value is not None and (branch is not None or not step.on):
            _remember(line, question.into, value)
            return branch.steps if branch is not None else None
        before, otherwise = question.say_invalid, step.invalid
    return otherwise or None


async def choose(line: Line, step: Step, menu: Menu) -> Steps | None:
    """Offer choices. Keys that can become no other choice are one at once."""
    offered = [branch.when for branch in step.on]
    keys = frozenset(key for one in offered for key in one.keys)
    open_ended = any(one.regex is not None or one.anything for one in offered)

    def complete(keyed: str) -> bool:
        longer = any(key != keyed and key.startswith(keyed) for key in keys)
        return not longer and not open_ended

    return await ask(line, step, menu.gather(longest_key(offered)), complete)


async def record(line: Line, step: Step, action: Record) -> Steps | None:
    """Keep what the caller says; `recording` and `transcript` tell of it. Raises `CallerGone`, `OSError`."""
    tape = Tape(
        place(line, action.folder), action.max_seconds, action.silence, action.finish_key, action.beep,
        action.transcript,
    )  # fmt: skip
    recording = await taping.record(line, tape)
    _tell(line, recording)
    line.announcer.check()
    return step.no_input or None if not recording.spoke else None


async def voicemail(line: Line, step: Step, action: Voicemail, hooks: PlanHooks | None) -> Steps | None:
    """Greet, take a message, deliver it, also when the caller hung up. Raises `CallerGone`, `OSError`, ..."""
    await _greet(line, action)
    path = place(line, f"{FOLDER}/{action.mailbox}")
    tape = Tape(path, action.max_seconds, action.silence, action.finish_key, words=action.transcript)
    recording = await taping.record(line, tape)
    if not recording.spoke:
        await discard(recording)
        line.announcer.check()
        return step.no_input or None
    message = await deliver(line, action.mailbox, recording)
    _tell(line, recording)
    if action.webhook and hooks is not None:
        hooks.tell(variables.fill(action.webhook, line.values, variables.in_url), message)
    line.announcer.check()
    return None


async def _greet(line: Line, action: Voicemail) -> None:
    if action.say or not action.play:
        if not await line.announcer.say(line.spoken(action.say or GREETING)):
            return
    if action.play:
        await line.announcer.play(action.play)


def _prompt(line: Line, question: Gather, before: str) -> Callable[[], Awaitable[None]]:
    async def speak() -> None:
        for text in (before, question.say):
            if text and not await line.announcer.say(line.spoken(text)):
                return
        if question.play:
            await line.announcer.play(question.play)

    return speak


def _value(question: Gather, heard: Heard) -> str | None:
    """The answer as the variable gets it; None when it is not of the kind that was asked for."""
    value = heard.text
    if heard.keyed:
        if len(value) < question.digits.min:
            return None
    elif question.hears_keys and (spoken := digits(value)):
        value = spoken
    return value if question.fits(value) else None


def _remember(line: Line, name: str, value: str) -> None:
    line.set(name, value)
    line.set("gathered", value)
    line.set("digits", value if digits(value) == value else "")


def _tell(line: Line, recording: Recording) -> None:
    line.set("recording", str(recording.path))
    line.set("transcript", recording.text)
    line.call.happened(Recorded(now(), recording.path.name, recording.seconds))
