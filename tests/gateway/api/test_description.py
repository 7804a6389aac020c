"""The API's description, and everything that it allows thrown at the API."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fakes.asr import ScriptedAsr
from tests.fakes.speech_api import speech_api, speech_parts
from tests.fakes.tts import ToneTts

PARTS = speech_parts(asr=ScriptedAsr([], takes=0.0), tts=ToneTts(takes=0.0))
API = speech_api(PARTS)
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", API)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@SCHEMA.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_whatever_the_description_allows_is_answered_as_it_says(case: Any) -> None:
    case.call_and_validate(checks=CHECKS)


def test_every_address_is_described_with_its_errors() -> None:
    described = API.openapi()["paths"]
    speech = {path: methods for path, methods in described.items() if path.startswith(("/v1/", "/waves/"))}
    assert {"/v1/listen", "/v1/speak", "/v1/models", "/v1/audio/speech", "/waves/v1/tts"} <= set(speech)
    for path, methods in described.items():
        for method, operation in methods.items():
            assert operation.get("description") or operation.get("summary"), (path, method)
            assert operation.get("tags"), (path, method)


@pytest.mark.parametrize("path", ["/v1/listen", "/v1/speak", "/waves/v1/stt/", "/waves/v1/tts"])
def test_bodies_are_described(path: str) -> None:
    assert API.openapi()["paths"][path]["post"]["requestBody"]["content"]
