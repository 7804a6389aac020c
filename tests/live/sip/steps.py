"""The steps that scenarios of SIPp's are made of, as its XML; a scenario is a list of them.

A scenario calls the gateway (`invite`, `call`) or is called by it (`rings`, `respond`); `CALLER` and `CALLEE`
are how the requests of either name both ends. SIPp counts `[cseq]` up with each request but ACK and CANCEL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

Header = tuple[str, str]

CALLER = (
    "From: <sip:1001@[local_ip]:[local_port]>;tag=[pid]c[call_number]\n"
    "To: <sip:far@[remote_ip]:[remote_port]>[peer_tag_param]"
)
_NEW = CALLER.replace("[peer_tag_param]", "")
CALLEE = "From:[$us];tag=one\nTo:[$them]"
CONTACT = "Contact: <sip:1001@[local_ip]:[local_port]>"
_VARIABLES = ("us", "them", "via", "cseq", "seen")


def scenario(steps: Iterable[str]) -> str:
    """The whole file."""
    text = "\n".join(steps)
    assigned = ",".join(name for name in _VARIABLES if f'assign_to="{name}"' in text)
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<scenario name="test">',
            text,
            f'<Reference variables="{assigned}"/>' if assigned else "",
            "</scenario>",
        ]
    )


def send(message: str, *, again: bool = True) -> str:
    """Send this; `again`: until something comes back (RFC 3261 timer E, or A)."""
    repeat = ' retrans="500"' if again else ""
    return f"<send{repeat}><![CDATA[\n\n{message}\n\n]]></send>"


def sdp(direction: str = "sendrecv", *, port: str = "[media_port]") -> str:
    """Our description of the audio, with the headers that announce it."""
    return (
        "Content-Type: application/sdp\nContent-Length: [len]\n\n"
        "v=0\no=far 1 [cseq] IN IP4 [media_ip]\ns=-\nc=IN IP4 [media_ip]\nt=0 0\n"
        f"m=audio {port} RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\n"
        f"a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\na={direction}"
    )


def _body(kind: str, text: str) -> str:
    return f"Content-Type: {kind}\nContent-Length: [len]\n\n{text}" if kind else "Content-Length: 0"


def _lines(headers: Iterable[Header]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in headers)


def _request(
    method: str, uri: str, ends: str, rest: str, *, branch: str = "[branch]", number: str = "[cseq]"
) -> str:
    return (
        f"{method} {uri} SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}\n{ends}\n"
        f"Call-ID: [call_id]\nCSeq: {number} {method}\n{CONTACT}\nMax-Forwards: 70\n{rest}"
    )


# --- a scenario that calls ---


def invite(
    called: str = "silent",
    *,
    headers: Sequence[Header] = (),
    branch: str = "[branch]",
    offer: str = "",
) -> str:
    """Call this number of the gateway's; with the same branch once more, it is a repetition."""
    rest = _lines(headers) + (offer or sdp())
    return send(_request("INVITE", _uri(called), _NEW, rest, branch=branch, number="1"))


def answered() -> str:
    """It rings, it is answered, and we acknowledge."""
    return "\n".join([maybe(100, 180, 183), '<recv response="200" rrs="true"/>', ack()])


def maybe(*codes: int) -> str:
    """These responses may come before the next step's."""
    return "\n".join(f'<recv response="{code}" optional="true"/>' for code in codes)


def ack() -> str:
    """Acknowledge a 2xx."""
    return send(_request("ACK", "[next_url]", CALLER, "Content-Length: 0", number="1"), again=False)


def call(called: str = "silent", *, headers: Sequence[Header] = (), offer: str = "") -> str:
    """Call and be answered."""
    return invite(called, headers=headers, offer=offer) + answered()


def cancel(called: str, branch: str, code: int = 200) -> str:
    """Give up the INVITE that had this branch, and get this answer to that."""
    message = _request("CANCEL", _uri(called), _NEW, "Content-Length: 0", branch=branch, number="1")
    return send(message) + f'<recv response="{code}"/>'


