"""One SIP call as PJSIP sees it: lives and dies on the SIP thread, copies facts, decides nothing.

pjsua2 calls back into this class from inside its event poll. An exception that left such a callback would
end the process, so each is wrapped. The object must be gone before PJSIP gives its call number to another
call: the registry drops it within the last callback, which pjsua2 allows.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import pjsua2
import structlog

from media.dtmf_merge import KeyKind
from media.legs import sip_messages as messages
from media.legs import sip_referral as referral
from media.legs.base import LegError
from media.legs.sip_ends import EndedBy
from media.legs.sip_facts import (
    Accepted,
    Confirmed,
    Digit,
    Ended,
    Fact,
    MediaChanged,
    OfferAnswered,
    Ringing,
)
from media.legs.sip_referral import ReferAnswered, ReferNotified
from media.legs.sip_settings import TrunkSettings

log = structlog.get_logger(__name__)

S = TypeVar("S")

Header = tuple[str, str]

_TERMINATED = 487
_RUNNING = (
    pjsua2.PJSUA_CALL_MEDIA_ACTIVE,
    pjsua2.PJSUA_CALL_MEDIA_LOCAL_HOLD,
    pjsua2.PJSUA_CALL_MEDIA_REMOTE_HOLD,
)
_INVALID_OPERATION = 70_013
"""PJ_EINVALIDOP, which the binding leaves out: an offer or its answer is under way already."""
_REPORTS_S = 180
"""How long reports of a transfer are promised for (RFC 3515 section 2.4.4)."""
_LONGEST_PRESS_S = 10.0


def guarded(callback: Callable[[S, Any], None]) -> Callable[[S, Any], None]:
    """Let no exception out of a callback of PJSIP's."""

    @functools.wraps(callback)
    def safe(self: S, prm: Any) -> None:
        try:
            callback(self, prm)
        except Exception as error:
            log.error("sip callback failed", callback=callback.__name__, error=repr(error))

    return safe


class CallKeeper(Protocol):
    """Who owns the calls on the SIP thread."""

    def tell(self, key: int, fact: Fact) -> None:
        """Pass a fact to the loop."""

    def sample_rate(self, bus_leg: int) -> int:
        """Rate of this leg's frames."""

    def sdp_made(self, call: SipCall, port: int) -> None:
        """The local SDP names this RTP port."""

    def send_request(self, call: SipCall, method: str, headers: list[Header], body: str = "") -> int:
        """Send a request in the call's dialog whose failure is not the call's; returns its ticket.

        A body is a sipfrag. Raises `LegError`.
        """

    def answer_refer(self, ticket: int, code: int) -> bool:
        """The final answer to a REFER; False when its sender has given up."""

    def refuse(self, reason: str) -> None:
        """Count something that was turned away."""

    def gone(self, call: SipCall) -> None:
        """The call is over: forget it."""


