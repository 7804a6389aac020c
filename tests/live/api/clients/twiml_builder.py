"""Writes one document per verb with the unmodified builder: name, then the XML, on lines of their own."""

import json
import sys

from twilio.twiml import voice_response as v

made = {}


def document(name):
    response = v.VoiceResponse()
    made[name] = response
    return response


say = document("say").say("Guten Tag", voice="Polly.Vicki", language="de-DE", loop=2)
ssml = document("ssml").say("Hello ")
ssml.break_(strength="strong", time="1s")
ssml.emphasis("world", level="moderate")
ssml.say_as("4711", interpret_as="digits")
ssml.sub("TW", alias="Twilio")
document("play").play("https://app.example.com/cow.mp3", loop=3)
document("play-digits").play(digits="ww12#")
document("pause").pause(length=3)
gather = document("gather").gather(
    input="speech dtmf",
    action="/answer",
    method="GET",
    timeout=3,
    speech_timeout="auto",
    num_digits=4,
    finish_on_key="*",
    hints="sales, billing department",
    language="en-GB",
    barge_in=False,
    partial_result_callback="/partial",
    partial_result_callback_method="GET",
    action_on_empty_result=True,
    max_speech_time=20,
    profanity_filter=False,
    speech_model="phone_call",
    enhanced=True,
)
gather.say("Press or say")
gather.pause(length=1)
gather.play("menu.wav")
document("record").record(
    action="/recorded",
    method="GET",
    timeout=4,
    finish_on_key="#",
    max_length=30,
    play_beep=False,
    trim="do-not-trim",
    recording_status_callback="/status",
    recording_status_callback_method="GET",
    recording_status_callback_event="in-progress completed",
    transcribe=True,
    transcribe_callback="/words",
)
document("dial").dial(
    "+1 (415) 555-0100",
    action="/dialled",
    method="GET",
    timeout=12,
    time_limit=600,
    caller_id="+14155550199",
    hangup_on_star=True,
    record="record-from-answer-dual",
    answer_on_bridge=True,
    recording_status_callback="/status",
)
nouns = document("dial-nouns").dial(sequential=True)
nouns.number(
    "415-555-0100",
    send_digits="wwww1928",
    status_callback="/number",
    status_callback_event="initiated ringing answered completed",
    status_callback_method="GET",
)
nouns.sip("sip:desk@example.com;transport=tcp?X-Case=7", username="u", password="p", status_callback="/sip")
document("redirect").redirect("../next.xml", method="GET")
document("reject").reject(reason="busy")
document("hangup").hangup()
connect = document("connect-stream").connect(action="/after", method="GET")
stream = connect.stream(
    name="bot", url="wss://bot.example.com/media", status_callback="/stream", status_callback_method="GET"
)
stream.parameter(name="customer", value="7")
relay = (
    document("connect-relay")
    .connect(action="/after")
    .conversation_relay(
        url="wss://bot.example.com/relay",
        language="en-US",
        welcome_greeting="Hello!",
        voice="en-US-Journey-O",
        welcome_greeting_interruptible="speech",
        interruptible="any",
        dtmf_detection=True,
        partial_prompts=True,
        hints="Offhook, TwiML",
        events="speaker-events tokens-played",
        interrupt_sensitivity="low",
        report_input_during_agent_speech="dtmf",
        eager_eot_threshold=0.4,
        application_reconnect=True,
    )
)
relay.language(code="sv-SE", tts_provider="amazon", voice="Elin", transcription_provider="google")
relay.parameter(name="customer", value="7")
start = document("start-stream").start()
start.stream(name="ear", url="wss://bot.example.com/media", track="both_tracks").parameter(
    name="a", value="b"
)
document("stop-stream").stop().stream(name="ear")
document("refer").refer(action="/referred", method="GET").sip("sip:desk@example.com")

json.dump({name: str(response) for name, response in made.items()}, sys.stdout)
