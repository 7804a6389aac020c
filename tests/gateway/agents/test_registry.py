"""Agents by name."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from gateway.agents.chat_settings import ChatSettings
from gateway.agents.echo import EchoSettings
from gateway.agents.registry import AgentRegistry
from gateway.errors import AgentUnknown


def test_each_call_gets_an_agent_of_its_own() -> None:
    registry = AgentRegistry({"echo": EchoSettings(), "desk": ChatSettings()})
    assert registry.names == {"echo", "desk"}
    first, second = registry.create("desk"), registry.create("desk")
    assert first is not second
    assert (first.name, registry.create("echo").name) == ("desk", "echo")
    asyncio.run(registry.aclose())


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(AgentUnknown, match='no agent is called "ecko"; did you mean "echo"?'):
        AgentRegistry({"echo": EchoSettings()}).create("ecko")


def test_the_chat_client_is_loaded_only_when_configured() -> None:
    script = (
        "import sys\nfrom gateway.config import load\nfrom gateway.agents.registry import AgentRegistry\n"
        "AgentRegistry(load(None, {}).agents).create('echo')\nassert 'openai' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
