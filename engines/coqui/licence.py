"""Under which terms a voice may be used; nothing is fetched or loaded that needs a consent nobody gave."""

from __future__ import annotations

from dataclasses import dataclass

from engines.base import EngineRefused

CPML = "CPML-1.0"
"""The Coqui Public Model License 1.0.0, under which the published XTTS weights are."""
_SUMMARY = {
    CPML: "the Coqui Public Model License 1.0.0: non-commercial use only, of them and of what they speak",
}
UNKNOWN = "not stated"


@dataclass(frozen=True, slots=True)
class Licence:
    """What the operator says of the weights."""

    name: str
    """An identifier such as "CPML-1.0" or "CC0-1.0"; "" when nobody said."""
    accepted: str = ""
    """The identifier again, once the operator has accepted its terms."""

    @property
    def shown(self) -> str:
        """For logs, health and whoever asks."""
        return self.name or UNKNOWN

    def require(self, field: str) -> None:
        """Raise `EngineRefused`, naming the configuration's field, unless the terms were accepted."""
        if self.name and self.accepted == self.name:
            return
        terms = _SUMMARY.get(self.name, self.shown)
        raise EngineRefused(
            f"{field} is {self.accepted!r}: these weights are under {terms}. They are neither fetched nor "
            f"loaded before you accept that: read the terms and set {field}: {self.name}"
        )
