"""Headless Chromium with recorded speech for a microphone, and what its page heard."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from callers.speech import build_track
from media.frame import Pcm
from media.resample import resample
from media.wav import write_wav
from tests.live.gateway.listening import prompt

MIC_RATE = 48_000
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

_TAPE = """
(stream) => {
  const context = new AudioContext({ sampleRate: 8000 });
  const tap = context.createScriptProcessor(1024, 1, 1);
  const taken = [];
  tap.onaudioprocess = (event) => taken.push(...event.inputBuffer.getChannelData(0));
  context.createMediaStreamSource(stream).connect(tap).connect(context.destination);
  window.tape = () => {
    const pcm = Int16Array.from(taken, (value) => Math.max(-1, Math.min(1, value)) * 32767);
    const bytes = new Uint8Array(pcm.buffer);
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192)
      text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return btoa(text);
  };
}
"""
"""Keeps what a stream plays, at 8 kHz; `tape()` gives it as base64."""


def microphone(path: Path, *prompts: str, lead: float = 1.5, gap: float = 6.0) -> Path:
    """A WAV file for Chromium's microphone: these prompts, silence around them."""
    track = build_track([prompt(name) for name in prompts], lead=lead, gap=gap, tail=30.0)
    write_wav(path, resample(track.pcm, 8_000, MIC_RATE), MIC_RATE)
    return path


class Browser:
    """One browser; a context manager that leaves no process behind."""

    def __init__(self, mic: Path, extra: Sequence[str] = ()) -> None:
        found = next(filter(None, map(shutil.which, _CHROMIUM)), None)
        assert found, "Chromium is not installed; cure: make setup-clients"
        self.errors: list[str] = []
        """What went wrong in its pages."""
        self._program = found
        self._switches = [
            "--no-sandbox",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={mic}%noloop",
            "--autoplay-policy=no-user-gesture-required",
            *extra,
        ]

    def __enter__(self) -> Browser:
        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path=self._program, args=self._switches)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._chromium.close()
        self._playwright.stop()
        assert error is not None or not self.errors, self.errors

    def page(self, url: str, **viewport: int) -> Page:
        """A page that may use the microphone; its errors fail the test when the browser is closed."""
        size: Any = {"width": 1280, "height": 800} | viewport
        page = self._chromium.new_context(permissions=["microphone"], viewport=size).new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(url)
        return page


def call(page: Page, to: str, **options: object) -> None:
    """Call from within the page, by its module; what happens is kept in `window.seen`."""
    page.evaluate(
        """async ([to, options]) => {
          const { OffhookCall } = await import("/web/offhook.js");
          const call = (window.call = new OffhookCall({ to, ...options }));
          window.seen = [];
          for (const name of ["state", "transcript", "digits", "bargein", "latency", "phase", "ended"])
            call.addEventListener(name, ({ detail }) => window.seen.push([name, detail, performance.now()]));
          await call.start();
        }""",
        [to, options],
    )
    page.evaluate(f"({_TAPE})(window.call.remoteStream)")


def seen(page: Page, name: str) -> list[dict[str, Any]]:
    """What the page was told under this name so far."""
    return [detail for kind, detail, _ in page.evaluate("window.seen") if kind == name]


def wait_for(page: Page, condition: str, seconds: float = 15.0) -> None:
    """Until a JavaScript condition holds. The page's own policy forbids it to be looked at from within."""
    until = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < until, f"never: {condition}"
        page.wait_for_timeout(50)


def taped(page: Page) -> Pcm:
    """What the far end played in the page, at 8 kHz."""
    return np.frombuffer(base64.b64decode(page.evaluate("window.tape()")), np.int16)
