"""An agent's tools: told to the model as functions, looked up by what it asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from gateway.agents.tools.call_tools import CallTool, call_tools
from gateway.agents.tools.settings import HttpTool, ToolSettings
from gateway.problems import nearest

_LONGEST = 32_768
"""Characters of one set of arguments."""


class ToolMisused(Exception):
    """The model asked for a tool that there is not, or with arguments that do not fit; the text says what."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A tool the model asked for, its arguments checked."""

    tool: CallTool | HttpTool
    arguments: Mapping[str, Any]

    @property
    def safe(self) -> bool:
        """Whether it may be done for a reply that is perhaps thrown away."""
        return isinstance(self.tool, HttpTool) and self.tool.method == "GET"


class ToolBox:
    """The tools of one agent; shared by its calls."""

    def __init__(self, settings: ToolSettings) -> None:
        self.settings = settings
        tools: list[CallTool | HttpTool] = [*call_tools(settings), *settings.http]
        self._tools = {tool.name: tool for tool in tools}
        self._checks = {tool.name: _validator(tool.parameters) for tool in tools}

    def __len__(self) -> int:
        return len(self._tools)

    def definitions(self) -> list[dict[str, Any]]:
        """As `tools` of the chat-completions API (and, flat, of the Realtime API) takes them."""
        return [
            {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
            for tool in self._tools.values()
        ]

    def asked(self, name: str, arguments: str) -> Asked:
        """What the model wants. Raises `ToolMisused`."""
        tool = self._tools.get(name)
        if tool is None:
            raise ToolMisused(f'there is no tool "{name}"; {nearest(name, self._tools)}')
        if len(arguments) > _LONGEST:
            raise ToolMisused(f"more than {_LONGEST} characters of arguments")
        try:
            given = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            raise ToolMisused("the arguments are no JSON") from None
        for error in self._checks[name].iter_errors(given):
            where = "/".join(map(str, error.instance_path)) or "the arguments"
            raise ToolMisused(f"{where}: {error.message}"[:500])
        return Asked(tool, given)


def _validator(schema: Mapping[str, Any]) -> Any:
    return jsonschema_rs.validator_for(json.dumps(dict(schema)))
