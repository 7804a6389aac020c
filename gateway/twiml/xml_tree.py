"""XML octets to a small tree that knows its lines. No DTD, no entities of its own, bounded in every way."""

from __future__ import annotations

import xml.sax.handler
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from xml.sax import SAXParseException

import defusedxml.sax
from defusedxml.common import DefusedXmlException

from gateway.errors import TwimlUnfit

if TYPE_CHECKING:
    from xml.sax.xmlreader import AttributesImpl, Locator

MOST_OCTETS = 64 * 1024
"""Of one document; what Twilio takes."""
MOST_ELEMENTS = 1000
DEEPEST = 16
"""Elements within elements; Twilio's own documents need four, SSML within Say a few more."""

_MALFORMED = 12100
_TOO_LARGE = 11750


@dataclass(slots=True)
class Element:
    """One element: its name, where it stands, its attributes, and text and elements in their order."""

    name: str
    line: int
    attributes: dict[str, str]
    content: list[Child] = field(default_factory=list)

    @property
    def elements(self) -> Iterator[Element]:
        return (child for child in self.content if isinstance(child, Element))

    @property
    def text(self) -> str:
        """Its own text, that of elements within left out, with single spaces."""
        return " ".join("".join(child for child in self.content if isinstance(child, str)).split())


Child: TypeAlias = Element | str


def read_tree(octets: bytes) -> Element:
    """The outermost element. Raises `TwimlUnfit` for what is too large, too deep or no XML."""
    if len(octets) > MOST_OCTETS:
        raise TwimlUnfit(f"the document has more than {MOST_OCTETS // 1024} KB", code=_TOO_LARGE)
    builder = _Builder()
    try:
        defusedxml.sax.parseString(octets.lstrip(), builder, forbid_dtd=True)
    except SAXParseException as error:
        line = error.getLineNumber() or 0
        raise TwimlUnfit(f"no XML: {error.getMessage()}", line=line, code=_MALFORMED) from None
    except DefusedXmlException:
        raise TwimlUnfit("a DTD or an entity of its own is never read", code=_MALFORMED) from None
    except (LookupError, ValueError) as error:  # an encoding nobody knows
        raise TwimlUnfit(f"no XML: {error}", code=_MALFORMED) from None
    assert builder.root is not None  # a document without one is a parse error
    return builder.root


class _Builder(xml.sax.handler.ContentHandler):
    def __init__(self) -> None:
        super().__init__()
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0
        self._where: Locator | None = None

    def setDocumentLocator(self, locator: Locator) -> None:
        self._where = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        line = (self._where.getLineNumber() if self._where is not None else 0) or 0
        self._count += 1
        if self._count > MOST_ELEMENTS:
            raise TwimlUnfit(f"more than {MOST_ELEMENTS} elements", line=line, code=_MALFORMED)
        if len(self._open) >= DEEPEST:
            raise TwimlUnfit(f"elements stand more than {DEEPEST} deep", line=line, code=_MALFORMED)
        element = Element(name, line, dict(attrs.items()))
        if self._open:
            self._open[-1].content.append(element)
        else:
            self.root = element
        self._open.append(element)

    def endElement(self, name: str) -> None:
        self._open.pop()

    def characters(self, content: str) -> None:
        if self._open:
            self._open[-1].content.append(content)
