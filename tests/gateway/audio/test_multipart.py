"""Multipart bodies, whole and in crumbs, good and bad."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audio.multipart import Form, read_form
from gateway.audio.settings import AudioSettings
from gateway.audio.spool import open_spool
from gateway.errors import BodyTooLarge, ClientSilent, RequestUnfit

LIMITS = AudioSettings(max_megabytes=1, upload_stall_seconds=0.2)


async def crumbs(octets: bytes, size: int) -> AsyncIterator[bytes]:
    for place in range(0, len(octets), size):
        yield octets[place : place + size]


def read(body: bytes, kind: str, size: int = 1 << 16, files: Sequence[str] = ("file",)) -> tuple[Form, bytes]:
    async def main() -> tuple[Form, bytes]:
        async with open_spool(LIMITS) as spool:
            form = await read_form(crumbs(body, size), kind, spool, LIMITS, files=files)
            return form, await asyncio.to_thread(spool.path.read_bytes)

    return asyncio.run(main())


def sent(content: bytes, fields: dict[str, str | list[str]], name: str = "file") -> tuple[bytes, str]:
    """As a real client writes it."""
    request = httpx.Request(
        "POST", "http://x/", data=fields, files={name: ("talk.wav", content, "audio/wav")}
    )
    return request.read(), request.headers["content-type"]


def by_hand(*parts: str, end: bool = True) -> bytes:
    body = "".join(f"--b\r\n{part}\r\n" for part in parts) + ("--b--\r\n" if end else "")
    return body.encode()


KIND = "multipart/form-data; boundary=b"
FIELD = 'Content-Disposition: form-data; name="x"\r\n\r\n'
FILE = 'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nsound'


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=3000), st.integers(1, 700))
def test_a_client_s_body_in_any_crumbs(content: bytes, size: int) -> None:
    body, kind = sent(content, {"model": "whisper-1", "prompt": "Grüße\r\n--b", "keywords[]": ["a", "b"]})
    form, octets = read(body, kind, size)
    assert octets == content
    assert form.file_name == "talk.wav" and form.file_type == "audio/wav"
    assert form.fields == [
        ("model", "whisper-1"), ("prompt", "Grüße\r\n--b"), ("keywords[]", "a"), ("keywords[]", "b"),
    ]  # fmt: skip


def test_a_file_may_have_no_name_and_another_field() -> None:
    form, octets = read(
        by_hand('Content-Disposition: form-data; name="audio"\r\n\r\nsound'), KIND, files=["audio"]
    )
    assert (form.file_name, octets) == ("", b"sound")


def test_no_file() -> None:
    form, octets = read(by_hand('Content-Disposition: form-data; name="model"\r\n\r\nx'), KIND)
    assert form.file_name is None and octets == b""


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (b"{}", "application/json", "multipart/form-data"),
        (b"{}", "", "multipart/form-data"),
        (by_hand(FILE), "multipart/form-data", "boundary"),
        (b"sound and nothing else", KIND, "no multipart form"),
        (by_hand(FILE, end=False), KIND, "middle of the form"),
        (b"", KIND, "middle of the form"),
        (by_hand(FILE, FILE), KIND, "only one file"),
        (by_hand(FILE.replace('"file"', '"picture"')), KIND, "picture"),
        (by_hand(*[FIELD + "1"] * 200), KIND, "128 parts"),
        (
            by_hand('Content-Disposition: form-data; name="x"\r\n\r\n' + "y" * 300_000),
            KIND,
            "fields are larger",
        ),
        (by_hand("X: " + "y" * 20_000 + "\r\n\r\n1"), KIND, "header is too long|no multipart form"),
    ],
)
def test_what_is_no_such_form(body: bytes, kind: str, told: str) -> None:
    with pytest.raises(RequestUnfit, match=told):
        read(body, kind)


def test_a_field_that_is_no_text() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n\xff\xfe\r\n--b--\r\n'
    with pytest.raises(RequestUnfit, match="model: not UTF-8"):
        read(body, KIND)


def test_too_large_a_file_and_too_much_around_it() -> None:
    body, kind = sent(bytes(1_000_001), {})
    with pytest.raises(BodyTooLarge):
        read(body, kind)
    with pytest.raises(BodyTooLarge):
        read(b"\r\n" * 1_500_000 + by_hand(FILE), KIND)


def test_a_body_that_stops_coming() -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield by_hand(FILE, end=False)
        await asyncio.sleep(10)

    async def main() -> None:
        async with open_spool(LIMITS) as spool:
            await read_form(stalls(), KIND, spool, LIMITS)

    with pytest.raises(ClientSilent):
        asyncio.run(main())


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=600))
def test_garbage_is_a_clear_error(body: bytes) -> None:
    try:
        read(b"--b\r\n" + body, KIND)
    except RequestUnfit:
        pass
