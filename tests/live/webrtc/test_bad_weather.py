"""What a page's call survives, and what strangers may send without harming it."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import Callable

import aioice
import httpx
import pytest

from benchmarks.processes import usage
from callers.browser import Browser
from tests.live.gateway.listening import prompt, same_words
from tests.live.gateway.node import Node, eventually
from tests.live.webrtc.conftest import page_record, played, voice

pytestmark = pytest.mark.live

SAID = "conf-now-recording"
CALLS = "/v1/webrtc/calls"
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


async def still_served(page: Browser) -> None:
    """What is said now is understood."""
    before = len(_finals(page))
    page.microphone.say(voice(SAID))
    async with asyncio.timeout(20):
        while not (said := _finals(page)[before:]):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert same_words(prompt(SAID).text, said[0]) >= 0.8


def _finals(page: Browser) -> list[str]:
    return [m["text"] for m in page.messages if m.get("who") == "caller" and m.get("final")]


def no_codec(sdp: str) -> str:
    """The offer with codecs that nobody knows."""
    return sdp.replace("opus", "speex").replace("PCM", "XCM").replace(" 0 8", "")


@pytest.fixture(scope="module")
def offer() -> str:
    """A sound offer, of nobody who would ever connect."""

    async def made() -> str:
        async with httpx.AsyncClient() as http:
            page = Browser(http)
            try:
                return await page.offer()
            finally:
                await page.close()

    return asyncio.run(made())


@pytest.mark.parametrize(
    ("change", "query", "headers", "status"),
    [
        (lambda sdp: "", "to=echo", SDP, 400),
        (lambda sdp: "hello", "to=echo", SDP, 400),
        (lambda sdp: sdp.replace("ice-ufrag", "ice-x"), "to=echo", SDP, 400),
        (lambda sdp: sdp + "a=x\r\n" * 20_000, "to=echo", SDP, 413),
        (no_codec, "to=echo", SDP, 422),
        (lambda sdp: sdp, "to=echo", {"Content-Type": "application/json"}, 415),
        (lambda sdp: sdp, "", SDP, 400),
        (lambda sdp: sdp, "to=" + "x" * 65, SDP, 400),
        (lambda sdp: sdp, "to=nobody", SDP, 404),
        (lambda sdp: sdp, "to=4711", SDP, 403),
        (lambda sdp: sdp, "to=echo", {**SDP, "Origin": "https://evil.example"}, 403),
        (lambda sdp: sdp, "to=echo", {**SDP, "Authorization": "Bearer offhookcall_x.y"}, 401),
    ],
)
def test_what_is_wrong_is_told(
    node: Node, offer: str, change: Callable[[str], str], query: str, headers: dict[str, str], status: int
) -> None:
    answer = httpx.post(f"{node.api}{CALLS}?{query}", content=change(offer).encode(), headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert "access-control-allow-origin" not in answer.headers


def test_a_busy_route_tells_when_to_come_again(node: Node, offer: str) -> None:
    answer = httpx.post(f"{node.api}{CALLS}?to=busy", content=offer, headers=SDP)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


def test_other_pages_ask_first_and_are_answered_when_allowed(node: Node, offer: str) -> None:
    origin = {"Origin": "https://shop.example"}
    ask = httpx.options(f"{node.api}{CALLS}", headers={**origin, "Access-Control-Request-Method": "POST"})
    assert ask.status_code == 204
    assert ask.headers["access-control-allow-origin"] == "https://shop.example"
    assert "POST" in ask.headers["access-control-allow-methods"]
    assert ask.headers["accept-post"] == "application/sdp"
    stranger = httpx.options(f"{node.api}{CALLS}", headers={"Origin": "https://evil.example"})
    assert stranger.status_code == 403
    taken = httpx.post(f"{node.api}{CALLS}?to=echo", content=offer, headers={**SDP, **origin})
    assert taken.status_code == 201
    assert taken.headers["access-control-allow-origin"] == "https://shop.example"
    assert "Location" in taken.headers["access-control-expose-headers"]
    assert httpx.delete(node.api + taken.headers["location"]).status_code == 200
    assert httpx.get(f"{node.api}{CALLS}").status_code == 405


def test_a_call_that_is_none_is_unknown(node: Node) -> None:
    nowhere = f"{node.api}{CALLS}/web-{secrets.token_hex(16)}"
    assert httpx.delete(nowhere).status_code == 404
    told = httpx.patch(nowhere, content="a=end-of-candidates\r\n", headers={**FRAGMENT, "If-Match": "*"})
    assert told.status_code == 404


def test_a_token_is_good_for_one_call_from_one_page(node: Node, offer: str) -> None:
    asked = {"to": "echo", "caller": "Ada", "origin": "https://shop.example", "ttl": 30}
    made = httpx.post(f"{node.api}/v1/webrtc/tokens", json=asked)
    assert made.status_code == 201, made.text
    bearer = {**SDP, "Authorization": f"Bearer {made.json()['token']}"}
    for origin in ({}, {"Origin": "https://evil.example"}, {"Origin": node.api}):
        told = httpx.post(f"{node.api}{CALLS}", content=offer, headers={**bearer, **origin})
        assert told.status_code == 403, told.text
    bearer["Origin"] = "https://shop.example"
    assert httpx.post(f"{node.api}{CALLS}", content="v=0", headers=bearer).status_code == 400
    other = httpx.post(f"{node.api}{CALLS}?to=told", content=offer, headers=bearer)
    assert other.status_code == 400, "the token names another number"
    taken = httpx.post(f"{node.api}{CALLS}", content=offer, headers=bearer)
    assert taken.status_code == 201, taken.text
    (call,) = [call for call in node.calls() if call["call_id"] in taken.headers["location"]]
    assert (call["caller"], call["called"]) == ("Ada", "echo")
    again = httpx.post(f"{node.api}{CALLS}", content=offer, headers=bearer)
    assert again.status_code == 401
    assert "used already" in again.json()["detail"]
    httpx.delete(node.api + taken.headers["location"])
    for body in ({"to": ""}, {"to": "echo", "ttl": 601}, {"to": "echo", "who": "x"}, {"to": 7}):
        assert httpx.post(f"{node.api}/v1/webrtc/tokens", json=body).status_code == 400


def test_candidates_may_come_later(node: Node) -> None:
    async def scene(page: Browser) -> None:
        found: list[str] = []

        def held_back(sdp: str) -> str:
            found.extend(re.findall(r"a=candidate:.*", sdp))
            return re.sub(r"a=(candidate:|end-of-candidates).*\r\n", "", sdp)

        text = await page.offer(held_back)
        answer = await page.http.post(CALLS, params={"to": "echo"}, content=text, headers=SDP)
        assert answer.status_code == 201
        where, etag = answer.headers["location"], answer.headers["etag"]
        body = "\r\n".join([*found, "a=end-of-candidates", ""])
        for match, status in (("", 428), ('"other"', 412), (etag, 204)):
            headers = {**FRAGMENT, **({"If-Match": match} if match else {})}
            assert (await page.http.patch(where, content=body, headers=headers)).status_code == status
        wrong = await page.http.patch(where, content="hello", headers={**FRAGMENT, "If-Match": etag})
        assert wrong.status_code == 400
        kind = await page.http.patch(where, content=body, headers={**SDP, "If-Match": etag})
        assert kind.status_code == 415
        page.location = where
        await page.answered(answer.text)
        await page.connected()
        await page.told("answered")
        await page.hang_up()

    played(node, scene)


def test_ice_begins_anew_when_the_network_changes(node: Node) -> None:
    async def scene(page: Browser) -> None:
        await page.call(to="echo")
        await page.connected()
        await page.told("answered")
        transport = page.peer.getTransceivers()[0].receiver.transport.transport
        old = transport._connection
        new = aioice.Connection(ice_controlling=True)
        await new.gather_candidates()
        fragment = [f"a=ice-ufrag:{new.local_username}", f"a=ice-pwd:{new.local_password}"]
        fragment += ["m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0"]
        fragment += [f"a=candidate:{candidate.to_sdp()}" for candidate in new.local_candidates]
        told = await page.http.patch(
            page.location,
            content="\r\n".join([*fragment, "a=end-of-candidates", ""]),
            headers={**FRAGMENT, "If-Match": "*"},
        )
        assert told.status_code == 200, told.text
        assert told.headers["etag"] != page.etag
        stale = await page.http.patch(
            page.location,
            content="a=end-of-candidates\r\n",
            headers={**FRAGMENT, "If-Match": page.etag},
        )
        assert stale.status_code == 412
        login = dict(re.findall(r"a=ice-(ufrag|pwd):(\S+)", told.text))
        new.remote_username, new.remote_password = login["ufrag"], login["pwd"]
        assert new.remote_username != old.remote_username
        for line in re.findall(r"a=candidate:(.*)", told.text):
            await new.add_remote_candidate(aioice.Candidate.from_sdp(line.strip()))
        await new.add_remote_candidate(None)
        # The handshake's reader stays where it is.
        setattr(new, "data_received", old.data_received)  # noqa: B010
        await new.connect()
        transport._send = new.send
        for protocol in old._protocols:  # the old network swallows everything
            protocol.datagram_received = protocol.send_stun = lambda *anything: None
        await asyncio.sleep(0.5)
        await still_served(page)
        await page.hang_up()
        await new.close()

    (page,) = played(node, scene)
    assert page_record(node, page)["end_reason"] == "caller_hung_up"


def test_three_seconds_without_a_network_are_survived(node: Node) -> None:
    async def scene(page: Browser) -> None:
        await page.call(to="echo")
        await page.connected()
        await page.told("answered")
        transport = page.peer.getTransceivers()[0].receiver.transport.transport
        sockets = list(transport._connection._protocols)

        async def nothing(*anything: object) -> None:
            """The network is gone."""

        for protocol in sockets:
            protocol.datagram_received = protocol.send_stun = lambda *anything: None
            protocol.send_data = nothing
        await asyncio.sleep(3.0)
        for protocol in sockets:
            del protocol.datagram_received, protocol.send_stun, protocol.send_data
        await still_served(page)
        await page.hang_up()

    (page,) = played(node, scene)
    record = page_record(node, page)
    assert record["end_reason"] == "caller_hung_up"
    assert record["leg"]["rx_lost"] >= 100


def test_another_certificate_than_was_told_is_refused(node: Node) -> None:
    async def scene(page: Browser) -> None:
        text = await page.offer(lambda sdp: re.sub(r"(sha-\d+) ..:..", r"\1 00:00", sdp))
        answer = await page.http.post(CALLS, params={"to": "echo"}, content=text, headers=SDP)
        assert answer.status_code == 201
        page.location = answer.headers["location"]
        await page.answered(answer.text)
        await asyncio.sleep(1.0)

    (page,) = played(node, scene)
    record = page_record(node, page)
    assert record["end_reason"] in ("media_lost", "rejected")
    assert not record["turns"]


def test_a_thousand_half_open_calls_harm_nobody(node: Node, offer: str) -> None:
    before = usage(node.process.pid)

    async def scene(page: Browser) -> None:
        await page.call(to="echo")
        await page.connected()
        await page.told("answered")
        places = asyncio.Semaphore(20)

        async def knock() -> httpx.Response:
            async with places:
                return await page.http.post(CALLS, params={"to": "echo"}, content=offer, headers=SDP)

        knocking = asyncio.gather(*(knock() for _ in range(1_000)))
        await still_served(page)
        answers = await knocking
        codes = {answer.status_code for answer in answers}
        assert codes <= {201, 503}
        assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
        assert sum(answer.status_code == 503 for answer in answers) >= 500
        await page.hang_up()

    (page,) = played(node, scene)
    assert page_record(node, page)["end_reason"] == "caller_hung_up"

    def over() -> None:
        after = node.metrics()
        assert after['offhook_webrtc{what="half_open"}'] == 0
        assert after['offhook_webrtc{what="calls"}'] == 0
        now = usage(node.process.pid)
        assert now.descriptors <= before.descriptors + 10
        assert now.rss_mib <= before.rss_mib + 60

    eventually(over, 15.0)


def test_a_flood_at_the_media_port_harms_nobody(node: Node) -> None:
    async def scene(page: Browser) -> None:
        answer = await page.call(to="echo")
        await page.connected()
        await page.told("answered")
        port = int(re.findall(r"a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 (\d+)", answer.text)[0])

        def flood() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                for first in (0x80, 0x16, 0x00, 0xFF) * 5_000:
                    stranger.sendto(bytes([first]) + secrets.token_bytes(100), ("127.0.0.1", port))

        flooding = asyncio.to_thread(flood)
        await asyncio.gather(flooding, still_served(page))
        await page.hang_up()

    (page,) = played(node, scene)
    assert page_record(node, page)["end_reason"] == "caller_hung_up"


def test_an_address_may_begin_only_so_many_calls(
    tmp_path_factory: pytest.TempPathFactory, offer: str
) -> None:
    settings = {"webrtc": {"per_address": 3}, "api": {"keys": "always", "keys_file": "none.json"}}
    with Node(tmp_path_factory.mktemp("limited"), settings) as node:
        address = f"{node.api}{CALLS}?to=echo"
        answers = [httpx.post(address, content=offer, headers=SDP) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert answers[0].headers["www-authenticate"] == "Bearer"
        assert int(answers[3].headers["retry-after"]) >= 1
        assert httpx.post(f"{node.api}/v1/webrtc/tokens", json={"to": "echo"}).status_code == 401
