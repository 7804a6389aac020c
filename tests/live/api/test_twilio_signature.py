"""Twilio's own validator, unmodified, judges our signatures."""

from __future__ import annotations

import json
import subprocess

import pytest

from gateway.secret import Secret
from gateway.twilio_signature import signature
from tests.live.api.test_unmodified_clients import PYTHON

TOKEN = Secret("12345")
FORM = [
    ("CallSid", "CA1234567890ABCDE"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
    ("Digits", "1234"),
]

_VALIDATE = """
import json, sys
from twilio.request_validator import RequestValidator
from multidict import MultiDict
validator = RequestValidator("12345")
for url, form, signature in json.load(sys.stdin):
    print(validator.validate(url, MultiDict(form), signature))
"""


@pytest.mark.live
def test_twilios_own_validator_accepts_ours() -> None:
    cases = [
        ("wss://example.com/relay", []),
        ("wss://example.com:8443/relay?x=1", []),
        ("https://example.com/voice?a=b%20c", FORM),
        ("https://example.com/voice", [("A", "ü €"), ("B", ""), ("A", "x"), ("A", "x")]),
    ]
    told = [(url, form, signature(TOKEN, url, form)) for url, form in cases]
    told.append(("wss://example.com/other", [], signature(TOKEN, "wss://example.com/relay")))
    answer = subprocess.run(
        [str(PYTHON), "-c", _VALIDATE], input=json.dumps(told), capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["True"] * len(cases) + ["False"]
