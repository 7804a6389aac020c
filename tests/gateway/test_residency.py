from __future__ import annotations

from dataclasses import dataclass

import pytest

from engines.base import Residency
from gateway.residency import residency_of, residency_of_address


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("127.0.0.1:2233", "node"), ("localhost:2233", "node"), ("[::1]:2233", "node"),
        ("unix:///run/x.sock", "node"), ("/run/x.sock", "node"), ("10.1.2.3:2233", "site"),
        ("192.168.7.7:80", "site"), ("[fd00::1]:2233", "site"), ("gpu-1:2233", "site"),
        ("asr.speech.svc.cluster.local:2233", "site"), ("asr.internal:2233", "site"),
        ("grpc.nvcf.nvidia.com:443", "cloud"), ("8.8.8.8:1", "cloud"),
        ("https://api.deepgram.com/v1", "cloud"),
        ("wss://10.0.0.1/v1/listen", "site"), ("localhost.example.com:1", "cloud"), ("[oops", "cloud"),
        ("evil.com:1/.internal", "cloud"), ("http://user@10.0.0.1@example.com/", "cloud"), ("", "cloud"),
    ],
)  # fmt: skip
def test_an_address_tells_where_an_engine_is(address: str, place: str) -> None:
    assert residency_of_address(address) == place


@dataclass(frozen=True)
class Local:
    threads: int = 1


@dataclass(frozen=True)
class Far:
    base_url: str = "https://api.example.com"
    address: str = "127.0.0.1:1"


def test_settings_tell_by_their_addresses_the_farthest_counts() -> None:
    assert residency_of(Local()) is Residency.NODE
    assert residency_of(Far()) is Residency.CLOUD


@pytest.mark.parametrize("limit", list(Residency))
@pytest.mark.parametrize("place", list(Residency))
def test_who_may_go_far_may_stay_near(limit: Residency, place: Residency) -> None:
    order = ["node", "site", "cloud"]
    assert limit.allows(place) == (order.index(place) <= order.index(limit))
    assert limit.narrower(place) == min(limit, place, key=order.index)


def test_an_engine_that_says_where_its_data_goes_is_believed() -> None:
    from engines.hosted.deepgram_asr import DeepgramAsrSettings

    assert residency_of(DeepgramAsrSettings()) is Residency.CLOUD
    assert residency_of(DeepgramAsrSettings(url="ws://10.0.0.1")) is Residency.CLOUD
    assert residency_of(DeepgramAsrSettings(url="wss://speech.example.com", data="site")) is Residency.SITE
