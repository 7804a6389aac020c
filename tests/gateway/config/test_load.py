"""From a file and the environment to settings, or to every mistake at once."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.registry import TTS
from gateway.agents.chat_settings import ChatSettings
from gateway.agents.echo import EchoSettings
from gateway.config import Config, load, secrets_in
from gateway.config.engine_sections import settings_of
from gateway.errors import ConfigError
from gateway.secret import Secret


def write(folder: Path, text: str) -> Path:
    path = folder / "offhook.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text), environ or {})
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_no_file_at_all_gives_the_defaults() -> None:
    config = load(None, {})
    assert config == Config()
    assert config.sip.udp_port == 5060
    assert config.api.host == "127.0.0.1"
    assert config.agents == {"echo": EchoSettings()}


@pytest.mark.parametrize("text", ["", "# nothing\n", "sip:\n", "agents: {}\nsip: {}\n"])
def test_an_empty_file_or_section_changes_nothing_else(tmp_path: Path, text: str) -> None:
    assert load(write(tmp_path, text), {}).sip == Config().sip


def test_a_file_sets_what_it_names(tmp_path: Path) -> None:
    text = """
    node: {name: edge-1, record_dir: calls}
    sip:
      udp_port: 5080
      trunks:
        - {name: carrier, sources: [192.0.2.0/24], user: +4930123, password: s3cret}
    agents:
      desk: {kind: chat, model: small, base_url: "http://127.0.0.1:8000/v1"}
    """
    config = load(write(tmp_path, text), {})
    assert (config.node.name, config.sip.udp_port) == ("edge-1", 5080)
    assert config.node.record_dir == tmp_path / "calls"
    assert config.sip.trunks[0].user == "+4930123"
    desk = config.agents["desk"]
    assert isinstance(desk, ChatSettings)
    assert desk.model == "small"


def test_all_mistakes_are_told_at_once_with_line_field_and_cure(tmp_path: Path) -> None:
    text = """\
nod:
  name: x
sip:
  udp_prot: 5080
  tcp_port: many
  rtp_first_port: 20001
  trunks:
    - {name: "a b"}
    - {sources: [1.2.3.4]}
agents:
  one: {kind: chatt}
  two: {greeting: hi}
  three: {kind: echo, model: x}
  four: {kind: chat, temperature: 9}
logs: [debug]
api: {port: 70000}
"""
    assert mistakes(tmp_path, text) == [
        'offhook.yaml:1: nod: nothing is called "nod" here; did you mean "node"?',
        'offhook.yaml:4: sip.udp_prot: nothing is called "udp_prot" here; did you mean "udp_port"?',
        "offhook.yaml:5: sip.tcp_port: must be a whole number; write it in digits, like 5",
        "offhook.yaml:8: sip.trunks.0.name: 'a b' must be letters, digits, dashes and underscores",
        "offhook.yaml:9: sip.trunks.1.name: is needed; give it a value",
        "offhook.yaml:11: agents.one: \"chatt\" is no kind; choose 'echo', 'chat', 'conversation_relay', "
        "'media_stream', 'realtime'",
        "offhook.yaml:12: agents.two: does not say its kind; add a line like `kind: echo`",
        'offhook.yaml:13: agents.three.model: nothing is called "model" here; known here: greeting, kind',
        "offhook.yaml:14: agents.four.temperature: must lie between 0 and 2",
        "offhook.yaml:15: logs: must be a section; indent its fields below it",
        "offhook.yaml:16: api.port: must lie between 0 and 65535",
    ]


def test_a_sections_own_check_names_its_field(tmp_path: Path) -> None:
    told = mistakes(tmp_path, "sip:\n  host: 127.0.0.1\n  rtp_first_port: 20001\n")
    assert told == [
        "offhook.yaml:3: sip.rtp_first_port: must be even, RTP takes even ports (RFC 3550 section 11)"
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- sip\n", "offhook.yaml:1: not a list of sections; begin with a line like `sip:`"),
        (
            "sip: {udp_port: 1, udp_port: 2}\n",
            "offhook.yaml:1: sip.udp_port: written twice, first in line 1; keep one of them",
        ),
        (
            "sip: [\n",
            "offhook.yaml:2: expected the node content, but found '<stream end>'; "
            "check indentation, quotes and colons",
        ),
    ],
)
def test_files_that_are_no_configuration_are_told(tmp_path: Path, text: str, told: str) -> None:
    assert mistakes(tmp_path, text) == [told]


def test_a_missing_or_binary_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory; check the path"):
        load(tmp_path / "none.yaml", {})
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not text; save it as UTF-8"):
        load(tmp_path / "b.yaml", {})


# -- engines --------------------------------------------------------------------------------------------


def test_engine_settings_are_read_as_the_engine_defines_them(tmp_path: Path) -> None:
    text = "asr: {settings: {max_streams: 7, pool: {threads: 1}}}\ntts: {engine: hibari}\n"
    config = load(write(tmp_path, text), {"OFFHOOK_TTS__SETTINGS__LEVEL": "-18"})
    assert type(config.asr.settings) is settings_of("asr", "moonshine")
    assert (config.asr.settings.max_streams, config.asr.settings.pool.threads) == (7, 1)
    assert config.tts.settings.level == -18
    assert load(None, {}).asr.settings is None


def test_mistakes_in_engine_settings_are_told_like_all_others(tmp_path: Path) -> None:
    text = """\
