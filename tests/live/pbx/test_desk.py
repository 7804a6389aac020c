"""A telephone at the exchange that talks with us: direct media, hold with music, transfers by its keys."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from media.wav import read_mono
from tests.live.gateway.listening import Listener, prompt, same_words, words
from tests.live.gateway.node import Node, eventually
from tests.live.pbx.calling import event, order, place, said
from tests.live.pbx.exchange import ON_HOLD, SPOKEN, Exchange
from tests.live.sip.phone import HOST, Message, Phone

pytestmark = pytest.mark.live


class Desk(Phone):
    """The telephone on the desk, which follows the exchange's offers."""

    def __init__(self, exchange: Exchange, called: str = "101") -> None:
        super().__init__((HOST, exchange.ports[0]), called)
        self.exchange = exchange

    def take(self, invite: Message) -> None:
        """Take an offer: a call's, or a new one within it."""
        self.rtp.target = invite.rtp
        super().take(invite)

    def talks_with(self, node: Node) -> str:
        """Be called by us through the exchange, and end up with our audio address; the call's id."""
        self.exchange.ask(f"dialplan set global PHONE {HOST}:{self.wire.port}")
        call_id = place(node, "105", trunk="by-address", agent="echo")
        self.take(self.rings())
        at_the_exchange = self.rtp.target
        self.take(self.expect("INVITE"))
        assert self.rtp.target != at_the_exchange, "the exchange got itself out of the way"
        return call_id

    def refer(self, target: str) -> None:
        """Transfer whom we talk with, and see the exchange report that it was done; then hang up."""
        self.request("REFER", headers=[("Refer-To", f"<{target}>"), ("Referred-By", f"<sip:1001@{HOST}>")])
        report = Message("", (), "")
        while "SIP/2.0 200" not in report.body:
            data = self.expect("NOTIFY", 8.0)
            self.respond(data)
            report = data
        self.request("BYE")


@pytest.fixture
def desk(exchange: Exchange) -> Iterator[Desk]:
    with Desk(exchange) as made:
        yield made


def test_direct_media_hold_with_music_and_a_blind_transfer(
    exchange: Exchange, node: Node, listener: Listener, desk: Desk
) -> None:
    call_id = desk.talks_with(node)
    desk.rtp.talk(prompt("vm-prev").pcm)
    desk.rtp.listen(4.0)
    assert len(desk.rtp.received) > 150, "our sound comes straight from us"
    desk.reinvite("sendonly")
    desk.rtp.listen(5.0)
    desk.reinvite("sendrecv")
    desk.refer(f"sip:100@{exchange.registrar}")
    assert event(node, call_id, "call.ended", 25.0)["reason"] == "caller_hung_up"
    heard = said(node, call_id)
    for name in ("vm-prev", ON_HOLD, SPOKEN):
        assert same_words(prompt(name).text, heard) >= 0.8, f"no {name} in {heard}"
    back = eventually(lambda: listener.heard_in(read_mono(exchange.recording("100"), 8000)))
    assert same_words(prompt(SPOKEN).text, back) >= 0.8, f"at extension 100: {back}"


def test_an_attended_transfer_at_the_exchange(exchange: Exchange, node: Node, desk: Desk) -> None:
    call_id = desk.talks_with(node)
    desk.reinvite("sendonly")
    with Desk(exchange, "106") as consultation:
        consultation.call()
        consultation.rtp.listen(0.5)
        desk.refer(f"sip:106@{exchange.registrar}?Replaces={quote(consultation.replaces, safe='')}")
        event(node, call_id, "call.turn", 15.0)
        desk.rtp.listen(8.0)
        assert order(node, call_id, "hangup").status_code == 200
    heard = said(node, call_id)
    assert set(words(prompt(SPOKEN).text)) <= set(words(heard)), f"at extension 106: {heard}"
