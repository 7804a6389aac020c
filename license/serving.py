"""Serves the proxy or the reference vendor until SIGTERM or SIGINT."""

from __future__ import annotations

import time

import structlog
import uvicorn
from fastapi import FastAPI

from license.keeper import Clocks, Keeper
from license.proxy import create_proxy
from license.settings import ProxySettings
from license.upstream import HttpVendor
from license.vendor import Office, create_vendor

log = structlog.get_logger(__name__)

CLOCKS = Clocks(time.time, time.monotonic)


async def serve_proxy(settings: ProxySettings) -> None:
    """Run the proxy. Raises `OSError`, `BadSignature`, `BadTerms`."""
    vendor = None
    if settings.upstream:
        vendor = HttpVendor(settings.upstream, settings.licence_key, settings.timeout_seconds)
    keeper = Keeper(settings, vendor, CLOCKS)
    await keeper.start()
    standing = keeper.standing()
    log.info("licence", state=standing.state.value, step=standing.step.value, told=standing.reason)
    try:
        await _serve(create_proxy(keeper, settings.licence_key), settings.host, settings.port)
    finally:
        await keeper.aclose()


async def serve_vendor(office: Office, host: str, port: int) -> None:
    """Run the reference vendor."""
    await _serve(create_vendor(office), host, port)


async def _serve(api: FastAPI, host: str, port: int) -> None:
    config = uvicorn.Config(
        api, host=host, port=port, log_config=None, access_log=False, lifespan="off", limit_concurrency=200
    )
    log.info("Server listening", host=host, port=port)
    await uvicorn.Server(config).serve()
