"""Where models are kept, where they come from, and how much of everything that may take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from engines.models.digest import is_digest

GB = 1_000_000_000
_KEY = re.compile(r"RW[A-Za-z0-9+/]{54}")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The model store: model files from elsewhere, kept on this machine and shared by its workers."""

    folder: str = ""
    """Where models are kept; empty: `offhook/models` in the user's cache ($XDG_CACHE_HOME, or ~/.cache)."""
    limit_gb: float = 50.0
    """0 or more: beyond it, what was used least lately goes, but never what is in use; 0: nothing goes."""
    keep_free_gb: float = 1.0
    """0 or more: of the disk, that no download may take."""
    largest_gb: float = 30.0
    """Above 0: a larger model is refused, as it comes and as it is unpacked."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 (64 hexadecimal digits) by name or address of a model, where none is given with it."""
    signer: str = ""
    """Public key (minisign, one line) whose signature, `<address>.minisig`, stands for a missing SHA-256."""
    s3_endpoint: str = ""
    """https address of the storage that s3://bucket/key means; the bucket goes into the path."""
    s3_region: str = "us-east-1"
    """Region that requests are signed for."""
    s3_access_key: str = ""
    """Name of the key that requests are signed with; empty: they are not signed."""
    s3_secret_key: str = field(default="", repr=False)
    """The key itself."""
    token: str = field(default="", repr=False)
    """Sent as `Authorization: Bearer ...` to `token_host`, and to nobody else."""
    token_host: str = ""
    """Host that asks for the token, such as `models.example.com`."""
    ca_file: str = ""
    """PEM file with the authority to believe; empty: those of the system."""
    connect_seconds: float = 10.0
    """0.05 to 300: for a connection to come about."""
    stall_seconds: float = 30.0
    """0.05 to 600: a download that brings less than `slowest_kb` in that time is taken up anew."""
    slowest_kb: float = 16.0
    """0 or more: see `stall_seconds`."""
    tries: int = 6
    """1 to 100: in a row that bring nothing; then the download is given up."""
    total_seconds: float = 14_400.0
    """1 to 604,800: for one model, whatever happens; also for waiting while another process downloads it."""

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "limit_gb": (0.0, 1e6),
            "keep_free_gb": (0.0, 1e6),
            "largest_gb": (1e-6, 1e6),
            "connect_seconds": (0.05, 300.0),
            "stall_seconds": (0.05, 600.0),
            "slowest_kb": (0.0, 1e6),
            "tries": (1, 100),
            "total_seconds": (1.0, 604_800.0),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: give {low:g} to {high:g}")
        for name, digest in self.pins.items():
            if not is_digest(digest):
                raise ValueError(
                    f"pins: that of {name} must be 64 hexadecimal digits, as sha256sum prints them"
                )
        if self.signer and not _KEY.fullmatch(self.signer):
            raise ValueError(
                "signer: give the line that `minisign -G` prints, 56 characters beginning with RW"
            )
        if self.s3_endpoint and not _is_server(self.s3_endpoint):
            raise ValueError("s3_endpoint: give an address such as https://s3.eu-central-1.amazonaws.com")
        if bool(self.s3_access_key) != bool(self.s3_secret_key):
            raise ValueError("s3_secret_key: give s3_access_key and s3_secret_key together")
        if bool(self.token) != bool(self.token_host):
            raise ValueError("token_host: give token and token_host together")


def _is_server(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" and bool(parts.hostname) and not (parts.query or parts.username)
