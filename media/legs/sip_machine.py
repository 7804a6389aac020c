"""PJSIP's endpoint, driven from the SIP thread: accounts, gates for new calls, and the calls themselves.

Everything in here runs on the SIP thread. Order of the gates for an INVITE: scanner, stranger and call limit
in the native guard (`media/pjsip/sip_guard.cpp`), before PJSIP makes anything of the request; then digest
proof, codecs and port quarantine here. A call that passes is announced to the loop once PJSIP is done.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import framebus
import pjsua2
import structlog

from media.legs import sip_messages as messages
from media.legs.base import LegError
from media.legs.sip_accounts import SipAccount, account_configs, open_transports, set_codecs
from media.legs.sip_call import Header, SipCall, guarded, request_op
from media.legs.sip_digest import DigestGate
from media.legs.sip_facts import Fact, Incoming, ReferAsked
from media.legs.sip_identity import parties_of
from media.legs.sip_ports import PortQuarantine
from media.legs.sip_referral import DialogId, refer_target, refer_to_replace
from media.legs.sip_settings import Refer, SipSettings, SipTransport, TrunkSettings, UnknownSource
from media.legs.sip_trunks import TrunkTable, same_peer, srtp_refusal, target_uri, uri_peer

log = structlog.get_logger(__name__)

_GUARDED = (
    "scanner",
    "stranger_dropped",
    "stranger_refused",
    "register",
    "method",
    "call_limit",
    "body",
    "srtp_unavailable",
    "merged",
)
"""The guard's counters that tell of refusals."""
_HARD_CALLS = 4_000
"""PJSUA_MAX_CALLS of our build; calls that still wait for the answer to a BYE count against it."""
_LOG_LINES_PER_S = 20
_LOG_LINE = 300
"""Characters of a line of PJSIP's log; it likes to quote whole packets."""


