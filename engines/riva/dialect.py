"""What our workers understand beyond Riva. Other servers never see it: a client asks first.

A worker says so in the parameters of its configuration (`GetRivaSpeechRecognitionConfig`).
"""

from __future__ import annotations

DIALECT = "offhook.dialect"
"""Parameter by which a worker makes itself known; its value is `VERSION`."""
VERSION = "1"

SEGMENTS = "offhook.segments"
"""Custom configuration of a recognition stream."""
BY_CALLER = "caller"
"""Its one value: the whole stream is one segment, which ends when the client stops sending."""
PAUSE = "offhook.pause"
"""Runtime configuration in a message without audio: `true`: decode ahead, `false`: it was no pause."""

SPEED = "offhook.speed"
"""Custom configuration of a synthesis: 0.5 to 2."""
AHEAD = "offhook.ahead"
"""Custom configuration of a synthesis: seconds of earlier speech that the listener still has to hear."""
