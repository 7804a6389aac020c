"""Which trunk a peer belongs to, and what may be dialled through it. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import TypeAlias

from media.legs.sip_messages import Keying
from media.legs.sip_settings import Srtp, TrunkSettings

_NUMBER = re.compile(r"[+*#0-9A-Za-z._\-]{1,64}(?:;[\w\-.=+]*)*\Z")
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrunkTable:
    """Answers who a source address is. The most specific network wins, so order does not matter."""

    def __init__(self, trunks: Sequence[TrunkSettings]) -> None:
        self.trunks = tuple(trunks)
        networks = [(ipaddress.ip_network(source), trunk) for trunk in trunks for source in trunk.sources]
        self._networks: list[tuple[_Network, TrunkSettings]] = sorted(
            networks, key=lambda pair: pair[0].prefixlen, reverse=True
        )

    def match(self, source: str) -> TrunkSettings | None:
        """The trunk of a source `host`, `host:port` or `[v6]:port`; None for a stranger or garbage."""
        try:
            address = ipaddress.ip_address(split_host(source)[0])
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        for network, trunk in self._networks:
            if address in network:
                return trunk
        return None

    def named(self, name: str) -> TrunkSettings | None:
        """The trunk of that name, or None."""
        return next((trunk for trunk in self.trunks if trunk.name == name), None)


def split_host(source: str) -> tuple[str, int]:
    """Host and port of `host`, `host:port`, `[v6]:port` or a bare v6 address; port 0 when there is none."""
    if source.startswith("["):
        host, _, rest = source[1:].partition("]")
        return host, _port(rest.removeprefix(":"))
    if source.count(":") == 1:
        host, _, port = source.partition(":")
        return host, _port(port)
    return source, 0


def uri_host(uri: str) -> str:
    """Host of a SIP URI, without brackets and port; "" of ""."""
    return split_host(uri.partition(":")[2].rpartition("@")[2].partition(";")[0].partition("?")[0])[0]


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _is_peer(trunk: TrunkSettings, host: str) -> bool:
    """Whether the host is the trunk's domain or lies in its networks; a name is not looked up for that."""
    if host.lower() == trunk.domain.lower() != "":
        return True
    address = "127.0.0.1" if host.lower() == "localhost" else host
    return TrunkTable((trunk,)).match(address) is not None


def srtp_refusal(policy: Srtp, offered: Keying) -> str:
    """Why an offer's encryption does not fit the trunk, as a label to count; "" when it fits."""
    if offered is Keying.FOREIGN or (offered is Keying.REQUIRED and policy is Srtp.OFF):
        return "srtp_unavailable"
    if policy is Srtp.MANDATORY and offered is not Keying.REQUIRED:
        return "srtp_required"
    return ""


def target_uri(trunk: TrunkSettings, target: str, *, host: str = "") -> str:
    """The URI to call for a number or a SIP or tel URI: a number goes to the trunk's own peer.

    `host` is where to, for a trunk that names no domain, registrar or proxy. Raises `ValueError`, in an
    operator's words.
    """
    if any(c in target for c in '\r\n<>" \t') or not target.isascii() or not target:
        raise ValueError(f"{target!r} is no number and no SIP URI")
    scheme, colon, rest = target.partition(":")
    if colon and scheme.lower() in ("sip", "sips"):
        return target
    number = rest if colon and scheme.lower() == "tel" else target
    if not _NUMBER.match(number):
        raise ValueError(f"{target!r} is no number and no SIP URI; write +4930123456 or sip:user@host")
    peer = trunk.domain or uri_peer(trunk.registrar) or uri_peer(trunk.proxy) or _only_source(trunk) or host
    if not peer:
        raise ValueError(f"trunk {trunk.name} has no domain, registrar or proxy; write sip:{number}@host")
    return f"sip:{number.partition(';')[0]}@{peer}"


def uri_peer(uri: str) -> str:
    """Host and port of a SIP URI, as they are written; "" of ""."""
    return uri.partition(":")[2].rpartition("@")[2].partition(";")[0].partition("?")[0]


def same_peer(uri: str, other: str) -> bool:
    """Whether two SIP URIs lead to the same host and port, as they are written."""
    return _host_and_port(uri) == _host_and_port(other) != ("", 0)


def _host_and_port(uri: str) -> tuple[str, int]:
    host, port = split_host(uri_peer(uri))
    secure = uri.lower().startswith("sips:") or ";transport=tls" in uri.lower()
    return host.lower(), port or (5061 if secure else 5060) if host else 0


def _only_source(trunk: TrunkSettings) -> str:
    """The trunk's peer, when its sources are one single address."""
    networks = [ipaddress.ip_network(source) for source in trunk.sources]
    if len(networks) != 1 or networks[0].num_addresses != 1:
        return ""
    address = networks[0].network_address
    return f"[{address}]" if address.version == 6 else str(address)


def dial_refusal(trunk: TrunkSettings, uri: str) -> str:
    """Why this URI may not be dialled through the trunk, in an operator's words; "" when it may."""
    if not trunk.outbound:
        return f"trunk {trunk.name} may not place calls; set outbound: true to allow it"
    scheme, _, rest = uri.partition(":")
    if scheme.lower() not in ("sip", "sips") or not rest:
        return f"{uri!r} is no SIP URI; write sip:number@host"
    if any(c in uri for c in '\r\n<>" \t') or not uri.isascii():
        return "the URI holds characters that SIP does not allow"
    number = rest.partition("@")[0] if "@" in rest else ""
    host = split_host(rest.rpartition("@")[2].partition(";")[0].partition("?")[0])[0]
    if not (trunk.registrar or trunk.proxy) and not _is_peer(trunk, host):
        return f"trunk {trunk.name} reaches its own sources only, not {host}; name a trunk that leads there"
    if trunk.prefixes and not number.startswith(trunk.prefixes):
        return f"trunk {trunk.name} may only dial numbers beginning with {', '.join(trunk.prefixes)}"
    return ""
