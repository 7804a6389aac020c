"""Calls from headless Chromium to a real node: understood, heard, interrupted, keyed, relayed, cut off."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from benchmarks.wer import word_errors
from callers.sipp import CallPlan, Sipp
from tests.live.gateway.listening import Listener, prompt, speech
from tests.live.gateway.node import Node, eventually
from tests.live.web.browser import Browser, call, microphone, seen, taped, wait_for
from tests.live.web.relay import SECRET, TurnServer

pytestmark = pytest.mark.live

PROMPTS = ("conf-now-recording", "demo-thanks", "agent-pass", "check-number-dial-again")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node"), {}) as running:
        yield running


def words_of(page: Page) -> str:
    told = [words for words in seen(page, "transcript") if words["who"] == "caller" and words["final"]]
    return " ".join(words["text"] for words in told)


def wrong(reference: str, heard: str) -> float:
    """Word error rate."""
    errors, words = word_errors(reference, heard)
    return errors / words


def hang_up(page: Page) -> None:
    page.evaluate("window.call.hangup()")


def test_a_browser_is_understood_as_well_as_a_telephone(node: Node, tmp_path: Path) -> None:
    said = " ".join(prompt(name).text for name in PROMPTS)
    mic = microphone(tmp_path / "mic.wav", *PROMPTS)
    with Browser(mic) as browser:
        page = browser.page(node.api + "/phone")
        call(page, "echo", caller="browser")
        until = time.monotonic() + 60
        while len(seen(page, "latency")) < len(PROMPTS) and time.monotonic() < until:
            page.wait_for_timeout(500)
        by_web = words_of(page)
        hang_up(page)
    audio = speech(tmp_path, *PROMPTS, room=6.0)
    plan = CallPlan(node.target, "echo", "telephone", audio=audio, hold_s=audio.stat().st_size / 8000)
    with Sipp(plan) as sipp:
        sipp.wait()
    (record,) = node.records("telephone")
    by_phone = " ".join(turn["said"] for turn in record["turns"] if turn["number"])
    assert wrong(said, by_web) <= wrong(said, by_phone) + 0.02, (by_web, by_phone)
    (record,) = node.records("browser")
    assert record["end_reason"] == "caller_hung_up" and record["parties"]["trunk"] == "webrtc"


def test_the_reply_is_heard_in_the_page(node: Node, tmp_path: Path, listener: Listener) -> None:
    with Browser(microphone(tmp_path / "mic.wav", "conf-now-recording")) as browser:
        page = browser.page(node.api + "/phone")
        call(page, "echo")
        wait_for(page, "window.seen.some(([n, d]) => n === 'latency')")
        page.wait_for_timeout(4000)
        tape = taped(page)
        agent = " ".join(told["text"] for told in seen(page, "transcript") if told["who"] == "agent")
        hang_up(page)
    heard = listener.words(tape)
    assert agent and wrong(agent, heard) <= 0.25, (agent, heard)


def test_the_caller_interrupts(node: Node, tmp_path: Path) -> None:
    """The second prompt comes while the first one's echo sounds: the page falls silent at once."""
    with Browser(microphone(tmp_path / "mic.wav", "demo-thanks", "agent-pass", gap=2.2)) as browser:
        page = browser.page(node.api + "/phone")
        call(page, "echo", caller="interrupter")
        wait_for(page, "window.seen.some(([n]) => n === 'bargein')", 25)
        page.wait_for_timeout(500)
        hang_up(page)
        (stopped,) = seen(page, "bargein")[:1]
        assert stopped["stop_ms"] < 400
    (record,) = node.records("interrupter")
    assert any(turn["interrupted"] for turn in record["turns"])


def test_keys_are_heard(node: Node, tmp_path: Path) -> None:
    with Browser(microphone(tmp_path / "mic.wav", "agent-pass", lead=60.0)) as browser:
        page = browser.page(node.api + "/phone")
        page.fill("#to", "echo")
        page.keyboard.press("Enter")
        wait_for(page, "!document.getElementById('keypad').disabled")
        for key in "42":
            page.get_by_role("button", name=key, exact=True).click()
        page.keyboard.press("#")
        wait_for(page, "document.getElementById('words').innerText.includes('Agent')", 15)
        said = page.inner_text("#words")
        assert "Key 4" in said and "Key #" in said
        page.click("#call")
        wait_for(page, "document.getElementById('status').innerText === 'You hung up.'")
    records = node.records("web")
    assert records[-1]["turns"][-1]["dtmf"] == "42"