class SipCall(pjsua2.Call):  # type: ignore[misc]
    """PJSIP's callbacks of one call, and the few commands that we give it."""

    def __init__(self, account: Any, call_id: int, keeper: CallKeeper, key: int) -> None:
        super().__init__(account, call_id)
        self.key = key
        self.bus_leg = -1
        self.rtp_port = 0
        self.codecs: tuple[str, ...] = ()
        self.trunk: TrunkSettings | None = None
        self.reached = ""
        """The URI under which its INVITE found us; "" for a call of ours."""
        self.admitted = False
        self.announced = False
        self.ours = False
        self._keeper = keeper
        self._accepted = False
        self._ended = False
        self._offering = False
        self._refer_sent = 0
        self.refer_ticket: int | None = None
        self._refer_cseq = 0
        self._detail = ""
        self._stream = 0
        self._stats: dict[str, int | float | str] = {}

    def respond(self, code: int, headers: Iterable[Header] = (), phrase: str = "") -> None:
        """Answer the INVITE; a final refusal counts as our end of the call."""
        self.ours = self.ours or code >= 300
        super().answer(request_op(code, headers, phrase))

    def end(self, code: int, headers: Iterable[Header] = ()) -> None:
        """BYE, CANCEL or a final response, by state."""
        self.ours = True
        if self._accepted:
            self.collect_stats()
        super().hangup(request_op(code, headers))

    def send_keys(self, digits: str, *, rtp: bool, info: bool) -> None:
        """Send keys by RTP events, else by INFO. Raises `pjsua2.Error` when neither works."""
        if rtp:
            try:
                super().dialDtmf(digits)
                return
            except pjsua2.Error:
                if not info:
                    raise
        param = pjsua2.CallSendDtmfParam()
        param.method = pjsua2.PJSUA_DTMF_METHOD_SIP_INFO
        param.digits = digits
        super().sendDtmf(param)

    def offer(self, hold: bool) -> None:
        """Offer to hold the far end, or to hear it again (RFC 3264 section 8.4); `OfferAnswered` follows.

        Raises `LegError` with code 491 while another offer is under way, and `pjsua2.Error`.
        """
        op = request_op()
        self._offering = True
        try:
            if hold:
                super().setHold(op)
            else:
                op.opt.flag = pjsua2.PJSUA_CALL_UNHOLD if self._holding() else 0
                super().reinvite(op)
        except pjsua2.Error as error:
            self._offering = False
            if error.status == _INVALID_OPERATION:
                raise LegError("an offer is under way already", sip_code=491) from None
            raise

    def _holding(self) -> bool:
        info = self.getInfo()  # owns the list below; SWIG would not keep it alive
        return any(media.status == pjsua2.PJSUA_CALL_MEDIA_LOCAL_HOLD for media in info.media)

    def refer(self, target: str) -> None:
        """Ask the far end to call `target`; `ReferAnswered` and `ReferNotified` follow."""
        uri = target if target.startswith("<") else f"<{target}>"
        referred_by = f"<{messages.bare_uri(str(self.getInfo().localUri))}>"
        headers = [("Refer-To", uri), ("Referred-By", referred_by)]
        self._refer_sent = self._keeper.send_request(self, "REFER", headers)

    def refer_answered(self, ticket: int, code: int, message: str) -> None:
        """Something that was sent beside the call's own requests got its answer."""
        if ticket == self._refer_sent:
            silent = messages.header(message, "refer-sub").lower() == "false"
            self._keeper.tell(self.key, ReferAnswered(code, messages.cseq(message), silent))

    def refer_notified(self, message: str) -> None:
        """The far end reports on our REFER."""
        if (news := referral.refer_event(message)) is not None:
            self._keeper.tell(self.key, ReferNotified(referral.sipfrag_code(message), *news))

    @property
    def may_be_referred(self) -> bool:
        """Whether a REFER of the far end may be shown to anybody: the call is up, and none is open."""
        return self._accepted and self.announced and self.refer_ticket is None

    def referred(self, ticket: int, cseq: int) -> None:
        """A REFER of the far end's waits for `answer_refer`; `cseq` names it in our reports."""
        self.refer_ticket, self._refer_cseq = ticket, cseq

    def answer_refer(self, code: int) -> None:
        """Agree (202) or refuse. Raises `LegError` when there is none to answer."""
        ticket, self.refer_ticket = self.refer_ticket, None
        if ticket is None or not self._keeper.answer_refer(ticket, code):
            raise LegError("nobody asks to be transferred", sip_code=481)

    def report_refer(self, code: int, phrase: str) -> None:
        """Report how the transfer goes on (RFC 3515 section 2.4.4); a final code ends the reports."""
        state = "terminated;reason=noresource" if code >= 200 else f"active;expires={_REPORTS_S}"
        headers = [("Event", f"refer;id={self._refer_cseq}"), ("Subscription-State", state)]
        self._keeper.send_request(self, "NOTIFY", headers, f"SIP/2.0 {code} {phrase}\r\n")

    @guarded
    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        if info.state in (pjsua2.PJSIP_INV_STATE_CONNECTING, pjsua2.PJSIP_INV_STATE_CONFIRMED):
            if not self._accepted:
                self._accepted = True
                self._keeper.tell(self.key, Accepted())
            if info.state == pjsua2.PJSIP_INV_STATE_CONFIRMED:
                self._keeper.tell(self.key, Confirmed())
        elif info.state == pjsua2.PJSIP_INV_STATE_DISCONNECTED:
            self._end(prm, int(info.lastStatusCode), str(info.lastReason))

    def _end(self, prm: Any, code: int, phrase: str) -> None:
        if self._ended:
            return
        self._ended = True
        by, message = _ender(prm)
        if self.ours:
            by = EndedBy.US
        elif code == _TERMINATED:
            by = EndedBy.FAR_END  # its CANCEL; the event that reaches us is our own 487
        detail = messages.header(message, "reason") or self._detail or phrase
        self._keeper.tell(self.key, Ended(by, code, detail[:200], self._stats))
        self._keeper.gone(self)

    @guarded
    def onCallTsxState(self, prm: Any) -> None:
        event = prm.e.body.tsxState
        tsx = event.tsx
        message = str(event.src.rdata.wholeMsg) if event.type == pjsua2.PJSIP_EVENT_RX_MSG else ""
        if tsx.role == pjsua2.PJSIP_ROLE_UAC:
            self._answered(str(tsx.method), int(tsx.statusCode), message)
        elif message:
            self._asked(str(tsx.method), message)

    def _answered(self, method: str, code: int, message: str) -> None:
        """A request of ours was answered, or timed out, which has a code and no message."""
        if method == "INVITE" and 180 <= code < 200 and message and not self._accepted:
            self._keeper.tell(self.key, Ringing(code, bool(messages.audio_port(messages.body(message)))))
        elif method == "INVITE" and code >= 200 and self._offering:
            self._offering = False
            self._keeper.tell(self.key, OfferAnswered(code))

    def _asked(self, method: str, message: str) -> None:
        """A request of the far end's within the call."""
        if method in ("CANCEL", "BYE"):
            self._detail = messages.header(message, "reason") or self._detail

    @guarded
    def onCallMediaState(self, prm: Any) -> None:
        info = self.getInfo()  # owns the list below; SWIG would not keep it alive
        audio = [media for media in info.media if media.type == pjsua2.PJMEDIA_TYPE_AUDIO]
        # Lines that are switched off stay in an SDP for ever, also before the one in use.
        audio.sort(key=lambda media: media.status not in _RUNNING)
        if audio:
            self._media_changed(audio[0])

    def _media_changed(self, media: Any) -> None:
        active = media.status in _RUNNING
        held = not media.dir & pjsua2.PJMEDIA_DIR_ENCODING
        codec, rate, addresses = "", 0, ""
        if active:
            self._stream = media.index
            stream = self.getStreamInfo(media.index)
            codec = str(stream.codecName)
            ours = self.getMedTransportInfo(media.index)
            addresses = f"ours {ours.localRtpName} theirs {stream.remoteRtpAddress}"
            rate = self._keeper.sample_rate(self.bus_leg)
        self._keeper.tell(self.key, MediaChanged(active, held, codec, rate, addresses))

    @guarded
    def onCallRxOffer(self, prm: Any) -> None:
        """A new offer within the call: refuse what has no codec of ours, and the call goes on as it was.

        PJSIP by itself would answer 500, or take a codec that this trunk does not list.
        """
        _audio_only(prm.opt)
        offered = messages.audio_codecs(prm.offer.wholeSdp)
        if self.codecs and offered and not messages.common_codecs(offered, self.codecs):
            prm.statusCode = pjsua2.PJSIP_SC_NOT_ACCEPTABLE_HERE
            self._keeper.refuse("no_common_codec")

    @guarded
    def onCallSdpCreated(self, prm: Any) -> None:
        sdp = prm.sdp.wholeSdp
        if self.codecs:
            preferred = messages.prefer_codecs(sdp, self.codecs, self._offered(prm))
            prm.sdp.wholeSdp = messages.mono_opus(preferred)
        port = messages.audio_port(sdp)
        if port:
            self.rtp_port = port
            self._keeper.sdp_made(self, port)

    def _offered(self, prm: Any) -> tuple[str, ...] | None:
        remote = prm.remSdp.wholeSdp
        return messages.audio_codecs(remote) if remote else None

    @guarded
    def onStreamDestroyed(self, prm: Any) -> None:
        self.collect_stats()

    @guarded
    def onDtmfEvent(self, prm: Any) -> None:
        """Every packet of an event comes here, but for repeated ends: who hears them tells the presses apart.

        PJSIP would by its duration, and so take a late packet for a new press, and a second press of the same
        key for the first where end packets were lost.
        """
        now = time.monotonic()
        if prm.method == pjsua2.PJSUA_DTMF_METHOD_RFC2833:
            self._keeper.tell(self.key, Digit(str(prm.digit), now, KeyKind.RTP, int(prm.timestamp)))
        else:
            seconds = min(int(prm.duration) / 1000, _LONGEST_PRESS_S)
            self._keeper.tell(self.key, Digit(str(prm.digit), now, KeyKind.INFO, seconds=seconds))

    @guarded
    def onCallTransferRequest(self, prm: Any) -> None:
        """Decline REFER: pjsua2 would accept and dial whatever number the far end names."""
        prm.statusCode = pjsua2.PJSIP_SC_DECLINE

    @guarded
    def onCallReplaceRequest(self, prm: Any) -> None:
        """Decline INVITE with Replaces: pjsua2 would hand this call to whoever knows its dialog."""
        prm.statusCode = pjsua2.PJSIP_SC_DECLINE

    def collect_stats(self) -> dict[str, int | float | str]:
        """RTP counters of the call so far; the last ones are kept when the stream goes."""
        try:
            stat = self.getStreamStat(self._stream)
        except pjsua2.Error:
            return self._stats
        self._stats = _stats(stat)
        return self._stats


