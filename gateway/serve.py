"""Runs a node until it is told to stop, and tells an operator whom to dial and where to look."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import structlog

from gateway import collector
from gateway.api.settings import is_loopback
from gateway.app import Offhook
from gateway.config import Config, secrets_in
from gateway.logs import start_logs
from media.legs.sip_settings import SipTransport

log = structlog.get_logger(__name__)

SIP_PORT = 5060
"""The port that a SIP address without one means (RFC 3261 section 19.1.2)."""

_FILE_THREADS = 4


async def serve(config: Config) -> None:
    """Run a node until SIGTERM or SIGINT, then drain and stop. A second signal stops at once."""
    output = start_logs(config.logs, secrets=secrets_in(config))
    signals: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    # Files and names are looked up on these; few are enough, and their number does not grow with the calls.
    loop.set_default_executor(ThreadPoolExecutor(_FILE_THREADS, "offhook-files"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, None)
    node = Offhook(config)
    try:
        asr, tts = ([entry.name for entry in part.entries()] for part in (config.asr, config.tts))
        log.info("starting", asr=asr, tts=tts, version=version("offhook"))
        await node.start()
        collector.settle()
        node.metrics.watch_counters(
            "log_lines_dropped", "Log lines that a slow output did not take", lambda: {"log": output.dropped}
        )
        _tell_where(node)
        await signals.get()
        await _drain(node, signals)
    finally:
        await node.aclose()
        log.info("stopped")
        output.close()


async def _drain(node: Offhook, signals: asyncio.Queue[None]) -> None:
    """Let calls finish; a signal that comes meanwhile ends them."""
    log.info("draining", calls=len(node.calls), seconds=node.config.node.drain_seconds)
    hurry = asyncio.ensure_future(signals.get())
    draining = asyncio.ensure_future(node.drain())
    done, _ = await asyncio.wait({hurry, draining}, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    draining.cancel()
    await asyncio.gather(hurry, draining, return_exceptions=True)
    if hurry in done:
        log.warning("stopping at once", calls=len(node.calls))
        await node.calls.drain(0)


def _tell_where(node: Offhook) -> None:
    """What an operator wants to know first: whom to dial, and where to look."""
    config, plan = node.config, node.dialplan.plan
    if plan.skipped:
        log.info("routes left out, their agents are not configured", routes=list(plan.skipped))
    if config.node.recordings:
        log.info("calls are recorded", folder=str(config.node.record_dir))
    base = f"http://{_address(config.api.host)}:{node.api.port}"
    if config.api.speech:
        _tell_keys(config)
    log.info("http is up", health=f"{base}/health", ready=f"{base}/ready", metrics=f"{base}/metrics")
    log.info("ready for calls", dial=list(_dialable(node)))


def _tell_keys(config: Config) -> None:
    """Whether a stranger could use the speech APIs must not be a surprise."""
    api = config.api
    if api.asks_keys:
        log.info("the API asks for keys; `offhook keys create` makes one", file=str(api.keys_file))
    elif is_loopback(api.host):
        log.info("the API asks for no key: it listens on loopback only", keys=str(api.keys))
    else:
        log.warning("the API asks for no key, and others can reach it", host=api.host, keys=str(api.keys))


def _dialable(node: Offhook) -> Iterator[str]:
    """An address for each route that can be dialled by one exact name."""
    sip = node.config.sip
    host = _address(sip.advertised or sip.host)
    transport, port = next(iter(node.sip.ports.items()))
    where = host if port == SIP_PORT else f"{host}:{port}"
    suffix = "" if transport is SipTransport.UDP else f";transport={transport}"
    for number in node.dialplan.plan.exact_numbers():
        yield f"sip:{number}@{where}{suffix}"


def _address(host: str) -> str:
    """As it stands in a URI."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