asr:
  settings:
    max_steams: 7
    pool: {nice: much}
tts:
  settings: {level: 3}
"""
    told = mistakes(tmp_path, text, {"OFFHOOK_TTS__SETTINGS__NICE": "x"})
    cure = 'did you mean "max_streams"?'
    assert sorted(told) == [
        "environment: OFFHOOK_TTS__SETTINGS__NICE: must be a whole number; write it in digits, like 5",
        f'offhook.yaml:3: asr.settings.max_steams: nothing is called "max_steams" here; {cure}',
        "offhook.yaml:4: asr.settings.pool.nice: must be a whole number; write it in digits, like 5",
    ]


def test_a_check_that_spans_fields_names_the_first(tmp_path: Path) -> None:
    told = mistakes(
        tmp_path, "session:\n  turns:\n    endpointing: {done: 4}\ntts:\n  settings: {level: 3}\n"
    )
    assert told[0].startswith(
        "offhook.yaml:3: session.turns.endpointing.done: done, undecided and unfinished must"
    )
    assert told[1].startswith("offhook.yaml:5: tts.settings.level: is 3")


def test_unknown_engines_are_told_with_the_nearest(tmp_path: Path) -> None:
    told = mistakes(tmp_path, "asr: {engine: moonshin}\n", {"OFFHOOK_TTS__ENGINE": "espeak"})
    voices = ", ".join(sorted(TTS))
    assert sorted(told) == [
        f'environment: OFFHOOK_TTS__ENGINE: no engine is called "espeak"; known here: {voices}',
        'offhook.yaml:1: asr.engine: no engine is called "moonshin"; did you mean "moonshine"?',
    ]


# -- environment ----------------------------------------------------------------------------------------


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    environ = {
        "OFFHOOK_SIP__UDP_PORT": "5090",
        "OFFHOOK_SIP__CODECS": "PCMA, PCMU",
        "OFFHOOK_SIP__TLS__VERIFY_SERVER": "no",
        "OFFHOOK_NODE__NAME": "123",
        "OFFHOOK_AGENTS__FRONT_DESK__MODEL": "tiny",
        "OFFHOOK_LOGS__JSON": "true",
        "OFFHOOK_CONFIG": "elsewhere",
        "PATH": "/bin",
    }
    text = "sip: {udp_port: 5080}\nagents:\n  front-desk: {kind: chat}\n"
    config = load(write(tmp_path, text), environ)
    assert config.sip.udp_port == 5090
    assert config.sip.codecs == ("PCMA", "PCMU")
    assert config.sip.tls.verify_server is False
    assert config.node.name == "123"
    assert config.logs.json is True
    desk = config.agents["front-desk"]
    assert isinstance(desk, ChatSettings)
    assert desk.model == "tiny"


def test_the_environment_works_without_a_file() -> None:
    environ = {
        "OFFHOOK_AGENTS": "not an override",
        "OFFHOOK_AGENTS__CHAT__KIND": "chat",
        "OFFHOOK_AGENTS__CHAT__MODEL": "m",
        "OFFHOOK_SIP__TRUNKS": "[{name: t, outbound: true}]",
    }
    config = load(None, environ)
    assert set(config.agents) == {"chat"}
    assert config.sip.trunks[0].name == "t"


def test_mistakes_in_the_environment_name_the_variable(tmp_path: Path) -> None:
    environ = {
        "OFFHOOK_SPI__UDP_PORT": "1",
        "OFFHOOK_SIP__UDP_PORT": "many",
        "OFFHOOK_SIP__UDP_PORT__X": "1",
        "OFFHOOK_SIP__TRUNKS": "[{",
    }
    assert mistakes(tmp_path, "sip: {udp_port: 5}\n", environ) == [
        "environment: OFFHOOK_SIP__TRUNKS: expected the node content, but found '<stream end>'; "
        "write a YAML value in one line",
        "environment: OFFHOOK_SIP__UDP_PORT: must be a whole number; write it in digits, like 5",
        'environment: OFFHOOK_SIP__UDP_PORT__X: nothing is called "x" here; nothing is known here',
        'environment: OFFHOOK_SPI__UDP_PORT: nothing is called "spi" here; did you mean "sip"?',
    ]


def test_references_are_filled_in(tmp_path: Path) -> None:
    text = """
    node: {name: '${NAME:-n1}'}
    sip: {udp_port: '${PORT}'}
    agents: {e: {kind: echo, greeting: 'a $5 $${X} b'}}
    """
    config = load(write(tmp_path, text), {"PORT": "5070"})
    assert (config.node.name, config.sip.udp_port) == ("n1", 5070)
    assert config.agents["e"] == EchoSettings(greeting="a $5 ${X} b")


def test_broken_references_are_told(tmp_path: Path) -> None:
    told = mistakes(tmp_path, "node: {name: '${NAME}'}\napi: {host: '${oops'}\n")
    assert (
        told[0]
        == "offhook.yaml:1: node.name: the variable NAME is not set; set it, or write ${NAME:-default}"
    )
    assert "is no reference" in told[-1]


# -- secrets --------------------------------------------------------------------------------------------


def test_secrets_come_from_the_file_a_variable_or_another_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    text = """
    agents:
      a: {kind: chat, api_key: in-line}
      b: {kind: chat, api_key_env: KEY}
      c: {kind: chat, api_key_file: key}
      d: {kind: chat, api_key: "${KEY}"}
    sip:
      trunks:
        - {name: t, user: u, password_env: KEY}
    """
    config = load(write(tmp_path, text), {"KEY": "from-env"})
    keys = {name: a.api_key for name, a in config.agents.items() if isinstance(a, ChatSettings)}
    assert keys == {
        "a": Secret("in-line"),
        "b": Secret("from-env"),
        "c": Secret("from-file"),
        "d": Secret("from-env"),
    }
    assert config.sip.trunks[0].password == "from-env"
    assert secrets_in(config) == {"in-line", "from-env", "from-file"}
    assert not any(secret in repr(config) for secret in secrets_in(config))


def test_secrets_that_cannot_be_had_are_told(tmp_path: Path) -> None:
    text = """\
