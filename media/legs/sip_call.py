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

from media.legs import sip_messages as messages
from media.legs.sip_ends import EndedBy
from media.legs.sip_facts import Accepted, Confirmed, Digit, Ended, Fact, MediaChanged

log = structlog.get_logger(__name__)

S = TypeVar("S")

Header = tuple[str, str]

_TERMINATED = 487
_RUNNING = (pjsua2.PJSUA_CALL_MEDIA_ACTIVE, pjsua2.PJSUA_CALL_MEDIA_REMOTE_HOLD)
_DTMF_UPDATE = 1
"""PJMEDIA_STREAM_DTMF_IS_UPDATE, which the binding leaves out: a later packet of a key already reported."""


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
        self.admitted = False
        self.announced = False
        self.ours = False
        self._keeper = keeper
        self._accepted = False
        self._ended = False
        self._detail = ""
        self._stream = 0
        self._stats: dict[str, int | float | str] = {}

    def respond(self, code: int, headers: Iterable[Header] = (), phrase: str = "") -> None:
        """Answer the INVITE; a final refusal counts as our end of the call."""
        self.ours = self.ours or code >= 300
        super().answer(_op(code, headers, phrase))

    def end(self, code: int, headers: Iterable[Header] = ()) -> None:
        """BYE, CANCEL or a final response, by state."""
        self.ours = True
        if self._accepted:
            self.collect_stats()
        super().hangup(_op(code, headers, ""))

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
        if event.type != pjsua2.PJSIP_EVENT_RX_MSG:
            return
        message = event.src.rdata.wholeMsg
        method = messages.method(message)
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
        codec, rate = "", 0
        if active:
            self._stream = media.index
            codec = str(self.getStreamInfo(media.index).codecName)
            rate = self._keeper.sample_rate(self.bus_leg)
        self._keeper.tell(self.key, MediaChanged(active, held, codec, rate))

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
        if prm.flags & _DTMF_UPDATE:
            return
        self._keeper.tell(self.key, Digit(str(prm.digit), time.monotonic()))

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


def _op(code: int, headers: Iterable[Header], phrase: str) -> Any:
    op = pjsua2.CallOpParam(True)
    op.statusCode = code
    op.reason = phrase
    _audio_only(op.opt)
    vector = pjsua2.SipHeaderVector()
    for name, value in headers:
        header = pjsua2.SipHeader()
        header.hName, header.hValue = name, value
        vector.append(header)
    op.txOption.headers = vector
    return op


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
