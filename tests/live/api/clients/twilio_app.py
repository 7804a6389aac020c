"""A Twilio app as Twilio's documentation writes one: its own builder, its own validator, a web server.

Usage: twilio_app.py AUTH_TOKEN. Prints its port, then one JSON line per request that came:
path, form, whether Twilio's validator believes the signature.
"""

import io
import json
import math
import struct
import sys
import threading
import wave
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Connect, Dial, Gather, Start, VoiceResponse
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

VALIDATOR = RequestValidator(sys.argv[1])


def tell(what):
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


def keys(form):
    if "Digits" in form:
        return said(f"You entered {' '.join(form['Digits'])}. Goodbye.")
    response = VoiceResponse()
    gather = Gather(num_digits=4, timeout=6, finish_on_key="#")
    gather.say("Please enter your code.")
    response.append(gather)
    response.say("We did not receive any input.")
    return response


def speech(form):
    response = VoiceResponse()
    gather = Gather(
        input="speech",
        action="/speech/got",
        timeout=8,
        hints="message, previous",
        partial_result_callback="/partial",
    )
    gather.say("Say what you want.")
    response.append(gather)
    response.redirect("/speech")
    return response


def record(form):
    response = VoiceResponse()
    response.say("Leave a message.")
    response.record(
        action="/record/got",
        max_length=20,
        timeout=2,
        play_beep=True,
        finish_on_key="#",
        recording_status_callback="/record/status",
        transcribe=True,
        transcribe_callback="/record/words",
    )
    response.say("I heard nothing.")
    return response


def record_got(form):
    response = VoiceResponse()
    response.say("Thank you.")
    response.hangup()
    return response


def dial(form):
    response = VoiceResponse()
    calling = Dial(action="/dial/got", timeout=10, record="record-from-answer-dual")
    calling.sip(
        form["SipHeader_X-Desk"],
        status_callback="/dial/progress",
        status_callback_event="initiated ringing answered completed",
    )
    response.append(calling)
    return response


def screened(form):
    response = VoiceResponse()
    calling = Dial(action="/screened/got", timeout=10)
    calling.sip(form["SipHeader_X-Desk"], url="/screen", method="GET")
    response.append(calling)
    return response


def screen(form):
    response = VoiceResponse()
    gather = Gather(num_digits=1, timeout=4, action="/screen/got")
    gather.play("/gong.wav")
    response.append(gather)
    response.hangup()
    return response


def gong():
    """A second of 900 Hz, as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        values = (round(12_000 * math.sin(2 * math.pi * 900 * n / 8000)) for n in range(8000))
        sound.writeframes(b"".join(struct.pack("<h", value) for value in values))
    return file.getvalue()


def reject(form):
    response = VoiceResponse()
    response.reject(reason="busy")
    return response


def redirect(form):
    response = VoiceResponse()
    response.redirect("/redirect/next?step=2", method="GET")
    return response


def stream(form):
    response = VoiceResponse()
    connect = Connect(action="/stream/got")
    connect.stream(url=f"{BOT}/media", name="bot", status_callback="/stream/status").parameter(
        name="customer", value="7"
    )
    response.append(connect)
    return response


def listen(form):
    response = VoiceResponse()
    start = Start()
    start.stream(url=f"{BOT}/ear", name="ear", status_callback="/stream/status")
    response.append(start)
    response.say("You are being listened to.")
    response.pause(length=3)
    return response


def relay(form):
    response = VoiceResponse()
    connect = Connect(action="/relay/got")
    talk = connect.conversation_relay(
        url=f"{BOT}/relay", welcome_greeting="Hello from the app.", dtmf_detection=True
    )
    talk.parameter(name="customer", value="7")
    response.append(connect)
    return response


def talk(socket):
    """What comes over WebSockets: sound on /media and /ear, words on /relay."""
    request = socket.request
    url = f"ws://{request.headers['Host']}{request.path}"
    valid = VALIDATOR.validate(url, {}, request.headers.get("X-Twilio-Signature", ""))
    seen = []
    try:
        {"/media": echo, "/ear": listen_only, "/relay": converse}[request.path](socket, seen)
    except ConnectionClosed:
        pass
    tell({"path": request.path, "method": "WS", "form": {"seen": seen}, "valid": valid, "cookies": ""})


def echo(socket, seen):
    """Ten seconds of the caller's own voice, half a second late, then enough."""
    sound = []
    for message in map(json.loads, socket):
        if message["event"] == "start":
            seen.append(message["start"]["customParameters"])
        if message["event"] == "media":
            sound.append(message["media"]["payload"])
            if len(sound) > 25:
                media = {"payload": sound[-25]}
                socket.send(json.dumps({"event": "media", "streamSid": message["streamSid"], "media": media}))
            if len(sound) == 300:
                return


