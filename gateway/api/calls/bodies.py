"""What may be asked of the call-control API; the description at `/docs` is made of these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.calls.orders import LONGEST_TEXT
from gateway.control.dialer import LONGEST_RING, RING_SECONDS

Target = Annotated[str, Field(min_length=1, max_length=256, examples=["+4930901820"])]
Seconds = Annotated[float, Field(ge=1, le=LONGEST_RING)]
Name = Annotated[str, Field(max_length=128)]


class Body(BaseModel):
    """An unknown field is a mistake."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Detection(Body):
    """Find out who answered."""

    mode: Literal["first", "greeting_end", "beside"] = Field(
        "first",
        description="`first`: before anything is said; `greeting_end`: wait for a machine's beep, too; "
        "`beside`: the call goes on meanwhile and events tell.",
    )
    hang_up: bool = Field(False, description="On machines and faxes; not with `beside`.")


class PlaceCall(Body):
    """A call to place. One of `route`, `agent`, `say` tells what happens once it is answered; without any
    of them the call waits for orders."""

    to: Target = Field(description="A number, or a SIP or tel URI.")
    from_: Name = Field(
        "", alias="from", description="Calling number to show; empty: the rule's, or the trunk's."
    )
    trunk: Name = Field("", description="Empty: the first whose rule allows the number.")
    ring_seconds: Seconds = Field(RING_SECONDS, description="How long it may ring.")
    route: Name = Field("", description="A route of the dialplan, by its name.")
    agent: Name = Field("", description="An agent, by its name in the configuration.")
    say: str = Field("", max_length=2000, description="A text to speak; then we hang up.")
    detection: Detection | None = Field(None, description="Answering-machine detection; none without it.")
    idempotency_key: Name = Field(
        "", description="The same key places one call only, and is answered with it. Or as header."
    )


class SayBody(Body):
    """Speak a text."""

    text: str = Field(min_length=1, max_length=LONGEST_TEXT)
    interrupt: bool = Field(False, description="Do not wait for what is being said.")


class PlayBody(Body):
    """Play a sound: one of `file` and `url`."""

    file: Name = Field("", description="A WAV file in the folder `control.sounds`.")
    url: str = Field("", max_length=4096, description="An address of a sound file of any usual format.")
    interrupt: bool = Field(False, description="Do not wait for what is being said.")


class DigitsBody(Body):
    """Press keys."""

    digits: str = Field(pattern=r"^[0-9*#A-Da-dwW]{1,64}$", description="`w` waits half a second.")


class MuteBody(Body):
    """Let nobody here hear the far end."""

    on: bool = True


class TransferBody(Body):
    """Send the far end elsewhere by REFER."""

    to: Target
    seconds: Annotated[float, Field(ge=1, le=180)] = 30.0


class AttendedBody(Body):
    """Connect the far end with that of another call, by REFER with Replaces."""

    call_id: Name
    seconds: Annotated[float, Field(ge=1, le=180)] = 30.0


class BridgeBody(Body):
    """Connect with another call of this node (`call_id`), or with somebody who is called (`to`)."""

    call_id: Name = ""
    to: Annotated[str, Field(max_length=256)] = ""
    trunk: Name = ""
    from_: Name = Field("", alias="from")
    ring_seconds: Seconds = RING_SECONDS


class RouteBody(Body):
    """Leave what the call is doing for another route of the dialplan, or for another agent."""

    route: Name = ""
    agent: Name = ""
    handoff: Annotated[str, Field(max_length=4000)] = ""


class HangUpBody(Body):
    """End the call."""

    cause: Annotated[int, Field(ge=0, le=127)] = Field(0, description="Q.850; 0 takes the one that fits.")


class Placed(BaseModel):
    """A call that is being set up."""

    call_id: str


class Obeyed(BaseModel):
    """An order that was taken."""

    order_id: str
    done: bool = Field(
        description="False: it is under way; `call.order_done` or `call.order_refused` will tell."
    )
