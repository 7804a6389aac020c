"""Twilio's own validator and builder, unmodified, against what we sign and read."""

from __future__ import annotations

import asyncio
import json
import subprocess

import pytest

from gateway.audio.outbound import Outbound
from gateway.audio.settings import FetchSettings
from gateway.errors import AppFailed
from gateway.secret import Secret
from gateway.twiml.answer import document_of
from gateway.twiml.client import RETRIEVAL, AppClient, Ask, trusting
from gateway.twiml.form import CallFields, CallStatus
from gateway.twiml.read import read_document
from gateway.twiml.settings import TwimlSettings
from gateway.twiml.verbs import Say
from tests.gateway.twiml.test_read import BUILT, MEANT
from tests.live.gateway.twilio_app import CLIENTS, PYTHON, TOKEN, TwilioApp

pytestmark = pytest.mark.live

FIELDS = CallFields("CA" + "0" * 32, "AC" + "1" * 32, "+4930123", "sip:100@example.com", "inbound", "Ada ü ☎")


def client(token: str) -> AppClient:
    everywhere = Outbound(FetchSettings(allow=("127.0.0.0/8",)))
    return AppClient(TwimlSettings(auth_token=Secret(token)), Outbound(FetchSettings()), everywhere)


def test_twilios_validator_believes_what_we_sign() -> None:
    with TwilioApp() as app:

        async def main() -> None:
            asking, visit = client(TOKEN), trusting([app.url])
            form = FIELDS.form(CallStatus.RINGING, (("Digits", ""), ("SpeechResult", "a & b = c+d %")))
            for method in ("POST", "GET"):
                for path in ("/hello", "/hello?a=1&b=%20x", "/redirect"):
                    reply = await asking.ask(Ask(app.url + path, method, form), visit)
                    assert document_of(reply).verbs
            with pytest.raises(AppFailed) as raised:
                await client("wrong").ask(Ask(f"{app.url}/hello", "POST", form), trusting([app.url]))
            assert raised.value.code == RETRIEVAL

        asyncio.run(main())
        app.forms("/hello", 5)
        assert [one["valid"] for one in app.asked] == [True] * 6 + [False]
        assert app.asked[0]["form"]["CallerName"] == "Ada ü ☎"
        assert app.asked[0]["cookies"] == "" and app.asked[1]["cookies"] == "visit=7"


def test_without_leave_no_app_of_this_machine_is_asked() -> None:
    with TwilioApp() as app:

        async def main() -> None:
            await client(TOKEN).ask(Ask(f"{app.url}/hello"), trusting([]))

        with pytest.raises(AppFailed, match="not a public address"):
            asyncio.run(main())
        assert app.asked == []


def test_todays_builder_makes_what_the_golden_file_holds() -> None:
    command = [str(PYTHON), str(CLIENTS / "twiml_builder.py")]
    made = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert made == BUILT
    for name, document in made.items():
        assert read_document(document.encode()).verbs == (MEANT[name],)
    assert isinstance(MEANT["say"], Say)