def listen_only(socket, seen):
    for message in map(json.loads, socket):
        seen.append(message["event"])


def converse(socket, seen):
    """Says what it hears, and hands over."""
    for message in map(json.loads, socket):
        if message["type"] == "setup":
            seen.append(message["customParameters"])
        if message["type"] == "prompt":
            seen.append(message["voicePrompt"])
            socket.send(
                json.dumps({"type": "text", "token": f"You said {message['voicePrompt']}", "last": True})
            )
            threading.Timer(
                6.0, socket.send, [json.dumps({"type": "end", "handoffData": '{"reason":"done"}'})]
            ).start()


def said(text):
    response = VoiceResponse()
    response.say(text)
    response.hangup()
    return response


ROUTES = {
    "/keys": keys,
    "/speech": speech,
    "/speech/got": lambda form: said(f"You said {form.get('SpeechResult', 'nothing')}"),
    "/record": record,
    "/record/got": record_got,
    "/dial": dial,
    "/dial/got": lambda form: said(f"The call was {form['DialCallStatus']}."),
    "/screened": screened,
    "/screened/got": lambda form: said("Done."),
    "/screen": screen,
    "/screen/got": lambda form: VoiceResponse(),
    "/reject": reject,
    "/redirect": redirect,
    "/redirect/next": lambda form: said("You were sent here."),
    "/stream": stream,
    "/stream/got": lambda form: said("The stream is over."),
    "/listen": listen,
    "/relay": relay,
    "/relay/got": lambda form: said("The agent is gone."),
    "/fallback": lambda form: said("Our app is out of order."),
    "/hello": lambda form: said("Hello."),
}


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.serve(dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True)), {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        form = dict(parse_qsl(body, keep_blank_values=True))
        self.serve(form, form)

    def serve(self, fields, signed):
        url = f"http://{self.headers['Host']}{self.path}"
        valid = VALIDATOR.validate(url, signed, self.headers.get("X-Twilio-Signature", ""))
        path = urlsplit(self.path).path
        cookies = self.headers.get("Cookie", "")
        tell({"path": path, "method": self.command, "form": fields, "valid": valid, "cookies": cookies})
        route = ROUTES.get(path)
        if not valid:
            self.answer(403, "text/plain", b"not from Twilio")
        elif path == "/gong.wav":
            self.answer(200, "audio/wav", gong())
        elif path == "/broken":
            self.answer(500, "text/html", b"<html>Traceback</html>")
        elif route is None:
            self.answer(204, "text/plain", b"")
        else:
            self.answer(200, "text/xml", str(route(fields)).encode())

    def answer(self, status, content_type, body):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "visit=7; Path=/")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Standard output is for the requests."""


sockets = serve(talk, "127.0.0.1", 0)
BOT = f"ws://127.0.0.1:{sockets.socket.getsockname()[1]}"
threading.Thread(target=sockets.serve_forever, daemon=True).start()
server = ThreadingHTTPServer(("127.0.0.1", 0), App)
tell(server.server_address[1])
server.serve_forever()
