"""`offhook` with two more engines to choose from, `scripted` in both lists; nothing else is changed.

python -m benchmarks.scripted_node up --config offhook.yaml
"""

from __future__ import annotations

from engines import registry
from gateway import cli

_MODULE = "benchmarks.scripted_engines"


def main() -> None:
    """Run the command line."""
    registry.ASR["scripted"] = registry.Entry(_MODULE, "ScriptedAsr", "ScriptedAsrSettings", "nothing")
    registry.TTS["scripted"] = registry.Entry(_MODULE, "ScriptedTts", "ScriptedTtsSettings", "nothing")
    cli.main()


if __name__ == "__main__":
    main()
