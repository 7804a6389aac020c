"""The connection to an app: kept, lost, dialled again, given up; always bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.agents.conversation_relay.link import MOST_WAITING, Link
from gateway.agents.conversation_relay.settings import RelayLimits
from tests.fakes.relay_app import ScriptedApp
from tests.virtual_time import run_virtual


class Session:
    """Remembers what the link told."""

    def __init__(self) -> None:
        self.log: list[tuple[float, str]] = []
        self.useless = False

    def opened(self, *, again: bool) -> list[str]:
        self._note(f"opened{' again' if again else ''}")
        return ['{"type": "setup"}']

    def took(self, frame: str | bytes) -> bool:
        self._note(f"took {frame!r}")
        return not self.useless

    def away(self, detail: str) -> None:
        self._note(f"away: {detail}")

    def gone(self, detail: str) -> None:
        self._note(f"gone: {detail}")

    def _note(self, what: str) -> None:
        self.log.append((round(asyncio.get_running_loop().time(), 2), what))

    @property
    def words(self) -> list[str]:
        return [what for _, what in self.log]


Scene = Callable[[Link, ScriptedApp], Coroutine[Any, Any, None]]


def play(scene: Scene, app: ScriptedApp | None = None, **limits: Any) -> tuple[Session, ScriptedApp]:
    session, app = Session(), app or ScriptedApp()

    async def whole() -> None:
        link = Link(app.connect, RelayLimits(**limits), session)
        running = asyncio.create_task(link.run())
        await scene(link, app)
        await link.aclose(running)
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    run_virtual(whole())
    return session, app


async def later(link: Link, app: ScriptedApp) -> None:
    await asyncio.sleep(1.0)


def types(app: ScriptedApp) -> list[list[str]]:
    return [[message["type"] for message in wire.heard] for wire in app.wires]


def test_what_is_said_before_the_connection_stands_comes_after_the_setup() -> None:
    async def scene(link: Link, app: ScriptedApp) -> None:
        link.send('{"type": "dtmf"}')
        link.send('{"type": "info"}', keep=False)
        await asyncio.sleep(1.0)

    _, app = play(scene)
    assert types(app) == [["setup", "dtmf"]]
    assert app.wires[0].closed


def test_a_lost_socket_is_dialled_again_and_what_waited_is_told() -> None:
    async def scene(link: Link, app: ScriptedApp) -> None:
        await asyncio.sleep(1.0)
        app.wires[0].die(1011)
        await asyncio.sleep(0.001)
        link.send('{"type": "prompt"}')
        await asyncio.sleep(1.0)
        link.send('{"type": "dtmf"}')
        await asyncio.sleep(1.0)

    session, app = play(scene)
    assert types(app) == [["setup"], ["setup", "prompt", "dtmf"]]
    assert session.log == [(0.02, "opened"), (1.0, "away: closed with 1011 "), (1.12, "opened again")]


def test_tries_grow_rarer_and_end() -> None:
    async def scene(link: Link, app: ScriptedApp) -> None:
        await asyncio.sleep(20.0)

    session, app = play(scene, ScriptedApp(refuses=1000), first_seconds=4.0)
    gaps = [round(b - a - 0.02, 2) for a, b in zip(app.tries, app.tries[1:], strict=False)]
    assert gaps == [0.1, 0.2, 0.4, *6 * [0.5]]
    assert session.words[-1] == "gone: refused"
    assert session.log[-1][0] <= 4.0


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (503, 10), (0, 10)])
def test_a_handshake_that_no_try_would_change_is_not_tried_again(status: int, tries: int) -> None:
    async def scene(link: Link, app: ScriptedApp) -> None:
        await asyncio.sleep(20.0)

    session, app = play(scene, ScriptedApp(refuses=1000, status=status), first_seconds=4.0)
    assert len(app.tries) == tries
    assert session.words[-1] == "gone: refused"


def test_an_app_that_was_there_may_answer_404_while_it_restarts() -> None:
    async def scene(link: Link, app: ScriptedApp) -> None:
        await asyncio.sleep(1.0)
        app.refuses = 2
        app.wires[0].die()
        await asyncio.sleep(2.0)

    session, app = play(scene, ScriptedApp(status=404))
    assert session.words[-1] == "opened again"


def test_an_app_that_takes_nothing_counts_as_lost() -> None:
    async def scene(link: Link, app: ScriptedApp) -> None:
        await asyncio.sleep(1.0)
        app.wires[0].deaf = True
        link.send('{"type": "prompt"}')
        await asyncio.sleep(6.0)

    session, app = play(scene, send_seconds=5.0)
    assert session.log[1] == (6.0, "away: it took no message for 5 s")
    assert types(app)[1] == ["setup", "prompt"]


@pytest.mark.parametrize(("reconnects", "connections"), [(3, 4), (100, 9)])
def test_an_app_that_closes_again_and_again_is_given_up(reconnects: int, connections: int) -> None:
    def hangs_up(wire: Any, message: Any) -> None:
        wire.die(1000)

    async def scene(link: Link, app: ScriptedApp) -> None:
        await asyncio.sleep(30.0)

    session, app = play(scene, ScriptedApp(hangs_up), reconnects=reconnects, reconnect_seconds=10.0)
    assert len(app.wires) == connections
    assert session.words[-1].startswith("gone: closed with 1000")
    gaps = [round(b - a, 3) for a, b in zip(app.tries[1:], app.tries[2:], strict=False)]
    assert gaps == sorted(gaps) and gaps[0] >= 0.1


def test_an_app_that_was_of_use_is_dialled_again_at_once() -> None:
    async def scene(link: Link, app: ScriptedApp) -> None:
        for _ in range(3):
            await asyncio.sleep(1.0)
            app.wires[-1].say("{}")
            await asyncio.sleep(0.1)
            app.wires[-1].die()

    session, _ = play(scene)
    opened = [at for at, what in session.log if "again" in what]
    assert opened == [pytest.approx(at, abs=0.03) for at in (1.12, 2.22)]


def test_garbage_without_end_closes_the_socket() -> None:
    async def scene(link: Link, app: ScriptedApp) -> None:
        await asyncio.sleep(0.1)
        app.wires[0].say(*["garbage"] * 10)
        await asyncio.sleep(1.0)

    session = Session()
    session.useless = True

    async def whole() -> None:
        app = ScriptedApp()
        link = Link(app.connect, RelayLimits(bad_messages=3), session)
        running = asyncio.create_task(link.run())
        await scene(link, app)
        assert app.wires[0].closed
        assert len(app.wires) == 2
        await link.aclose(running)

    run_virtual(whole())
    assert sum("took" in what for what in session.words) == 3


def test_a_flood_is_taken_at_a_bounded_pace() -> None:
    async def scene(link: Link, app: ScriptedApp) -> None:
        await asyncio.sleep(0.1)
        app.wires[0].say(*["x"] * 5000)
        await asyncio.sleep(1.0)

    session, _ = play(scene)
    taken = sum("took" in what for what in session.words)
    assert 1800 <= taken <= 2400


@pytest.mark.parametrize("refuses", [0, 1000])
def test_the_outbox_is_bounded_and_the_end_does_not_wait(refuses: int) -> None:
    async def scene(link: Link, app: ScriptedApp) -> None:
        for _ in range(MOST_WAITING + 50):
            link.send('{"type": "dtmf"}')
        assert link.dropped == 50
        await asyncio.sleep(0.5)
        began = asyncio.get_running_loop().time()
        link.finish()
        await asyncio.sleep(0.1)
        assert asyncio.get_running_loop().time() - began < 0.2

    _, app = play(scene, ScriptedApp(refuses=refuses))
    assert len(app.of("dtmf")) == (0 if refuses else MOST_WAITING)


def test_a_session_that_is_over_is_not_dialled_again() -> None:
    async def scene(link: Link, app: ScriptedApp) -> None:
        await asyncio.sleep(0.5)
        link.finish()
        app.wires[0].die()
        await asyncio.sleep(5.0)

    session, app = play(scene)
    assert len(app.wires) == 1
    assert session.words == ["opened"]
