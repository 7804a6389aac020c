"""How an app is asked: signed, in time, tried again by Twilio's rules, no further than it may go."""

from __future__ import annotations

import asyncio
import base64

import pytest

from gateway import twilio_signature
from gateway.errors import AppFailed, FetchFailed, FetchRefused, Unreachable
from gateway.secret import Secret
from gateway.twiml.client import (
    MANY_REDIRECTS,
    NO_CONNECTION,
    RETRIEVAL,
    TOO_LARGE,
    AppClient,
    Ask,
    Reply,
    Visit,
    origin,
    trusting,
)
from gateway.twiml.overrides import Manner, split
from gateway.twiml.settings import TwimlSettings
from tests.fakes.twilio_app import Asked, Said, ScriptedApp, twiml
from tests.virtual_time import run_virtual

URL = "https://app.example.com/voice"
TOKEN = Secret("0123456789abcdef0123456789abcdef")
FIELDS = (("CallSid", "CA1"), ("From", "+4930 1"), ("Digits", "1#"))


def ask(
    says: dict[str, Said | list[Said]], *asks: Ask, visit: Visit | None = None, token: Secret = TOKEN
) -> tuple[ScriptedApp, list[Reply | AppFailed], float]:
    """The app, what came of each question, and when the last one was over."""
    app = ScriptedApp(says)
    visit = visit or Visit()

    async def main() -> tuple[list[Reply | AppFailed], float]:
        client = AppClient(TwimlSettings(auth_token=token), app, ScriptedApp({}))
        came: list[Reply | AppFailed] = []
        for one in asks:
            try:
                came.append(await client.ask(one, visit))
            except AppFailed as error:
                came.append(error)
        return came, asyncio.get_running_loop().time()

    came, at = run_virtual(main())
    return app, came, at


def failure(says: dict[str, Said | list[Said]], url: str = URL) -> tuple[int, int, float]:
    """Twilio's code, how often the app was asked, and how long it took."""
    app, (came,), at = ask(says, Ask(url, "POST", FIELDS))
    assert isinstance(came, AppFailed)
    return came.code, len(app.asked), at


def signed(asked: Asked) -> bool:
    form = asked.form.items() if asked.method == "POST" else ()
    return twilio_signature.is_signed(TOKEN, asked.url, form, asked.headers["X-Twilio-Signature"])


def test_a_post_carries_the_form_and_a_get_the_query_and_both_are_signed() -> None:
    where = Ask(f"{URL}?tenant=7", "GET", FIELDS)
    app, (posted, got), _ = ask({"/voice": twiml("<Hangup/>")}, Ask(URL, "POST", FIELDS), where)
    assert isinstance(posted, Reply) and isinstance(got, Reply)
    assert (posted.content_type, posted.url) == ("text/xml", URL)
    assert b"<Hangup/>" in posted.body
    first, second = app.asked
    assert first.form == dict(FIELDS) and first.headers["Content-Type"].startswith("application/x-www-form")
    assert (second.form, second.body) == ({"tenant": "7", **dict(FIELDS)}, b"")
    assert signed(first) and signed(second)


def test_without_a_token_nothing_is_signed() -> None:
    app, _, _ = ask({"/voice": twiml("")}, Ask(URL), token=Secret())
    assert "X-Twilio-Signature" not in app.asked[0].headers


def test_a_user_in_the_address_goes_into_a_header_and_is_not_signed() -> None:
    app, _, _ = ask({"/voice": twiml("")}, Ask("https://us%40er:pass@app.example.com/voice", "POST", FIELDS))
    (asked,) = app.asked
    assert asked.url == URL and signed(asked)
    assert asked.headers["Authorization"] == f"Basic {base64.b64encode(b'us@er:pass').decode()}"


def test_cookies_come_back_as_to_a_browser() -> None:
    cookies = (("Set-Cookie", "session=abc; Path=/; HttpOnly"), ("Set-Cookie", "lang=de"))
    says: dict[str, Said | list[Said]] = {"/voice": Said("<Response/>", headers=cookies), "/next": twiml("")}
    app, _, _ = ask(says, Ask(URL), Ask("https://app.example.com/next"), Ask("https://other.example/next"))
    assert set(app.asked[1].headers["Cookie"].split("; ")) == {"session=abc", "lang=de"}
    assert "Cookie" not in app.asked[2].headers


@pytest.mark.parametrize(
    ("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")]
)
def test_redirects_are_followed_and_signed_anew(status: int, method: str) -> None:
    moved = Said(status=status, headers=(("Location", "../elsewhere?x=1"),))
    app, (came,), _ = ask({"/voice": moved, "/elsewhere": twiml("")}, Ask(URL, "POST", FIELDS))
    assert isinstance(came, Reply) and came.url == "https://app.example.com/elsewhere?x=1"
    assert app.asked[1].method == method and signed(app.asked[1])
    assert (app.asked[1].form == dict(FIELDS)) == (method == "POST")


