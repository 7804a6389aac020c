"""Would peers accept our TLS certificate? PJSIP itself says nothing until the first of them has failed."""

from __future__ import annotations

import os
import ssl

from media.legs.sip_settings import TlsSettings


class CertificateUnfit(Exception):
    """What is wrong with it, and the cure."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(what)
        self.cure = cure


class CertificateDistrusted(CertificateUnfit):
    """It loads, and peers that look at it will not like it; those that do not look can still call."""


def certificate_end(tls: TlsSettings) -> float:
    """When the certificate runs out, in seconds since 1970. Blocks on files. Raises `CertificateUnfit`."""
    for field, file in (("certificate", tls.certificate), ("key", tls.key), ("ca", tls.ca)):
        if file and not os.access(file, os.R_OK):
            what = "cannot be read by this user" if os.path.exists(file) else "is not there"
            raise CertificateUnfit(
                f"{file} {what}", f"name a PEM file that this user can read in sip.tls.{field}"
            )
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # only its dates are in doubt here
    try:
        server.load_cert_chain(tls.certificate, tls.key or tls.certificate)
        client.load_verify_locations(tls.certificate)
        if tls.ca:
            server.load_verify_locations(tls.ca)
    except ssl.SSLError as error:
        cure = "name PEM files in sip.tls: the certificate with its chain, and the key that belongs to it"
        raise CertificateUnfit(f"the TLS files cannot be used: {error.reason or error}", cure) from None
    try:
        return ssl.cert_time_to_seconds(_seen_by_peer(server, client))
    except ssl.SSLCertVerificationError as error:
        raise CertificateDistrusted(
            f"{tls.certificate}: {error.verify_message}", "get a certificate that is good today"
        ) from None


def _seen_by_peer(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """The end of the certificate as a peer reads it in a handshake, done in memory."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)]
    waiting = ends
    while waiting:
        waiting = [end for end in waiting if not _went_on(end)]
    return str((ends[0].getpeercert() or {})["notAfter"])


def _went_on(end: ssl.SSLObject) -> bool:
    """One step of a handshake; True when it is over."""
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