def test_a_page_loaded_anew_hangs_up_and_calls_again(node: Node, tmp_path: Path) -> None:
    with Browser(microphone(tmp_path / "mic.wav", "agent-pass", lead=60.0)) as browser:
        page = browser.page(node.api + "/phone")
        call(page, "echo", caller="reloader")
        page.reload()
        (record,) = eventually(lambda: node.records("reloader"), 5.0)
        assert record["end_reason"] == "caller_hung_up"
        call(page, "echo", caller="reloader")
        page.wait_for_timeout(500)
        hang_up(page)
        eventually(lambda: node.records("reloader", 2), 5.0)


def test_through_a_relay_only_and_back_after_three_seconds_without_network(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    with TurnServer(tmp_path) as turn:
        servers = {"webrtc": {"ice_servers": [{"urls": [turn.url], "secret": SECRET}]}}
        mic = microphone(tmp_path / "mic.wav", "conf-now-recording", "demo-thanks", gap=11.0)
        with Node(folder, servers) as node, Browser(mic) as browser:
            page = browser.page(node.api + "/phone")
            call(page, "echo", caller="relayed", relayOnly=True)
            kinds = page.evaluate(
                """async () => {
                  const reports = [...(await window.call.peerConnection.getStats()).values()];
                  const pair = reports.find((r) => r.type === "candidate-pair" && r.nominated);
                  return reports.find((r) => r.id === pair.localCandidateId).candidateType;
                }"""
            )
            assert kinds == "relay"
            wait_for(page, "window.seen.some(([n]) => n === 'latency')", 20)
            page.wait_for_timeout(2500)
            turn.gone_for(3.0)
            wait_for(page, "window.seen.some(([, d]) => d.final && /aster/i.test(d.text))", 30)
            assert page.evaluate("window.call.state") == "connected"
            hang_up(page)
            (record,) = node.records("relayed")
    said = " ".join(turn["said"] for turn in record["turns"] if turn["number"])
    wanted = " ".join(prompt(name).text for name in ("conf-now-recording", "demo-thanks"))
    assert wrong(wanted, said) <= 0.3, said


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_use_the_page(node: Node, tmp_path: Path, theme: str) -> None:
    with Browser(microphone(tmp_path / "mic.wav", "agent-pass", lead=1.0)) as browser:
        page = browser.page(node.api + "/phone", width=360, height=740)
        if page.evaluate("document.documentElement.dataset.theme") != theme:
            page.click("#theme")
        faults = [found["id"] for found in Axe().run(page).response["violations"]]
        page.fill("#to", "echo")
        page.press("#to", "Enter")
        wait_for(page, "document.getElementById('words').innerText.includes('Agent')", 20)
        faults += [found["id"] for found in Axe().run(page).response["violations"]]
        wide = page.evaluate("document.documentElement.scrollWidth")
        page.click("#call")
    assert not faults and wide <= 360


def test_the_button_calls_hangs_up_and_tells_what_goes_wrong(node: Node, tmp_path: Path) -> None:
    with Browser(microphone(tmp_path / "mic.wav", "conf-now-recording")) as browser:
        page = browser.page(node.api + "/phone")
        page.wait_for_load_state(
            "networkidle"
        )  # the softphone has filled its lists, and leaves the page alone
        page.evaluate(
            """async () => {
              await import("/web/offhook-call.js");
              const button = '<offhook-call agent="echo" words>Talk to us</offhook-call>';
              document.body.innerHTML = `<main><h1>Shop</h1>${button}</main>`;
            }"""
        )
        page.get_by_role("button", name="Talk to us").click()
        page.get_by_text("Connected. Speak now.").wait_for()
        page.get_by_role("log").get_by_text("recorded", exact=False).first.wait_for(timeout=15000)
        assert not Axe().run(page).response["violations"]
        page.get_by_role("button", name="Hang up").click()
        page.get_by_text("The call is over.").wait_for()
        page.evaluate("document.querySelector('offhook-call').setAttribute('agent', 'nobody')")
        page.get_by_role("button", name="Talk to us").click()
        page.get_by_text("no route", exact=False).wait_for()
        assert page.get_by_role("button", name="Talk to us").is_visible()
