"""The configuration tells itself: complete, documented, readable back, its secrets covered."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from gateway.config import Config, dump, example, load
from gateway.config.dump import WIDTH
from gateway.config.engine_sections import TABLES, settings_of
from gateway.config.load import effective_shape
from gateway.config.shape import Entries, Field, Items, OneOf, Record, Shape
from gateway.secret import MASK

EXAMPLE = Path(__file__).resolve().parents[3] / "offhook.example.yaml"


def fields(shape: Shape, above: str = "") -> Iterator[tuple[str, Field]]:
    if isinstance(shape, Record):
        for name, field in shape.fields.items():
            yield f"{above}{name}", field
            yield from fields(field.shape, f"{above}{name}.")
    elif isinstance(shape, OneOf):
        for kind, inner in shape.kinds.items():
            yield from fields(inner, f"{above}{kind}.")
    elif isinstance(shape, Entries):
        yield from fields(shape.value, f"{above}*.")
    elif isinstance(shape, Items):
        yield from fields(shape.item, f"{above}*.")


def test_every_field_is_documented() -> None:
    undocumented = [path for path, field in fields(effective_shape(Config())) if not field.doc]
    # The phrases are what they say.
    assert [path for path in undocumented if not path.startswith("session.phrases.")] == []


def test_every_field_stands_in_the_example() -> None:
    text = example()
    missing = [path for path, field in fields(effective_shape(Config())) if f"{field.name}:" not in text]
    assert missing == []


def test_the_example_in_the_repository_is_the_current_one() -> None:
    # Stale? `offhook config example > offhook.example.yaml`
    assert EXAMPLE.read_text(encoding="utf-8") == example()


def test_the_example_is_the_defaults() -> None:
    config = load(EXAMPLE, {})
    assert config.node.record_dir == EXAMPLE.parent / "recordings"
    for section in TABLES:
        chosen = getattr(config, section)
        assert chosen.settings == settings_of(section, chosen.engine)()
    plain = Config()
    node = dataclasses.replace(config.node, record_dir=plain.node.record_dir)
    assert config.api.keys_file == EXAMPLE.parent / "keys.json"
    api = dataclasses.replace(config.api, keys_file=plain.api.keys_file)
    assert config.control.sounds == EXAMPLE.parent / "sounds"
    found = dataclasses.replace(config, control=plain.control)
    assert dataclasses.replace(found, node=node, asr=plain.asr, tts=plain.tts, api=api) == plain


def test_the_examples_of_other_kinds_work_when_uncommented(tmp_path: Path) -> None:
    head, _, tail = example().partition("  # my-chat:\n")
    block, _, rest = tail.partition("\n\n")
    path = tmp_path / "all.yaml"
    path.write_text(f"{head}  my-chat:\n{re.sub('(?m)^  # ?', '  ', block)}\n\n{rest}", encoding="utf-8")
    assert set(load(path, {}).agents) == {
        "echo", "my-chat", "my-conversation_relay", "my-media_stream", "my-realtime",
    }  # fmt: skip


def test_a_dump_reads_back_as_the_same_settings(tmp_path: Path) -> None:
    text = """
    node: {name: edge-1, drain_seconds: 5, record_dir: /var/calls}
    sip: {udp_port: 5080, codecs: [PCMA], trunks: [{name: a, sources: [192.0.2.0/24]}, {name: b}]}
    tts: {settings: {threads: 1}}
    agents:
      "007": {kind: echo, greeting: "yes: ${N:-no} # $${x} \\"q\\"\\nline"}
      chat: {kind: chat, system_prompt: "a\\nb"}
    """
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    first = load(path, {})
    path.write_text(dump(first), encoding="utf-8")
    config = load(path, {})
    assert config.tts.settings.threads == 1
    assert config.agents == first.agents
    # Written out whole, then unchanged for ever.
    path.write_text(dump(config), encoding="utf-8")
    assert load(path, {}) == config


def test_a_dump_covers_secrets(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "agents:\n  c: {kind: chat, api_key: hunter2}\nsip:\n  trunks: [{name: t, password: hunter3}]\n"
    )
    shown = dump(load(path, {}))
    assert "hunter" not in shown
    assert shown.count(MASK) == 2


def test_documentation_is_wrapped_to_the_width() -> None:
    comments = [line for line in dump(Config()).splitlines() if line.lstrip().startswith("# ")]
    assert comments
    assert max(map(len, comments)) <= WIDTH