def request_op(code: int = 0, headers: Iterable[Header] = (), phrase: str = "") -> Any:
    """Parameters of a request or an answer: its code, headers of ours, audio and nothing else."""
    op = pjsua2.CallOpParam(True)
    op.statusCode = code
    op.reason = phrase
    _audio_only(op.opt)
    op.txOption.headers = _header_vector(headers)
    return op


def _header_vector(headers: Iterable[Header]) -> Any:
    vector = pjsua2.SipHeaderVector()
    for name, value in headers:
        header = pjsua2.SipHeader()
        header.hName, header.hValue = name, value
        vector.append(header)
    return vector


def _audio_only(setting: Any) -> None:
    """Take and offer no line that nobody here would serve: PJSIP has real-time text on by default."""
    setting.videoCount = setting.textCount = 0


def _ender(prm: Any) -> tuple[EndedBy, str]:
    """Who ended the call by the event that did it, and the message if one came."""
    if prm.e.type != pjsua2.PJSIP_EVENT_TSX_STATE:
        return EndedBy.NOBODY, ""
    event = prm.e.body.tsxState
    if event.type == pjsua2.PJSIP_EVENT_RX_MSG:
        return EndedBy.FAR_END, event.src.rdata.wholeMsg
    return EndedBy.NOBODY, ""


def _stats(stat: Any) -> dict[str, int | float | str]:
    rx, tx, jitter = stat.rtcp.rxStat, stat.rtcp.txStat, stat.jbuf
    return {
        "rx_packets": int(rx.pkt),
        "rx_bytes": int(rx.bytes),
        "rx_lost": int(rx.loss),
        "rx_dup": int(rx.dup),
        "rx_reordered": int(rx.reorder),
        "rx_discarded": int(rx.discard),
        "rx_jitter_ms": rx.jitterUsec.mean / 1000,
        "tx_packets": int(tx.pkt),
        "tx_bytes": int(tx.bytes),
        "tx_lost": int(tx.loss),
        "rtt_ms": stat.rtcp.rttUsec.mean / 1000,
        "jitter_buffer_ms": int(jitter.avgDelayMsec),
        "jitter_buffer_lost": int(jitter.lost),
        "jitter_buffer_discarded": int(jitter.discard),
    }
