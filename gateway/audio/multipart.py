"""Multipart bodies (RFC 7578): small fields in memory, the one file straight to its spool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.audio.settings import AudioSettings
from gateway.audio.spool import Spool, too_large, unstalled
from gateway.errors import RequestUnfit

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MOST_PARTS = 128
_MOST_FIELD_OCTETS = 256 * 1024
_MOST_HEADER_OCTETS = 16 * 1024
_AROUND = 1_000_000
"""Octets of a body that are neither file nor field: boundaries, headers, what stands before and after."""


@dataclass(slots=True)
class Form:
    """What a body held beside the file."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    """Name and value, in order; a name may come again."""
    file_name: str | None = None
    """As the client called it, untrusted; None: no file came."""
    file_type: str = ""


async def read_form(
    body: AsyncIterator[bytes],
    content_type: str,
    spool: Spool,
    settings: AudioSettings,
    *,
    files: Collection[str] = ("file",),
) -> Form:
    """Read the whole body; a part called one of `files` is the file and goes to the spool, which is closed.

    Raises `RequestUnfit` for what is no such form, `BodyTooLarge`, `ClientSilent`.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise RequestUnfit("the body must be multipart/form-data, with its boundary in Content-Type")
    reader = _Reader(frozenset(files))
    parser = MultipartParser(options[b"boundary"], reader.callbacks())
    around = settings.max_octets + _MOST_FIELD_OCTETS + _AROUND
    try:
        async for octets in unstalled(body, settings.upload_stall_seconds):
            around -= len(octets)
            if around < 0:
                raise too_large(settings.max_octets)
            parser.write(octets)
            await reader.hand_over(spool)
        parser.finalize()
    except FormParserError as error:
        raise RequestUnfit(f"the body is no multipart form: {error}") from None
    if not reader.ended:
        raise RequestUnfit("the body ends in the middle of the form")
    await spool.close()
    return reader.form


class _Reader:
    """Takes the parser's callbacks. One part at a time: its header, then its content."""

    def __init__(self, files: frozenset[str]) -> None:
        self.form = Form()
        self.ended = False
        self._files = files
        self._parts = 0
        self._field_octets = 0
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._is_file = False
        self._value = bytearray()
        self._pieces: list[bytes] = []

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._start_content,
            "on_part_data": lambda data, start, end: self._add(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    async def hand_over(self, spool: Spool) -> None:
        """What came of the file goes to the disk."""
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            await spool.write(piece)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise RequestUnfit(f"more than {_MOST_PARTS} parts in the form")
        self._headers = {}
        self._header = (bytearray(), bytearray())
        self._value = bytearray()

    def _add_header(self, side: int, octets: bytes) -> None:
        self._header[side].extend(octets)
        if len(self._header[0]) + len(self._header[1]) > _MOST_HEADER_OCTETS:
            raise RequestUnfit("a part's header is too long")

    def _end_header(self) -> None:
        name, value = self._header
        if len(self._headers) < 16:
            self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _start_content(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        file_name = options.get(b"filename")
        self._is_file = self._name in self._files
        if file_name is not None and not self._is_file:
            wanted = " or ".join(sorted(self._files))
            raise RequestUnfit(f"a file is not expected here; send it as {wanted}", field=self._name)
        if self._is_file:
            if self.form.file_name is not None:
                raise RequestUnfit("only one file may be sent", field=self._name)
            self.form.file_name = (file_name or b"").decode("utf-8", "replace")
            self.form.file_type = self._headers.get(b"content-type", b"").decode("latin-1")

    def _add(self, octets: bytes) -> None:
        if self._is_file:
            self._pieces.append(octets)
            return
        self._field_octets += len(octets)
        if self._field_octets > _MOST_FIELD_OCTETS:
            raise RequestUnfit(f"the form's fields are larger than {_MOST_FIELD_OCTETS} bytes")
        self._value += octets

    def _end(self) -> None:
        if not self._is_file:
            try:
                self.form.fields.append((self._name, self._value.decode("utf-8")))
            except UnicodeDecodeError:
                raise RequestUnfit("not UTF-8", field=self._name) from None

    def _finish(self) -> None:
        self.ended = True
