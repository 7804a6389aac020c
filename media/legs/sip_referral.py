"""REFER (RFC 3515): its text, and what became of one of ours out of its answer and NOTIFYs. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from media.legs import sip_messages as messages

OK = 200
_SIPFRAG = re.compile(r"\s*SIP/2\.0[ \t]+([1-6]\d\d)\b", re.IGNORECASE)
_REPLACES = re.compile(r"[?&]replaces=([^&]*)", re.IGNORECASE)
_DIALOG = re.compile(
    r"[!#-:<-~]{1,256}(;[a-z-]{1,32}(=[\w.!%*+`'~-]{1,128})?){2,4}", re.IGNORECASE | re.ASCII
)
"""A Replaces value (RFC 3891 section 6.1): a Call-ID, both tags, perhaps `early-only`."""


def sipfrag_code(message: str) -> int:
    """The code that a NOTIFY reports (RFC 3420); 0 when its body says none."""
    kind = messages.header(message, "content-type").partition(";")[0].strip().lower()
    found = _SIPFRAG.match(messages.body(message)) if kind == "message/sipfrag" else None
    return int(found[1]) if found else 0


def refer_event(message: str) -> tuple[int, bool] | None:
    """The CSeq of the REFER that a NOTIFY is about, 0 unsaid, and whether it is the last; None for others."""
    event, *more = (part.strip() for part in messages.header(message, "event").lower().split(";"))
    if event != "refer":
        return None
    number = next((part[3:] for part in more if part.startswith("id=")), "")
    state = messages.header(message, "subscription-state").partition(";")[0].strip().lower()
    return (int(number) if number.isascii() and number.isdigit() else 0), state == "terminated"


def refer_target(message: str) -> tuple[str, str]:
    """The URI of a Refer-To without the headers in it, and the Replaces among those (attended), or "".

    A Replaces that is none is taken for the whole header being unfit: ("", "").
    """
    uri = messages.bare_uri(messages.header(message, "refer-to"))
    found = _REPLACES.search(uri)
    replaces = unquote(found[1]) if found else ""
    if found and not is_dialog(replaces):
        return "", ""
    return uri.partition("?")[0], replaces


def is_dialog(replaces: str) -> bool:
    """Whether this can stand in a Replaces header."""
    tags = replaces.lower()
    return bool(_DIALOG.fullmatch(replaces)) and ";to-tag=" in tags and ";from-tag=" in tags


@dataclass(frozen=True, slots=True)
class DialogId:
    """What names a dialog of ours from outside (RFC 3891 section 3)."""

    call_id: str
    local_tag: str
    remote_tag: str
    target: str
    """URI at which its far end is reached: its Contact."""


def refer_to_replace(dialog: DialogId) -> str:
    """Refer-To for the far end of another call: call that one's far end, and take the place of our call.

    Seen from there, their own tag is the `to-tag` (RFC 3891 section 7.1).
    """
    replaces = f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag}"
    return f"<{dialog.target.partition('?')[0]}?Replaces={quote(replaces, safe='')}&Require=replaces>"


@dataclass(frozen=True, slots=True)
class ReferAnswered:
    """The final answer to our REFER (RFC 3515 section 2.4.2), or 408 when none came."""

    sip_code: int
    cseq: int
    """CSeq number of the REFER, by which its NOTIFYs may be told from others."""
    silent: bool = False
    """The far end will report nothing (`Refer-Sub: false`, RFC 4488)."""


@dataclass(frozen=True, slots=True)
class ReferNotified:
    """A NOTIFY about it (RFC 3515 section 2.4.4)."""

    sip_code: int
    """What its sipfrag says (RFC 3420), 0 when there is none."""
    cseq: int
    """`id` of its Event header, 0 without one."""
    over: bool
    """Whether it is the last (`Subscription-State: terminated`)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended."""

    sip_code: int
    """200 when the far end has gone."""
    detail: str = ""

    @property
    def gone(self) -> bool:
        """Whether the transfer is done."""
        return self.sip_code == OK


class Referral:
    """Follows one REFER. Each method returns the outcome once there is one, and only once."""

    def __init__(self, stale: frozenset[int] = frozenset()) -> None:
        """`stale` are the CSeq numbers of earlier REFERs of the call: late news of them is none of ours."""
        self.accepted = False
        self.cseq = 0
        self.codes: list[int] = []
        """What was reported so far."""
        self._stale = stale
        self._over = False

    def answered(self, answer: ReferAnswered) -> Outcome | None:
        """The far end agreed, or did not."""
        if self._over or answer.cseq in self._stale:
            return None
        self.cseq = answer.cseq
        if answer.sip_code >= 300:
            return self._end(answer.sip_code, f"the far end refused to be transferred: {answer.sip_code}")
        self.accepted = True
        return self._end(OK) if answer.silent else None

    def notified(self, news: ReferNotified) -> Outcome | None:
        """The far end reported. News may overtake the answer; it means that the far end agreed."""
        if self._over or news.cseq in self._stale:
            return None
        self.accepted = True
        if news.sip_code:
            self.codes.append(news.sip_code)
        if 200 <= news.sip_code < 300:
            return self._end(OK)
        if news.sip_code >= 300:
            return self._end(news.sip_code, f"the far end reported {news.sip_code}")
        if news.over:
            return self._end(500, "the far end stopped reporting before anybody had answered")
        return None

    def hung_up(self) -> Outcome | None:
        """The far end sent BYE: if it agreed and reported nothing that rings, it has gone."""
        if self._over:
            return None
        if self.accepted and all(code == 100 for code in self.codes):
            return self._end(OK)
        return self._end(487, "the far end hung up before the transfer was done")

    def timed_out(self) -> Outcome | None:
        """The deadline is over."""
        if self._over:
            return None
        what = "agreed, and did not report how it ended" if self.accepted else "did not answer"
        return self._end(408, f"the far end {what}")

    def lost(self, code: int) -> Outcome | None:
        """The call ended another way."""
        return None if self._over else self._end(code, "the call ended before the transfer was done")

    def _end(self, code: int, detail: str = "") -> Outcome:
        self._over = True
        return Outcome(code, detail)
