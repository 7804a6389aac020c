"""Signatures in place of digests. The keys are made here; the format is minisign's."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engines.models.base import ModelError, ModelUnfit
from engines.models.minisign import check, read_key, read_signature
from engines.models.settings import ModelSettings
from engines.models.store import ModelStore
from tests.fakes.model_host import Fault, ModelHost

PUBLISHED_KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
"""The example of minisign's page, by which the format is read right."""
WEIGHTS = bytes(range(256)) * 1000


class Signer:
    def __init__(self, number: bytes = b"12345678") -> None:
        self._secret, self._number = Ed25519PrivateKey.generate(), number
        public = self._secret.public_key().public_bytes_raw()
        self.key = base64.b64encode(b"Ed" + number + public).decode()

    def sign(self, content: bytes, comment: str = "en.onnx", kind: bytes = b"ED") -> bytes:
        signed = content if kind == b"Ed" else hashlib.blake2b(content).digest()
        signature = self._secret.sign(signed)
        line = base64.b64encode(kind + self._number + signature).decode()
        closing = base64.b64encode(self._secret.sign(signature + comment.encode())).decode()
        return f"untrusted comment: us\n{line}\ntrusted comment: {comment}\n{closing}\n".encode()


def test_a_signed_model_needs_no_digest(host: ModelHost, store: Callable[..., ModelStore]) -> None:
    signer = Signer()
    host.files |= {"/en.onnx": WEIGHTS, "/en.onnx.minisig": signer.sign(WEIGHTS)}
    made = store(signer=signer.key)
    entry = made.pull(host.url("/en.onnx?token=1"))
    assert entry.model.read_bytes() == WEIGHTS
    assert entry.about.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert [asked.path for asked in host.asked] == ["/en.onnx?token=1", "/en.onnx.minisig?token=1"]
    assert made.path(host.url("/en.onnx")) == entry.model
    assert len(host.asked) == 2


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        (Signer().sign(WEIGHTS), "not what the holder"),
        (Signer(b"87654321").sign(WEIGHTS), "another key"),
        (b"rubbish", "no minisign signature"),
        (b"x" * 9000, "larger than 8192"),
    ],
)
def test_a_model_that_somebody_else_signed_is_refused(
    host: ModelHost, store: Callable[..., ModelStore], signature: bytes, told: str
) -> None:
    host.files |= {"/en.onnx": WEIGHTS, "/en.onnx.minisig": signature}
    made = store(signer=Signer().key)
    with pytest.raises(ModelError, match=told):
        made.path(host.url("/en.onnx"))
    assert made.entries() == []


def test_a_model_without_its_signature_is_refused(host: ModelHost, store: Callable[..., ModelStore]) -> None:
    host.files["/en.onnx"] = WEIGHTS
    with pytest.raises(ModelError, match=r"en\.onnx\.minisig.*404"):
        store(signer=Signer().key).path(host.url("/en.onnx"))


def test_pieces_that_nobody_signed_are_fetched_whole_once(
    host: ModelHost, store: Callable[..., ModelStore]
) -> None:
    signer = Signer()
    host.files |= {"/en.onnx": WEIGHTS, "/en.onnx.minisig": signer.sign(WEIGHTS)}
    host.etags["/en.onnx"] = '"one"'
    host.faults = [Fault(cut_after=100_000)] + [Fault(status=500)] * 3
    made = store(signer=signer.key)
    with pytest.raises(ModelError):
        made.path(host.url("/en.onnx"))
    (key, _), *_ = made.parts()
    (made.folder / "partial" / f"{key}.part").write_bytes(bytes(100_000))
    assert made.path(host.url("/en.onnx")).read_bytes() == WEIGHTS


def test_the_comment_is_signed_too(tmp_path: Path) -> None:
    signer, path = Signer(), tmp_path / "en.onnx"
    path.write_bytes(WEIGHTS)
    text = signer.sign(WEIGHTS).decode()
    check(path, text, read_key(signer.key), "en.onnx", lambda done: None)
    with pytest.raises(ModelUnfit, match="not what the holder"):
        check(path, text.replace("t: en.onnx", "t: de.onnx"), read_key(signer.key), "a", lambda done: None)


def test_the_published_key_is_read_and_what_is_none_is_refused() -> None:
    assert read_key(f"untrusted comment: minisign public key\n{PUBLISHED_KEY}\n").number[::-1].hex() == (
        "e7620f1842b4e81f"
    )
    assert ModelSettings(signer=PUBLISHED_KEY)
    with pytest.raises(ValueError, match="signer"):
        ModelSettings(signer="RWshort")
    for text in ("", "RW!!", base64.b64encode(b"Xx" + bytes(40)).decode()):
        with pytest.raises(ValueError, match=r"minisign"):
            read_key(text)
    with pytest.raises(ValueError, match="current minisign"):
        read_signature(Signer().sign(WEIGHTS, kind=b"Ed").decode())
    with pytest.raises(ValueError, match="broken"):
        read_signature("untrusted comment: a\nAAAA\ntrusted comment: b\nAAAA\n")
