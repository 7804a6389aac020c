"""Where the licence proxy is."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.secret import Secret


@dataclass(frozen=True, slots=True)
class LicenseSettings:
    """The licence. Without a proxy Offhook is free: nothing is checked and nothing is reported."""

    proxy: str = ""
    """Address of the licence proxy, such as `http://127.0.0.1:6699` (`offhook license`); "" for none."""
    key: Secret = Secret()
    """The licence key, the same as the proxy's."""
    vendor_key: str = ""
    """The vendor's public key, the same as the proxy's."""
    folder: str = ""
    """Where the proxy's last word is kept, signed, for a start while it is away; empty: `license` in
    `node.record_dir`."""
    ask_seconds: float = 30.0
    """Between two questions to the proxy, 1 to 300; no request and no call ever waits for one."""

    def __post_init__(self) -> None:
        if self.proxy and not (self.key and self.vendor_key):
            raise ValueError("proxy: needs key and vendor_key beside it")
        if not 1 <= self.ask_seconds <= 300:
            raise ValueError("ask_seconds: must lie between 1 and 300")