def test_redirects_have_an_end() -> None:
    assert failure({"/voice": Said(status=302, headers=(("Location", "/voice"),))})[:2] == (MANY_REDIRECTS, 6)


def test_a_server_without_a_connection_is_tried_once_more() -> None:
    away = Said(error=Unreachable("no connection to app.example.com"))
    assert failure({"/voice": away})[:2] == (NO_CONNECTION, 2)
    _, (came,), _ = ask({"/voice": [away, twiml("")]}, Ask(URL))
    assert isinstance(came, Reply)


def test_what_is_no_failure_of_the_connection_is_not_tried_again() -> None:
    for said in (
        Said("Oh no", 500, "text/html"),
        Said("Who?", 404),
        Said(error=FetchFailed("the server did not answer as a web server does")),
        Said(error=FetchRefused("app.example.com is not a public address")),
    ):
        assert failure({"/voice": said}) == (RETRIEVAL, 1, 0.0)


@pytest.mark.parametrize(
    ("fragment", "said", "asked", "seconds"),
    [
        ("rc=3&rp=5xx", Said(status=503), 4, 0.0),
        ("rc=2&rp=4xx", Said(status=503), 1, 0.0),
        ("rc=2&rp=all", Said(status=404), 3, 0.0),
        ("rc=0", Said(error=Unreachable("away")), 1, 0.0),
        ("rt=2000&rp=rt&rc=2", Said(after=9.0), 3, 6.0),
        ("rt=2000&rp=rt&rc=5&tt=5000", Said(after=9.0), 3, 5.0),
        ("rt=2000", Said(after=9.0), 1, 2.0),
        ("section-7", Said(after=99.0), 1, 15.0),
    ],
)
def test_the_address_may_say_how_it_is_asked(fragment: str, said: Said, asked: int, seconds: float) -> None:
    code, times, at = failure({"/voice": said}, f"{URL}#{fragment}")
    assert code in (RETRIEVAL, NO_CONNECTION)
    assert (times, round(at, 2)) == (asked, seconds)


@pytest.mark.parametrize("wish", ["rt=0", "rt=abc", "rt=99999999999", "rc=9", "rc=", "rp=", "=&&="])
def test_a_wish_beyond_the_limits_is_none(wish: str) -> None:
    bare, manner = split(f"{URL}#{wish}", 15.0)
    assert bare == URL
    assert 0.1 <= manner.read <= 15.0 and manner.total == 15.0 and 0 <= manner.retries <= 5
    assert split(URL, 7.0) == (URL, Manner(7.0, 7.0))


def test_a_slow_app_and_an_endless_one_are_left_in_time() -> None:
    assert failure({"/voice": twiml("<Hangup/>", after=60.0)}) == (RETRIEVAL, 1, 15.0)
    assert failure({"/voice": Said(b"x" * 70_000)})[0] == TOO_LARGE


def test_the_operators_servers_are_reached_wherever_they_are_and_no_other() -> None:
    guarded, unguarded = ScriptedApp({"/a": twiml("")}), ScriptedApp({"/voice": twiml("")})
    inside = "http://10.0.0.7:8080/voice"

    async def main() -> None:
        client = AppClient(TwimlSettings(), guarded, unguarded)
        visit = trusting([inside, ""])
        await client.ask(Ask(inside), visit)
        await client.ask(Ask("http://10.0.0.7:8081/a"), visit)
        await client.ask(Ask("https://10.0.0.7:8080/a"), visit)

    run_virtual(main())
    assert [one.url for one in unguarded.asked] == [inside]
    assert [one.url for one in guarded.asked] == ["http://10.0.0.7:8081/a", "https://10.0.0.7:8080/a"]


def test_a_redirect_out_of_the_operators_server_passes_the_guard() -> None:
    inside = ScriptedApp({"/voice": Said(status=307, headers=(("Location", "http://169.254.169.254/key"),))})
    guarded = ScriptedApp({"/key": Said(error=FetchRefused("is not a public address"))})

    async def main() -> None:
        url = "http://10.0.0.7/voice"
        await AppClient(TwimlSettings(), guarded, inside).ask(Ask(url), trusting([url]))

    with pytest.raises(AppFailed, match="not a public address"):
        run_virtual(main())
    assert len(guarded.asked) == 1


def test_origins_are_told_apart_by_scheme_host_and_port() -> None:
    assert origin("http://a.example/x") == origin("http://u:p@a.example:80") == "http://a.example:80"
    assert len({origin(url) for url in ("http://a", "https://a", "http://a:8080", "http://b")}) == 4
    assert origin("nonsense") == origin("http://[") == origin("http://a:99999") == ""