class Refusal(Exception):
    """An INVITE that a gate turned away."""

    def __init__(self, reason: str, code: int, headers: Iterable[Header] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.headers = tuple(headers)


@dataclass(frozen=True, slots=True)
class Dial:
    """A call to place."""

    uri: str
    trunk: TrunkSettings
    caller: str
    """User of our From; "" takes the trunk's own."""
    headers: tuple[Header, ...] = ()


class Outlet:
    """Where the machine's facts go; each callable may be called from the SIP thread."""

    def __init__(
        self,
        on_incoming: Callable[[Incoming], None],
        on_fact: Callable[[int, Fact], None],
        on_registration: Callable[[str, int], None],
    ) -> None:
        self.on_incoming = on_incoming
        self.on_fact = on_fact
        self.on_registration = on_registration


class _Endpoint(pjsua2.Endpoint):  # type: ignore[misc]
    """Chooses the account of an incoming request by its source, and counts what PJSIP itself refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.account_of: Callable[[str], int] = lambda source: 0
        self.refused: Callable[[int, str, str], None] = lambda code, message, source: None

    @guarded
    def onSelectAccount(self, prm: Any) -> None:
        prm.accountIndex = self.account_of(str(prm.rdata.srcAddress))

    @guarded
    def onRejectedIncomingCall(self, prm: Any) -> None:
        self.refused(int(prm.statusCode), str(prm.rdata.wholeMsg), str(prm.rdata.srcAddress))


class _Log(pjsua2.LogWriter):  # type: ignore[misc]
    """PJSIP's own log, passed on to ours. PJSIP owns the object once it is started.

    A sender of garbage causes a line per packet, so lines are cut short and only some per second pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._lines = 0

    @guarded
    def write(self, entry: Any) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > _LOG_LINES_PER_S:
            return
        level = "error" if entry.level <= 1 else "warning" if entry.level == 2 else "debug"
        # The first line tells what happened; packets quoted below it may hold keys that somebody pressed.
        told = str(entry.msg).strip()
        getattr(log, level)(
            "pjsip", message=(told if level == "debug" else told.partition("\n")[0])[:_LOG_LINE]
        )


class SipMachine:
    """The SIP thread's world. `Machine` of `media/legs/sip_thread.py`."""

    def __init__(self, settings: SipSettings, bus: Any, outlet: Outlet, *, registers: bool = True) -> None:
        self._refusals: Counter[str] = Counter()
        self.ports: dict[SipTransport, int] = {}
        self.calls: dict[int, SipCall] = {}
        self.early_ports = 0
        self._settings = settings
        self._bus = bus
        self._outlet = outlet
        self._registers = registers
        self._trunks = TrunkTable(settings.trunks)
        self._digest = DigestGate()
        self._guard = _guard(settings)
        self._refers = framebus.ReferGate()
        self._quarantine = PortQuarantine(settings.port_quarantine_s)
        self._accounts: dict[str, SipAccount] = {}
        self._fresh: dict[int, Incoming] = {}
        self._next_key = 1
        self._active = 0

    # --- Machine ---

    def open(self) -> None:
        """Start PJSIP. Raises `LegError` naming what could not be opened."""
        self._endpoint = _Endpoint()
        try:
            self._endpoint.libCreate()
            writer = _Log()
            writer.__disown__()
            self._endpoint.libInit(_library_config(self._settings, writer))
            self._bus.install()
            self._guard.install()
            self._refers.install()
            self._guard.set_load(0, self._settings.max_calls)
            self.ports = open_transports(self._endpoint, self._settings)
            self._endpoint.libStart()
            set_codecs(self._endpoint, self._settings)
            self._open_accounts()
        except pjsua2.Error as error:
            raise LegError(f"SIP cannot start: {error.title}: {error.reason}") from None

    def _open_accounts(self) -> None:
        for trunk, config in account_configs(self._settings, self.ports, registers=self._registers):
            account = SipAccount(trunk, self._on_incoming, self._outlet.on_registration)
            account.create(config)
            self._accounts[trunk.name if trunk else ""] = account
        ids = {name: account.getId() for name, account in self._accounts.items()}

        def account_of(source: str) -> int:
            trunk = self._trunks.match(source)
            return int(ids[trunk.name if trunk else ""])

        self._endpoint.account_of = account_of
        self._endpoint.refused = self._on_refused

    def poll(self, milliseconds: int) -> None:
        """Handle events, then announce the calls that are through."""
        self._endpoint.libHandleEvents(milliseconds)
        self._read_refers()
        if self._fresh:
            fresh, self._fresh = self._fresh, {}
            for key, incoming in fresh.items():
                if (call := self.calls.get(key)) is not None:
                    call.announced = True
                    self._outlet.on_incoming(incoming)

    def close(self) -> None:
        """End every call, drop every object on this thread, stop PJSIP."""
        for call in list(self.calls.values()):
            call.end(503)
        self.calls.clear()
        for account in self._accounts.values():
            account.shutdown()
        self._accounts.clear()
        self._endpoint.libDestroy()
        del self._endpoint

    def drain(self) -> None:
        """Tell those who ask by OPTIONS that no call is taken any more. Any thread."""
        self._guard.set_draining()

    @property
    def refusals(self) -> Counter[str]:
        """Requests turned away so far, by reason: the guard's, PJSIP's own and ours. Any thread."""
        native = {name: count for name, count in self._guard.counts().items() if name in _GUARDED}
        return Counter(native) + self._refusals

    def refuse(self, reason: str) -> None:
        """Count something that was turned away outside."""
        self._refusals[reason] += 1

    # --- incoming ---

    def _on_incoming(self, account: SipAccount, prm: Any) -> None:
        message, source = str(prm.rdata.wholeMsg), str(prm.rdata.srcAddress)
        call = self._adopt(SipCall(account, prm.callId, self, self._take_key()))
        try:
            trunk = self._admit(account.trunk, message)
            call.bus_leg = self._open_bus(prm.callId)
        except Refusal as refusal:
            self._refusals[refusal.reason] += 1
            call.respond(refusal.code, refusal.headers)
            return
        self._equip(call, trunk)
        call.reached = messages.request_uri(message)
        parties = parties_of(message, trunk.name, source)
        self._admit_call(call)
        self._fresh[call.key] = Incoming(call.key, call.bus_leg, parties, messages.header(message, "call-id"))

    def _admit(self, trunk: TrunkSettings | None, message: str) -> TrunkSettings:
        """Pass an INVITE through the gates or raise `Refusal`."""
        if trunk is None:  # the guard and the table would have to disagree
            raise Refusal("unknown_source", 403)
        if trunk.inbound_user:
            self._check_digest(trunk, message)
        if problem := self._media_problem(trunk, message):
            raise problem
        return trunk

    def _media_problem(self, trunk: TrunkSettings, message: str) -> Refusal | None:
        """Why an INVITE's offer cannot be accepted; None when it can, or when there is none."""
        sdp = messages.body(message)
        offered = messages.audio_codecs(sdp)
        if not offered:
            return None
        if not messages.common_codecs(offered, trunk.codecs or self._settings.codecs):
            return _unacceptable("no_common_codec", "305", "Incompatible media format")
        if reason := srtp_refusal(trunk.srtp, messages.keying(sdp)):
            return _unacceptable(reason, "303", "Incompatible transport protocol")
        return None

    def _check_digest(self, trunk: TrunkSettings, message: str) -> None:
        proof, now = messages.header(message, "authorization"), time.monotonic()
        if self._digest.accepts(proof, "INVITE", trunk, now):
            return
        challenge = self._digest.challenge(trunk.realm, now, stale=self._digest.is_stale(proof, now))
        reason = "digest_wrong" if proof else "digest_missing"
        raise Refusal(reason, 401, [("WWW-Authenticate", challenge)])

    def _busy(self, reason: str) -> Refusal:
        return Refusal(reason, 503, [("Retry-After", str(self._settings.retry_after_s))])

    def _open_bus(self, call_id: int) -> int:
        try:
            leg = int(self._bus.open())
        except RuntimeError:
            raise self._busy("bus_full") from None
        self._bus.bind(leg, call_id)
        return leg

    def _on_refused(self, code: int, message: str, source: str) -> None:
        """PJSIP refused an INVITE before it was shown to us; what we would have said tells why."""
        trunk = self._trunks.match(source)
        problem = self._media_problem(trunk, message) if code == 488 and trunk is not None else None
        self._refusals[problem.reason if problem else f"stack_{code}"] += 1

    def _read_refers(self) -> None:
        for news in self._refers.news():
            self._on_refer_news(*news)

    def _on_refer_news(self, kind: int, call_id: int, ticket: int, code: int, message: str) -> None:
        call = next((call for call in self.calls.values() if call.getId() == call_id), None)
        if kind == framebus.REFER_ASKED:
            self._on_refer(call, ticket, message)
        elif call is not None and kind == framebus.REFER_NOTIFIED:
            call.refer_notified(message)
        elif call is not None:
            call.refer_answered(ticket, code, message)

    def _on_refer(self, call: SipCall | None, ticket: int, message: str) -> None:
        """A far end asks to be sent elsewhere: refused, unless its trunk lets somebody be asked."""
        target, replaces = refer_target(message)
        allowed = call is not None and call.trunk is not None and call.trunk.refer is Refer.ASK
        if call is None or not allowed or not call.may_be_referred or not target:
            self._refusals["refer_denied"] += 1
            self._refers.answer(ticket, 603 if target else 400)
            return
        call.referred(ticket, messages.cseq(message))
        here = (call.reached, messages.request_uri(message))
        ours = any(same_peer(target, one) for one in here if one)
        referred_by = messages.header(message, "referred-by")
        self.tell(call.key, ReferAsked(target, replaces, referred_by, ours))

    def send_request(self, call: SipCall, method: str, headers: list[Header], body: str = "") -> int:
        """Send a request in the call's dialog whose failure is not the call's; returns its ticket."""
        kind = "message/sipfrag;version=2.0" if body else ""
        try:
            return int(self._refers.send(call.getId(), method, headers, kind, body))
        except RuntimeError as error:
            raise LegError(str(error), sip_code=503) from None

    def answer_refer(self, ticket: int, code: int) -> bool:
        """The final answer to a REFER; False when its sender has given up."""
        if code >= 300:
            self._refusals["refer_denied"] += 1
        return bool(self._refers.answer(ticket, code))

    # --- outgoing ---

    def dial(self, order: Dial, placed: Callable[[int, int], None]) -> None:
        """Place a call; `placed` learns its key and bus leg before any fact of it. Raises `LegError`."""
        if self.active >= self._settings.max_calls:
            self._refusals["call_limit"] += 1
            raise LegError("the node carries as many calls as it may", sip_code=503)
        account = self._accounts[order.trunk.name]
        call = self._adopt(SipCall(account, -1, self, self._take_key()))
        self._equip(call, order.trunk)
        call.announced = True
        self._admit_call(call)
        op = request_op(headers=order.headers)
        if order.caller:
            domain = str(account.getInfo().uri).rpartition("@")[2].rstrip(">")
            op.txOption.localUri = f"<sip:{order.caller}@{domain}>"
        try:
            call.bus_leg = int(self._bus.open())
            call.makeCall(order.uri, op)
            self._bus.bind(call.bus_leg, call.getId())
            placed(call.key, call.bus_leg)
        except (pjsua2.Error, RuntimeError) as error:
            detail = getattr(error, "reason", str(error))
            call.announced = False
            self.gone(call)
            raise LegError(f"cannot place the call: {detail}", sip_code=503) from None

    # --- transfers ---

    def transfer_target(self, call: SipCall, target: str) -> str:
        """What a REFER on this call names: a number becomes one at the far end's own host."""
        assert call.trunk is not None
        try:
            return target_uri(call.trunk, target, host=uri_peer(str(call.getInfo().remoteUri).rstrip(">")))
        except ValueError as error:
            raise LegError(str(error), sip_code=400) from None

    def replace_target(self, call: SipCall) -> str:
        """Refer-To for the far end of this call."""
        try:
            return refer_to_replace(DialogId(*self._refers.dialog(call.getId())))
        except RuntimeError as error:
            raise LegError(str(error), sip_code=481) from None

    # --- CallKeeper ---

    @property
    def active(self) -> int:
        """Calls that were admitted and are not over; refused ones do not count."""
        return self._active

    def tell(self, key: int, fact: Fact) -> None:
        """Pass a fact on, unless nobody was told of the call."""
        self._read_refers()  # what came before this must not be told after it: an answer before a BYE
        call = self.calls.get(key)
        if call is not None and call.announced:
            self._outlet.on_fact(key, fact)

    def sample_rate(self, bus_leg: int) -> int:
        """Rate of a leg's frames."""
        return int(self._bus.sample_rate(bus_leg))

    def sdp_made(self, call: SipCall, port: int) -> None:
        """Turn a call away whose port served somebody else a moment ago."""
        if not self._quarantine.is_held(port, time.monotonic()):
            return
        if call.announced:
            self.early_ports += 1
            return
        refusal = self._busy("port_quarantine")
        self._refusals[refusal.reason] += 1
        self._fresh.pop(call.key, None)
        call.respond(refusal.code, refusal.headers)

    def gone(self, call: SipCall) -> None:
        """Forget a call. This drops the last reference to it, on purpose within its last callback."""
        if self.calls.pop(call.key, None) is None:
            return
        self._count(-call.admitted)
        if call.refer_ticket is not None:
            self._refers.answer(call.refer_ticket, 481)
        self._fresh.pop(call.key, None)
        if call.rtp_port:
            self._quarantine.release(call.rtp_port, time.monotonic())
        if call.bus_leg >= 0 and not call.announced:
            self._bus.close(call.bus_leg)

    def _adopt(self, call: SipCall) -> SipCall:
        self.calls[call.key] = call
        return call

    def _equip(self, call: SipCall, trunk: TrunkSettings) -> None:
        call.codecs = trunk.codecs or self._settings.codecs
        call.trunk = trunk

    def _admit_call(self, call: SipCall) -> None:
        call.admitted = True
        self._count(1)

    def _count(self, change: int) -> None:
        self._active += change
        self._guard.set_load(self._active, self._settings.max_calls)

    def _take_key(self) -> int:
        self._next_key += 1
        return self._next_key - 1


def _unacceptable(reason: str, warning: str, text: str) -> Refusal:
    """488 that says why (RFC 3261 section 20.43)."""
    return Refusal(reason, 488, [("Warning", f'{warning} offhook "{text}"')])


def _guard(settings: SipSettings) -> Any:
    networks = [source for trunk in settings.trunks for source in trunk.sources]
    silent = settings.unknown is UnknownSource.DROP
    scanners = [scanner.lower() for scanner in settings.scanners]
    return framebus.SipGuard(networks, scanners, silent, settings.retry_after_s)


def _library_config(settings: SipSettings, writer: _Log) -> Any:
    config = pjsua2.EpConfig()
    user_agent, media, logs = config.uaConfig, config.medConfig, config.logConfig
    user_agent.userAgent = "Offhook"
    user_agent.threadCnt = 0
    user_agent.mainThreadOnly = True
    user_agent.maxCalls = min(_HARD_CALLS, 2 * settings.max_calls + 64)
    media.clockRate = media.sndClockRate = 8_000
    media.channelCount = 1
    media.audioFramePtime = framebus.BEAT_MS
    media.maxMediaPorts = 2 * settings.max_calls + 64
    media.hasIoqueue = True
    media.threadCnt = 1
    media.noVad = True
    media.ecTailLen = 0
    media.quality = 3
    logs.level = logs.consoleLevel = settings.log_level  # the writer takes the console's place
    logs.msgLogging = 0
    logs.writer = writer
    return config
