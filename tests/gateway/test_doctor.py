"""Each check of the doctor, made to fail, names what is wrong and the cure."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.api.settings import ApiSettings
from gateway.calls.registry import RegistrySettings
from gateway.config import Config
from gateway.config.engine_sections import AsrSection
from gateway.config.schema import NodeSettings
from gateway.dialplan.watch import DialplanSettings
from gateway.doctor import CHECKUPS, Patient, Unwell, report
from gateway.errors import DialplanFileError
from gateway.known_sentence import SPOKEN, understood
from gateway.loopback_call import private
from gateway.store.settings import RedisSettings
from media.legs.sip_settings import OFF, SipSettings, SipTransport, Srtp, TlsSettings, TrunkSettings


def check(name: str, config: Config) -> str:
    async def main() -> str:
        async with AsyncExitStack() as closing:
            return await CHECKUPS[name](Patient(config, closing, {}))

    return asyncio.run(main())


@contextmanager
def taken(kind: socket.SocketKind) -> Iterator[int]:
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            holder.listen(1)
        yield holder.getsockname()[1]


def test_a_healthy_machine_passes(tmp_path: Path) -> None:
    config = Config(
        node=NodeSettings(record_dir=tmp_path / "records"),
        sip=SipSettings(udp_port=0),
        api=ApiSettings(port=0),
    )
    assert "this machine only" in check("addresses", config)
    assert "RTP port pairs are free for 300 calls" in check("ports", config)
    assert str(tmp_path) in check("files", config)
    assert "echo" in check("dialplan", config)
    assert check("redis", config)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (Config(sip=SipSettings(host="192.0.2.1")), "sip.host"),
        (Config(api=ApiSettings(host="192.0.2.1")), "api.host"),
    ],
)
def test_an_address_that_is_not_ours(config: Config, field: str) -> None:
    with pytest.raises(Unwell, match="192.0.2.1 is no address of this machine") as caught:
        check("addresses", config)
    assert f"set {field} to an address of this machine" in caught.value.cure


def test_every_address_without_an_advertised_one() -> None:
    with pytest.raises(Unwell, match="no address to send audio to") as caught:
        check("addresses", Config(sip=SipSettings(host="0.0.0.0")))
    assert "sip.advertised" in caught.value.cure
    assert "the network" in check(
        "addresses", Config(sip=SipSettings(host="0.0.0.0", advertised="192.0.2.1"))
    )


@pytest.mark.parametrize(
    ("settings", "what", "cure"),
    [
        (RedisSettings(url="redis://:hush@127.0.0.1:1"), "redis://127.0.0.1:1 cannot be used", "redis.url"),
        (RedisSettings(local="process", folder="/proc/none"), "cannot be written", "redis.folder"),
    ],
)
def test_a_redis_that_cannot_be_used(settings: RedisSettings, what: str, cure: str) -> None:
    with pytest.raises(Unwell, match=what) as caught:
        check("redis", Config(redis=settings))
    assert cure in caught.value.cure and "hush" not in str(caught.value)


def test_a_sip_port_that_somebody_uses() -> None:
    with taken(socket.SOCK_DGRAM) as port:
        with pytest.raises(Unwell, match=f"127.0.0.1 port {port} cannot be had") as caught:
            check("ports", Config(sip=SipSettings(udp_port=port), api=ApiSettings(port=0)))
    assert f"grep {port}" in caught.value.cure and "sip.udp_port" in caught.value.cure


def test_an_http_port_that_somebody_uses() -> None:
    with taken(socket.SOCK_STREAM) as port:
        with pytest.raises(Unwell, match=f"port {port} cannot be had") as caught:
            check("ports", Config(sip=SipSettings(udp_port=OFF, tcp_port=0), api=ApiSettings(port=port)))
    assert "api.port" in caught.value.cure


def test_too_few_free_rtp_ports() -> None:
    with taken(socket.SOCK_DGRAM) as used:
        first = used & ~1
        sip = SipSettings(udp_port=0, rtp_first_port=first, rtp_last_port=first + 3)
        room = RegistrySettings(max_calls=2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
            holder.bind(("127.0.0.1", first if used != first else first + 2))
            with pytest.raises(Unwell, match="of 2 RTP port pairs are free for 2 calls") as caught:
                check("ports", Config(sip=sip, limits=room, api=ApiSettings(port=0)))
    assert "widen sip.rtp_first_port" in caught.value.cure


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unwell, match="cannot be written") as caught:
        check("files", Config(node=NodeSettings(record_dir=tmp_path / "file")))
    assert "node.record_dir" in caught.value.cure


def test_a_dialplan_with_mistakes(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("routes: [{name: a, match: {}, actions: [rejct]}]\n")
    with pytest.raises(DialplanFileError, match='did you mean "reject"'):
        check("dialplan", Config(dialplan=DialplanSettings(files=(tmp_path / "plan.yaml",))))


def test_an_engine_that_nobody_knows() -> None:
    config = replace(Config(), asr=AsrSection(engine="moonshin"))
    with pytest.raises(Unwell, match="no recogniser called 'moonshin'; there are: .*moonshine") as caught:
        check("engines", config)
    assert "choose another engine" in caught.value.cure


def test_no_loopback_call_without_engines() -> None:
    with pytest.raises(Unwell, match="not tried") as caught:
        check("loopback call", Config())
    assert caught.value.cure == "see above"


def test_failures_are_printed_with_their_cure_and_counted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async def good(patient: Patient) -> str:
        return "all fine"

    async def ill(patient: Patient) -> str:
        raise Unwell("it is [broken]", "mend it")

    async def cross(patient: Patient) -> str:
        raise OSError("no such thing")

    checkups = {"first": good, "second": ill, "third": cross}
    assert asyncio.run(report(Config(), checkups)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "ok    first: all fine",
        "FAIL  second: it is [broken]",
        "      cure: mend it",
        "FAIL  third: no such thing",
    ]
    assert lines[-1] == "not ready: 1 of 3 checks passed"
    assert asyncio.run(report(Config(), {"first": good})) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ready for calls: 1 of 1 checks passed"


def test_one_misheard_word_is_forgiven_three_are_not() -> None:
    assert understood(SPOKEN) and understood("the quick brown fox jumped over the lazy dog")
    assert not understood("the quick brown socks jump over the crazy dock") and not understood("")


def certificate(folder: Path, days: int) -> TlsSettings:
    """A throw-away certificate that signs itself; with negative days it ran out in the past."""
    certificate, key, request = (str(folder / f"{name}{days}.pem") for name in ("cert", "key", "request"))
    for command in (
        ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=offhook.test", "-keyout", key, "-out", request],
        ["x509", "-req", "-in", request, "-signkey", key, "-days", str(days), "-out", certificate],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], check=True, capture_output=True, timeout=30)
    return TlsSettings(certificate=certificate, key=key)


def test_every_port_that_is_taken_is_told_at_once() -> None:
    with taken(socket.SOCK_DGRAM) as udp, taken(socket.SOCK_STREAM) as api:
        with pytest.raises(Unwell) as caught:
            check("ports", Config(sip=SipSettings(udp_port=udp), api=ApiSettings(port=api)))
    assert f"port {udp} " in str(caught.value) and f"port {api} " in str(caught.value)
    assert "sip.udp_port" in caught.value.cure and "api.port" in caught.value.cure
    with pytest.raises(Unwell, match="not tried"):
        check("ports", Config(sip=SipSettings(host="192.0.2.1")))


def test_a_certificate_is_looked_at_before_peers_do(tmp_path: Path) -> None:
    def told(tls: TlsSettings) -> str:
        try:
            return check("certificates", Config(sip=SipSettings(tls_port=5061, tls=tls)))
        except Unwell as unwell:
            return f"{unwell} ({unwell.cure})"

    good, over = certificate(tmp_path, 30), certificate(tmp_path, -1)
    assert "not needed" in check("certificates", Config())
    assert re.search(r"good for (29|30) more days", told(good))
    assert "certificate has expired" in told(over)
    assert "is not there" in told(TlsSettings(certificate="/nowhere.pem"))
    assert "sip.tls.key" in told(replace(good, key="/nowhere.pem"))
    assert "KEY_VALUES_MISMATCH" in told(replace(good, key=over.key))
    (tmp_path / "text").write_text("no certificate")
    assert "cannot be used" in told(TlsSettings(certificate=str(tmp_path / "text")))


@pytest.mark.parametrize(
    ("sip", "field"),
    [
        (SipSettings(advertised="no.such.host.invalid"), "sip.advertised"),
        (SipSettings(trunks=(TrunkSettings("far", registrar="sip:a.invalid"),)), "sip.trunks.far.registrar"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(sip: SipSettings, field: str) -> None:
    with pytest.raises(Unwell, match=field):
        check("addresses", Config(sip=sip, api=ApiSettings(port=0)))


def test_the_call_to_oneself_meets_no_trunk_of_the_configuration() -> None:
    """Neither one that would register, encrypt or forbid it, nor an address that only peers can reach."""
    far = "sip:192.0.2.1"
    carrier = TrunkSettings("far", registrar=far, transport=SipTransport.TLS, srtp=Srtp.MANDATORY)
    tls = TlsSettings(certificate="/cert.pem")
    sip = SipSettings(host="0.0.0.0", advertised="192.0.2.7", tls_port=5061, tls=tls, trunks=(carrier,))
    quiet = private(sip, "PCMA")
    assert (quiet.udp_port, quiet.tcp_port, quiet.tls_port, quiet.advertised) == (0, OFF, OFF, "")
    assert quiet.codecs == ("PCMA",)
    (trunk,) = quiet.trunks
    assert (trunk.registrar, trunk.srtp, trunk.outbound) == ("", Srtp.OFF, True)
    assert trunk.sources == ("127.0.0.1",)


def test_a_check_that_breaks_does_not_hide_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    async def broken(patient: Patient) -> str:
        raise KeyError("oops")

    async def fine(patient: Patient) -> str:
        return "all is well"

    assert asyncio.run(report(Config(), {"first": broken, "second": fine})) == 1
    out = capsys.readouterr().out
    assert "FAIL  first: KeyError: 'oops'" in out and "ok    second: all is well" in out