def refused(called: str, branch: str, code: int) -> str:
    """The INVITE that had this branch gets its refusal, which we acknowledge (RFC 3261 section 17.1.1.3)."""
    message = _request("ACK", _uri(called), CALLER, "Content-Length: 0", branch=branch, number="1")
    return f'<recv response="{code}"/>\n{send(message, again=False)}'


def _uri(called: str) -> str:
    return f"sip:{called}@[remote_ip]:[remote_port]"


# --- a scenario that is called ---


def rings() -> str:
    """The gateway calls; remembers what answers to its INVITE and requests within the dialog say."""
    kept = (("To", "us"), ("From", "them"), ("Via", "via"), ("CSeq", "cseq"))
    actions = "".join(
        f'<ereg regexp=".*" search_in="hdr" header="{header}:" assign_to="{name}"/>' for header, name in kept
    )
    return f'<recv request="INVITE" rrs="true"><action>{actions}</action></recv>'


def respond(status: str, *, tag: str = "one", body: str = "Content-Length: 0") -> str:
    """Answer the INVITE, whatever came since; `tag` tells the branches of a fork apart."""
    kept = "Via:[$via]\nCall-ID: [call_id]\nCSeq:[$cseq]"
    return send(f"SIP/2.0 {status}\n{kept}\nFrom:[$them]\nTo:[$us];tag={tag}\n{CONTACT}\n{body}", again=False)


# --- both ---


def expect(method: str, header: str = "", pattern: str = "") -> str:
    """This request comes; with `header`, its value fits the regular expression."""
    if not header:
        return f'<recv request="{method}"/>'
    check = f'<ereg regexp={quoteattr(pattern)} search_in="hdr" header="{header}:" check_it="true"'
    return f'<recv request="{method}"><action>{check} assign_to="seen"/></action></recv>'


def described(code: int) -> str:
    """This response to our INVITE comes, with a description of audio."""
    check = '<ereg regexp="m=audio" search_in="body" check_it="true" assign_to="seen"/>'
    return f'<recv response="{code}"><action>{check}</action></recv>'


def answer(status: str, *, body: str = "Content-Length: 0") -> str:
    """Answer the request that came last."""
    kept = "\n".join(f"[last_{name}:]" for name in ("Via", "From", "To", "Call-ID", "CSeq"))
    return send(f"SIP/2.0 {status}\n{kept}\n{CONTACT}\n{body}", again=False)


def reoffered(direction: str) -> str:
    """The gateway offers anew, and we answer with this direction."""
    return expect("INVITE") + answer("200 OK", body=sdp(direction)) + expect("ACK")


def request(
    method: str,
    *,
    headers: Sequence[Header] = (),
    kind: str = "",
    text: str = "",
    code: int = 200,
    ends: str = CALLER,
) -> str:
    """Send a request within the dialog and get this answer to it."""
    message = _request(method, "[next_url]", ends, _lines(headers) + _body(kind, text))
    return send(message) + f'<recv response="{code}"/>'


def notify(report: str, *, state: str = "active;expires=60") -> str:
    """Report on a REFER (RFC 3515 section 2.4.4)."""
    headers = (("Event", "refer"), ("Subscription-State", state))
    return request("NOTIFY", headers=headers, kind="message/sipfrag;version=2.0", text=report)


def bye(*, ends: str = CALLER) -> str:
    """Hang up."""
    return request("BYE", ends=ends)


def hung_up_on() -> str:
    """The gateway hangs up."""
    return expect("BYE") + answer("200 OK")


def pause(seconds: float) -> str:
    """Wait."""
    return f'<pause milliseconds="{round(seconds * 1000)}"/>'


def play(ulaw: Path) -> str:
    """Stream a file of bare µ-law codes once, beside what follows."""
    return f'<nop><action><exec rtp_stream="{ulaw},1,0"/></action></nop>'


def play_pcap(path: Path) -> str:
    """Send the UDP payloads of a capture with its timing, beside what follows; needs raw sockets."""
    return f'<nop><action><exec play_pcap_audio="{path}"/></action></nop>'
