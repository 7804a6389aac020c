"""From whom to call to the URI that a trunk's request is sent to. Pure."""

from __future__ import annotations

import ipaddress

from gateway.control.guard import Permit
from gateway.errors import DialDenied
from media.legs.sip_settings import SipTransport, TrunkSettings
from media.legs.sip_trunks import TrunkTable, split_host, uri_host


def uri_of(permit: Permit, trunk: TrunkSettings | None) -> str:
    """The SIP URI of a permitted target. Raises `DialDenied` for a host that is none of the trunk's."""
    if trunk is None:
        told = f"no trunk is called {permit.rule.trunk}, but outbound.rules names it"
        raise DialDenied(told, reason="no_trunk")
    target = permit.target
    user = target.user if permit.rule.plus or not target.is_number else target.user.lstrip("+")
    host = target.host or _home(trunk)
    if not host:
        told = f"trunk {trunk.name} has no address of its own: set its domain, or call sip:number@host"
        raise DialDenied(told, reason="no_address")
    if target.host and not _is_home(trunk, target.host):
        raise DialDenied(f"trunk {trunk.name} does not lead to that host", reason="host")
    tail = "" if trunk.transport is SipTransport.UDP else f";transport={trunk.transport}"
    return f"sip:{user}@{host}{tail}"


def _home(trunk: TrunkSettings) -> str:
    """Host and port that numbers belong to, or ""."""
    for uri in (trunk.registrar, trunk.proxy):
        if uri:
            named = uri.partition(":")[2].rpartition("@")[2].partition(";")[0].partition("?")[0]
            return trunk.domain if trunk.domain and uri == trunk.proxy else named
    if trunk.domain:
        return trunk.domain
    if len(trunk.sources) == 1:
        network = ipaddress.ip_network(trunk.sources[0])
        if network.num_addresses == 1:
            address = network.network_address
            return f"[{address}]" if address.version == 6 else str(address)
    return ""


def _is_home(trunk: TrunkSettings, written: str) -> bool:
    host = split_host(written)[0].strip("[]").lower()
    names = {trunk.domain.lower(), uri_host(trunk.registrar).lower(), uri_host(trunk.proxy).lower()} - {""}
    return (
        host in names or TrunkTable((trunk,)).match("127.0.0.1" if host == "localhost" else host) is not None
    )
