"""What a SIP leg knows of its media."""

from __future__ import annotations

from media.legs.sip_facts import MediaChanged


class Media:
    """What is known of the leg's media."""

    def __init__(self) -> None:
        self.accepted = False
        self.active = False
        self.held = False
        self.codec = ""
        self.sample_rate = 0
        self.addresses = ""
        """Where we want audio and where we send it."""

    def update(self, fact: MediaChanged) -> None:
        """Take over what an offer and an answer agreed on; a pause keeps the last codec."""
        self.active = self.active or fact.active
        self.held = fact.held
        self.addresses = fact.addresses or self.addresses
        self.codec = fact.codec or self.codec
        self.sample_rate = fact.sample_rate or self.sample_rate

    def stats(self) -> dict[str, int | float | str]:
        """Codec and rate, as the call's record shows them."""
        return {"codec": self.codec, "sample_rate": self.sample_rate}
