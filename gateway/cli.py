"""The command line. Each command loads what it needs and nothing more, so that `--help` answers at once."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli_batch import batch_app
from gateway.cli_dialplan import dialplan_app
from gateway.cli_keys import keys_app
from gateway.cli_models import models_app
from gateway.cli_run import load as _load
from gateway.cli_run import run as _run
from license.command import license_app

app = typer.Typer(
    name="offhook",
    help="""Offhook answers telephone calls: SIP in, speech recognised, an agent replies, speech goes back.

\b
First steps:
  offhook doctor           does everything that a call needs work here?
  offhook up               take calls; then dial sip:echo@127.0.0.1
                           from any SIP phone on this machine
  offhook call sip:echo@127.0.0.1 --play in.wav --record out.wav
  offhook config example   every setting, explained
""",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Show, explain and check the configuration.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(batch_app, name="batch")
app.add_typer(keys_app, name="keys")
app.add_typer(license_app, name="license")
app.add_typer(config_app, name="config")
app.add_typer(dialplan_app, name="dialplan")

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="OFFHOOK_CONFIG",
        help="YAML file; without one the defaults hold. OFFHOOK_<SECTION>__<FIELD> overrides single fields.",
    ),
]


@app.command()
def up(config: ConfigFile = None) -> None:
    """Take calls until SIGTERM or Ctrl-C.

    Running calls may then finish, for `node.drain_seconds`; a second signal ends them at once. The log on
    stderr says whom to dial and where health, readiness and metrics are.

    \b
    Examples:
      offhook up                          defaults: sip:echo@127.0.0.1, loopback only
      offhook up -c offhook.yaml
      OFFHOOK_SIP__UDP_PORT=5080 offhook up

    Exit code 0 after an orderly stop, 2 when it could not start.
    """

    def work() -> None:
        from gateway.serve import serve

        asyncio.run(serve(_load(config)))

    _run(work)


@app.command()
def asr(config: ConfigFile = None) -> None:
    """Serve the configured recogniser to others over Riva's gRPC (port 2233), until SIGTERM or Ctrl-C.

    Any Riva client can use it; a gateway does with `asr: {engine: riva, settings: {address: "host:2233"}}`.
    Health and metrics are on the gRPC port + 1. MODEL_URL (with MODEL_SHA256) in the environment names
    the model of an engine that takes one. Exit code 0 after an orderly stop, 2 when it could not start.
    """

    def work() -> None:
        from gateway.workers import serve_recogniser

        asyncio.run(serve_recogniser(_load(config, worker="asr")))

    _run(work)


@app.command()
def tts(config: ConfigFile = None) -> None:
    """Serve the configured voice to others over Riva's gRPC (port 8876), until SIGTERM or Ctrl-C.

    Any Riva client can use it; a gateway does with `tts: {engine: riva, settings: {address: "host:8876"}}`.
    Health and metrics are on the gRPC port + 1. MODEL_URL (with MODEL_SHA256) in the environment names
    the model of an engine that takes one. Exit code 0 after an orderly stop, 2 when it could not start.
    """

    def work() -> None:
        from gateway.workers import serve_voice

        asyncio.run(serve_voice(_load(config, worker="tts")))

    _run(work)


@app.command()
def drain(
    url: Annotated[str, typer.Option(help="Of the node's API; default: as the configuration has it")] = "",
    key: Annotated[str, typer.Option(envvar="OFFHOOK_API_KEY", help="API key with the scope control")] = "",
    config: ConfigFile = None,
) -> None:
    """Have a running node take no new calls, and wait until the running ones are over.

    They may go on for `node.drain_seconds`; then they are ended. The node stays up and answers 503 to new
    calls; stop it with SIGTERM. Exit code 0 when all is over, 1 when something was left, 2 when the node
    could not be asked.
    """

    def work() -> bool:
        from gateway.drain_command import drain as run_drain

        return run_drain(_load(config), key, typer.echo, url)

    if not _run(work):
        raise typer.Exit(1)
    typer.echo("drained")


@app.command()
def doctor(config: ConfigFile = None) -> None:
    """Check addresses, ports, files, dialplan, clock, engines and a loopback call; explain each failure.

    A running node may be left running: its own ports then show as taken. Exit code 0 when all is well, 1
    when a check failed, 2 when the configuration cannot be read.
    """
    from gateway.doctor import examine

    raise typer.Exit(_run(lambda: asyncio.run(examine(_load(config)))))


@app.command()
def call(
    uri: Annotated[str, typer.Argument(help="Whom to call, such as sip:echo@127.0.0.1:5060")],
    play: Annotated[Path | None, typer.Option(help="WAV file to speak into the call (mono, 16 bit)")] = None,
    record: Annotated[Path | None, typer.Option(help="Stereo WAV to write: far end left, us right")] = None,
    seconds: Annotated[float, typer.Option(help="Hang up after this long", min=1, max=3600)] = 30.0,
    trunk: Annotated[str, typer.Option(help="Trunk of the configuration to dial through")] = "local",
    caller: Annotated[str, typer.Option(help="Calling number to show")] = "offhook",
    config: ConfigFile = None,
) -> None:
    """Dial out, play a file, and print what the far end says.

    \b
    Examples:
      offhook call sip:echo@127.0.0.1 --play in.wav --record out.wav
      offhook call sip:+4930123@sbc.example.net --trunk carrier --caller +4930987

    Hangs up after --seconds, or when the file was played and the far end has been silent for a while. Exit
    code 0 when the call was answered, 1 when not, 2 when it could not be placed.
    """

    def work() -> int:
        from gateway.dialout import Outgoing, place

        order = Outgoing(uri=uri, play=play, record=record, seconds=seconds, trunk=trunk, caller=caller)
        return asyncio.run(place(_load(config), order))

    raise typer.Exit(_run(work))


@app.command()
def demo(
    prompts: Annotated[
        Path | None, typer.Option(help="Folder of WAV files to speak instead of the built-in prompts")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the recording and the record go")] = Path(
        "recordings/demo"
    ),
) -> None:
    """Place a real call with SIPp, play recorded speech, and show the conversation and its latencies.

    Starts a node of its own on free loopback ports. Exit code 0 when every prompt was answered, else 1.
    """

    def work() -> int:
        from demo.play import run

        return asyncio.run(run(prompts, out))

    raise typer.Exit(_run(work))


@config_app.command("example")
def config_example() -> None:
    """Print a configuration with every field, its default and its meaning."""
    from gateway.config import example

    sys.stdout.write(example())


@config_app.command("show")
def config_show(config: ConfigFile = None) -> None:
    """Print the configuration in force, file and environment combined, secrets covered."""
    from gateway.config import dump

    sys.stdout.write(_run(lambda: dump(_load(config))))


@config_app.command("check")
def config_check(config: Annotated[Path, typer.Argument(help="YAML file to check")]) -> None:
    """Say everything that is wrong with a configuration file, all at once.

    The environment counts too, as it would for `up`. Exit code 0 when it is good, 2 when not.
    """
    _run(lambda: _load(config))
    typer.echo(f"{config}: good")


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    typer.echo(installed("offhook"))


def main() -> None:
    app()
