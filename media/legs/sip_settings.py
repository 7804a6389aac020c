"""Settings of the SIP side: sockets, media, limits and trunks. Pure data, checked when it is made."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum

CODECS = ("PCMU", "PCMA", "opus", "G722")
"""Names that `codecs` may hold, spelled as in SDP's rtpmap (RFC 4566 section 6)."""

OFF = -1
"""A port that is not opened; 0 asks the system for a free one."""


class Srtp(StrEnum):
    """Whether a trunk's audio is encrypted with SRTP, keys carried in SDP (RFC 4568)."""

    OFF = "off"
    OPTIONAL = "optional"
    """Taken when the far end offers it; offered in a way that it may refuse."""
    MANDATORY = "mandatory"
    """A call without it is refused with 488."""


class Refer(StrEnum):
    """What a peer's REFER gets, which asks us to call somebody else in its place."""

    DENY = "deny"
    """603, counted as `refer_denied`: whoever can call us must not make us dial."""
    ASK = "ask"
    """Whatever serves the call decides, within a few seconds."""


class SipTransport(StrEnum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class UnknownSource(StrEnum):
    """What a peer hears that no trunk knows."""

    DROP = "drop"
    """Nothing at all: a scanner learns neither that we exist nor what we are."""
    REFUSE = "refuse"
    """403, which an honest but misconfigured peer can understand."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Certificates of the TLS transport. Paths are read once, when the endpoint starts."""

    certificate: str = ""
    """PEM file with our certificate and its chain; required when the TLS port is on."""
    key: str = ""
    """PEM file with its private key; "" when the certificate's file holds it too."""
    ca: str = ""
    """PEM file with the authorities that peers are checked against; "" means the system's own."""
    verify_server: bool = True
    """Check the certificate of a peer we connect to."""
    verify_client: bool = False
    """Ask connecting peers for a certificate and refuse those without a valid one (mutual TLS)."""


@dataclass(frozen=True, slots=True)
class TrunkSettings:
    """One peer: who it is, how it proves that, and what it may do."""

    name: str
    """Name in logs, metrics and dialplans; letters, digits, dash and underscore."""
    sources: tuple[str, ...] = ()
    """Networks (CIDR) or addresses that its requests come from; the longest match wins."""
    realm: str = "offhook"
    """Realm of the challenge to its INVITEs; used when `inbound_user` is set."""
    inbound_user: str = ""
    """User that its INVITEs must prove by digest (RFC 3261 section 22); "" trusts the address alone."""
    inbound_password: str = field(default="", repr=False)
    """Password of `inbound_user`."""
    registrar: str = ""
    """SIP URI to register at, such as `sip:example.net`; "" for none."""
    register_expires_s: int = 300
    """Lifetime asked of a registration, 30 to 86,400 seconds; refreshed before it ends."""
    proxy: str = ""
    """SIP URI that requests go through first (`sip:sbc.example.net:5060;lr`); "" for none."""
    user: str = ""
    """Our user name at the peer: in From, Contact and outgoing digest authentication."""
    password: str = field(default="", repr=False)
    """Password of `user` for registration and outgoing calls."""
    domain: str = ""
    """Host of our address of record at the peer; "" takes the registrar's host, else our own address."""
    transport: SipTransport = SipTransport.UDP
    """Transport of requests that we send to it; incoming ones may use any that is open."""
    advertised: str = ""
    """Address written into Contact and SDP toward it, when it sees us behind NAT; "" takes the endpoint's."""
    codecs: tuple[str, ...] = ()
    """Codecs in our order of preference; () takes the endpoint's order."""
    srtp: Srtp = Srtp.OFF
    """Off, optional or mandatory."""
    outbound: bool = False
    """Whether calls may be placed through it. Off, because a stolen dialplan pays premium numbers. A trunk
    without registrar and proxy reaches its own domain and sources only."""
    prefixes: tuple[str, ...] = ()
    """Beginnings of the numbers that may be dialled through it; () allows all, once `outbound` is on."""

    refer: Refer = Refer.DENY
    """Whether its far ends may ask to be transferred (inbound REFER, RFC 3515): deny, or ask."""
    dtmf_inband: bool = False
    """Listen for keys in the audio too, for peers that send neither RTP events nor INFO."""

    def __post_init__(self) -> None:
        if not self.name or not all(c.isalnum() or c in "-_" for c in self.name):
            raise ValueError(f"name: {self.name!r} must be letters, digits, dashes and underscores")
        _networks(self.sources)
        _codecs(self.codecs)
        if self.inbound_user and not self.inbound_password:
            raise ValueError(f"inbound_password: trunk {self.name} has inbound_user but no password; set one")
        _span("register_expires_s", self.register_expires_s, 30, 86_400)


def _local() -> tuple[TrunkSettings, ...]:
    return (TrunkSettings(name="local", sources=("127.0.0.0/8", "::1/128"), outbound=True),)


@dataclass(frozen=True, slots=True)
class SipSettings:
    """The SIP endpoint of this process."""

    host: str = "127.0.0.1"
    """Address that SIP and RTP sockets are bound to; loopback until somebody opens it on purpose."""
    udp_port: int = 5060
    """UDP port, 1 to 65535; 0 takes a free one, -1 opens none."""
    tcp_port: int = OFF
    """TCP port, as above."""
    tls_port: int = OFF
    """TLS port, as above; needs `tls.certificate`."""
    tls: TlsSettings = field(default_factory=TlsSettings)
    """Certificates for the TLS port."""
    advertised: str = ""
    """Address written into Contact and SDP when peers see another one than `host`; "" for none."""
    rtp_first_port: int = 20_000
    """First port of the RTP range, even; each call takes two (RTP and RTCP)."""
    rtp_last_port: int = 39_999
    """Last port of the range; trunks share it in equal slices, so that none can starve another."""
    port_quarantine_s: float = 30.0
    """Seconds (0 to 600) before a finished call's port serves again, so that nobody hears the last caller."""
    codecs: tuple[str, ...] = CODECS
    """Codecs offered and accepted, in our order of preference, for trunks without an order of their own."""
    dtmf_rtp: bool = True
    """Send keys as RTP events (RFC 4733) when the far end takes them; they are always understood."""
    dtmf_info: bool = True
    """Send keys by SIP INFO when RTP events are off or the far end does not take them."""
    session_timer: bool = True
    """Detect vanished peers by session timers (RFC 4028)."""
    session_expires_s: int = 1_800
    """Session interval we ask for, 90 to 86,400 seconds; half of it passes between refreshes."""
    session_min_s: int = 90
    """Shortest interval we accept (Min-SE), 90 or more by RFC 4028 section 5."""
    max_calls: int = field(default=300, metadata={"follows": "limits.max_calls"})
    """Calls at once, 1 to 2,000; the next one gets 503 with Retry-After."""
    retry_after_s: int = field(default=5, metadata={"follows": "limits.retry_after"})
    """Seconds (1 to 3,600) that a refused peer is asked to wait."""
    answer_timeout_s: float = 40.0
    """Longest wait (1 to 180 s) for an answer of ours to be acknowledged with media."""
    ack_timeout_s: float = 32.0
    """Longest wait (1 to 64 s) for the ACK of our answer; RFC 3261 section 13.3.1.4 says 32."""
    transfer_return_s: float = 5.0
    """Seconds (1 to 60) for a far end to be heard again after a transfer that failed, before its call ends as
    `media_lost`; at half of them it is asked by re-INVITE. 0 waits as long as for any silence."""
    unknown: UnknownSource = UnknownSource.REFUSE
    """What a source without a trunk gets."""
    scanners: tuple[str, ...] = (
        "friendly-scanner",
        "sipvicious",
        "sundayddr",
        "sip-scan",
        "sipcli",
        "vaxsipuseragent",
        "pplsip",
        "sipsak",
        "iwar",
        "voipscan",
        "smap",
        "svmap",
        "svwar",
        "svcrack",
        "eyebeam-scan",
    )
    """Beginnings or parts of User-Agent values that are always dropped, lower case."""
    trunks: tuple[TrunkSettings, ...] = field(default_factory=_local)
    """Known peers. The default trusts the machine itself and nobody else."""
    log_level: int = 1
    """How much of PJSIP's own log is passed on, 0 (nothing) to 4; its messages may name addresses."""

    def __post_init__(self) -> None:
        ipaddress.ip_address(self.host)
        for name in ("udp_port", "tcp_port", "tls_port"):
            _span(name, getattr(self, name), OFF, 65_535)
        if self.udp_port == self.tcp_port == self.tls_port == OFF:
            raise ValueError("udp_port: every transport is off; open at least one")
        if self.tls_port != OFF and not self.tls.certificate:
            raise ValueError("tls.certificate: the TLS port is on; name a PEM file or set tls_port to -1")
        _span("port_quarantine_s", self.port_quarantine_s, 0, 600)
        _span("session_expires_s", self.session_expires_s, 90, 86_400)
        _span("session_min_s", self.session_min_s, 90, self.session_expires_s)
        _span("max_calls", self.max_calls, 1, 2_000)
        _span("retry_after_s", self.retry_after_s, 1, 3_600)
        _span("answer_timeout_s", self.answer_timeout_s, 1, 180)
        _span("ack_timeout_s", self.ack_timeout_s, 1, 64)
        if self.transfer_return_s:
            _span("transfer_return_s", self.transfer_return_s, 1, 60)
        _span("log_level", self.log_level, 0, 4)
        _codecs(self.codecs)
        if not self.codecs:
            raise ValueError("codecs: at least one codec is needed")
        self._check_trunks()
        self._check_ports()

    def _check_trunks(self) -> None:
        names = [trunk.name for trunk in self.trunks]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"trunks: the name {min(twice)!r} is used twice; give each its own")
        for trunk in self.trunks:
            port = {"udp": self.udp_port, "tcp": self.tcp_port, "tls": self.tls_port}[trunk.transport]
            if (trunk.registrar or trunk.proxy) and port == OFF:
                raise ValueError(f"trunks.{trunk.name}.transport: the {trunk.transport} port is off; open it")

    def _check_ports(self) -> None:
        _span("rtp_first_port", self.rtp_first_port, 1_024, 65_534)
        _span("rtp_last_port", self.rtp_last_port, self.rtp_first_port + 1, 65_535)
        if self.rtp_first_port % 2:
            raise ValueError("rtp_first_port: must be even, RTP takes even ports (RFC 3550 section 11)")
        pairs = (self.rtp_last_port - self.rtp_first_port + 1) // 2
        if pairs < 2 * len(self.trunks):
            raise ValueError(f"rtp_last_port: {pairs} port pairs are too few for the trunks; raise it")


def _span(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}: {value} is out of range; set {low} to {high}")


def _codecs(codecs: tuple[str, ...]) -> None:
    for codec in codecs:
        if codec not in CODECS:
            raise ValueError(f"codecs: {codec!r} is unknown; choose from {', '.join(CODECS)}")


def _networks(sources: tuple[str, ...]) -> None:
    for source in sources:
        try:
            ipaddress.ip_network(source)
        except ValueError as error:
            raise ValueError(f"sources: {source!r} is no network ({error}); write 192.0.2.0/24") from None
