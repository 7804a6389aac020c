"""PJSIP accounts from trunk settings: one per trunk, and one for strangers, which only ever refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pjsua2

from media.legs.sip_call import guarded
from media.legs.sip_ports import slices
from media.legs.sip_settings import OFF, SipSettings, SipTransport, Srtp, TrunkSettings
from media.legs.sip_trunks import uri_host

Ports: TypeAlias = dict[SipTransport, int]

STRANGERS = "strangers"
"""Name of the account that requests from unknown sources land on."""

_SRTP = {
    Srtp.OFF: pjsua2.PJMEDIA_SRTP_DISABLED,
    Srtp.OPTIONAL: pjsua2.PJMEDIA_SRTP_OPTIONAL,
    Srtp.MANDATORY: pjsua2.PJMEDIA_SRTP_MANDATORY,
}


class SipAccount(pjsua2.Account):  # type: ignore[misc]
    """Hands incoming calls and registration results on."""

    def __init__(
        self,
        trunk: TrunkSettings | None,
        on_incoming: Callable[[SipAccount, Any], None],
        on_registration: Callable[[str, int], None],
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self._on_incoming = on_incoming
        self._on_registration = on_registration

    @guarded
    def onIncomingCall(self, prm: Any) -> None:
        self._on_incoming(self, prm)

    @guarded
    def onRegState(self, prm: Any) -> None:
        if self.trunk is not None:
            self._on_registration(self.trunk.name, int(prm.code))


def account_configs(
    settings: SipSettings, ports: Ports, *, registers: bool = True
) -> list[tuple[TrunkSettings | None, Any]]:
    """A configuration per trunk with its own slice of the RTP range, and one for strangers last."""
    cuts = slices(settings.rtp_first_port, settings.rtp_last_port, max(1, len(settings.trunks)))
    configs: list[tuple[TrunkSettings | None, Any]] = []
    for trunk, (first, width) in zip(settings.trunks, cuts, strict=False):
        config = _base(settings, trunk.advertised or settings.advertised)
        _identity(config, settings, trunk, ports)
        if trunk.registrar and registers:
            _registration(config, trunk)
        _media(config, trunk, first, width)
        configs.append((trunk, config))
    stranger = _base(settings, settings.advertised)
    stranger.idUri = f"sip:{STRANGERS}@{_bracket(settings.advertised or settings.host)}"
    configs.append((None, stranger))
    return configs


def _base(settings: SipSettings, advertised: str) -> Any:
    config = pjsua2.AccountConfig()
    sip, call, media, nat = config.sipConfig, config.callConfig, config.mediaConfig, config.natConfig
    optional, inactive = pjsua2.PJSUA_SIP_TIMER_OPTIONAL, pjsua2.PJSUA_SIP_TIMER_INACTIVE
    call.timerUse = optional if settings.session_timer else inactive
    call.timerSessExpiresSec = settings.session_expires_s
    call.timerMinSESec = settings.session_min_s
    media.lockCodecEnabled = False
    media.srtpSecureSignaling = 0
    if ":" in settings.host:
        sip.ipv6Use = media.ipv6Use = pjsua2.PJSUA_IPV6_ENABLED_USE_IPV6_ONLY
    media.transportConfig.boundAddress = settings.host
    media.transportConfig.publicAddress = advertised
    nat.iceEnabled = False
    nat.sipOutboundUse = 0
    nat.contactRewriteUse = 0
    nat.viaRewriteUse = False
    nat.sdpNatRewriteUse = 0
    config.videoConfig.autoTransmitOutgoing = False
    return config


def _identity(config: Any, settings: SipSettings, trunk: TrunkSettings, ports: Ports) -> None:
    host = trunk.advertised or settings.advertised or settings.host
    domain = trunk.domain or _bracket(uri_host(trunk.registrar)) or _bracket(host)
    config.idUri = f"sip:{trunk.user or 'offhook'}@{domain}"
    sip = config.sipConfig
    if trunk.advertised or settings.advertised:
        port = ports.get(trunk.transport, 0)
        tail = "" if trunk.transport is SipTransport.UDP else f";transport={trunk.transport}"
        sip.contactForced = f"<sip:{trunk.user or 'offhook'}@{_bracket(host)}:{port}{tail}>"
    if trunk.proxy:
        sip.proxies.append(_with_transport(trunk.proxy, trunk.transport))
    if trunk.password:
        sip.authCreds.append(pjsua2.AuthCredInfo("digest", "*", trunk.user, 0, trunk.password))


def _registration(config: Any, trunk: TrunkSettings) -> None:
    registration = config.regConfig
    registration.registerOnAdd = True
    registration.registrarUri = _with_transport(trunk.registrar, trunk.transport)
    registration.timeoutSec = trunk.register_expires_s
    registration.retryIntervalSec = 30
    registration.firstRetryIntervalSec = 5
    registration.randomRetryIntervalSec = 5


def _media(config: Any, trunk: TrunkSettings, first: int, width: int) -> None:
    media = config.mediaConfig
    media.srtpUse = _SRTP[trunk.srtp]
    media.transportConfig.port = first
    media.transportConfig.portRange = width
    # Two nodes on one machine, or a restart, do not fight for the first ports of the range.
    media.transportConfig.randomizePort = True


def open_transports(endpoint: Any, settings: SipSettings) -> dict[SipTransport, int]:
    """Open every transport that has a port; returns the ports really bound."""
    six = pjsua2.PJSIP_TRANSPORT_IPV6 if ":" in settings.host else 0
    kinds = (
        (SipTransport.UDP, settings.udp_port, pjsua2.PJSIP_TRANSPORT_UDP | six),
        (SipTransport.TCP, settings.tcp_port, pjsua2.PJSIP_TRANSPORT_TCP | six),
        (SipTransport.TLS, settings.tls_port, pjsua2.PJSIP_TRANSPORT_TLS | six),
    )
    bound: dict[SipTransport, int] = {}
    for name, port, kind in kinds:
        if port == OFF:
            continue
        config = pjsua2.TransportConfig()
        config.port = port
        config.boundAddress = settings.host
        config.publicAddress = settings.advertised
        if name is SipTransport.TLS:
            _tls(config, settings)
        info = endpoint.transportGetInfo(endpoint.transportCreate(kind, config))
        bound[name] = int(str(info.localAddress).rpartition(":")[2])
    return bound


def _tls(config: Any, settings: SipSettings) -> None:
    tls = config.tlsConfig
    tls.certFile = settings.tls.certificate
    tls.privKeyFile = settings.tls.key or settings.tls.certificate
    tls.CaListFile = settings.tls.ca
    tls.verifyServer = settings.tls.verify_server
    tls.verifyClient = settings.tls.verify_client
    tls.requireClientCert = settings.tls.verify_client


def set_codecs(endpoint: Any, settings: SipSettings) -> None:
    """Enable exactly the codecs that some trunk uses, in the endpoint's order, and leave out the rest."""
    wanted = list(settings.codecs)
    for trunk in settings.trunks:
        wanted += [codec for codec in trunk.codecs if codec not in wanted]
    rank = {codec.lower(): 250 - i for i, codec in enumerate(wanted)}
    infos = endpoint.codecEnum2()
    for info in infos:
        name = str(info.codecId)
        endpoint.codecSetPriority(name, rank.get(name.partition("/")[0].lower(), 0))


def _with_transport(uri: str, transport: SipTransport) -> str:
    if transport is SipTransport.UDP or "transport=" in uri:
        return uri
    return f"{uri};transport={transport}"


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host