agents:
  a: {kind: chat, api_key_env: NONE}
  b: {kind: chat, api_key_file: none}
  c: {kind: chat, api_key: x, api_key_env: KEY}
"""
    assert mistakes(tmp_path, text, {"KEY": "k"}) == [
        "offhook.yaml:2: agents.a.api_key_env: the variable NONE is not set; set it, or name the one that is",
        "offhook.yaml:3: agents.b.api_key_file: cannot read none: No such file or directory; "
        "check the path and its permissions",
        'offhook.yaml:4: agents.c.api_key_env: "api_key" is given twice; '
        "keep one of api_key, api_key_env, api_key_file",
    ]


def test_a_mistake_beside_a_secret_does_not_show_it(tmp_path: Path) -> None:
    told = mistakes(tmp_path, "agents:\n  a: {kind: chat, api_key: [hunter2]}\n")
    assert "hunter2" not in "\n".join(told)


# -- anything at all ------------------------------------------------------------------------------------

_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "sip",
                    "agents",
                    "node",
                    "trunks",
                    "name",
                    "kind",
                    "host",
                    "tls",
                    "codecs",
                    "api_key",
                    "api_key_env",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(_data)
def test_no_data_raises_anything_but_a_config_error(data: object) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        json.dump(data, file)
        file.flush()
        try:
            assert isinstance(load(Path(file.name), {}), Config)
        except ConfigError as error:
            assert error.problems


def test_a_worker_takes_its_model_from_model_url() -> None:
    """The default engine takes no model: that is said of the variable that was set."""
    environ = {"MODEL_URL": "https://models.example.com/en.nemo"}
    assert load(None, environ) == load(None, {})
    with pytest.raises(ConfigError, match=r'MODEL_URL.*"model"'):
        load(None, environ, "asr")
    environ |= {"OFFHOOK_ASR__ENGINE": "nemo", "MODEL_SHA256": "ab" * 32}
    settings = load(None, environ, "asr").asr.settings
    assert (settings.model, settings.sha256) == (environ["MODEL_URL"], "ab" * 32)
    environ["OFFHOOK_ASR__SETTINGS__MODEL"] = "/models/other.nemo"
    assert load(None, environ, "asr").asr.settings.model == "/models/other.nemo"


def test_redis_url_names_the_store_unless_ours_does() -> None:
    assert load(None, {"REDIS_URL": "redis://store:6379"}).redis.url == "redis://store:6379"
    both = {"REDIS_URL": "redis://store:6379", "OFFHOOK_REDIS__URL": "redis://other:6379"}
    assert load(None, both).redis.url == "redis://other:6379"
    assert load(None, {"REDIS_URL": ""}).redis.url == ""
    with pytest.raises(ConfigError, match=r"REDIS_URL.*begins with") as told:
        load(None, {"REDIS_URL": "http://:hush@store"})
    assert "hush" not in str(told.value)
