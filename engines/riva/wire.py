"""What the wire is made of, imported in one place: gRPC, Riva's public messages, health and reflection."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]
from riva.client.proto import (  # type: ignore[import-untyped]
    riva_asr_pb2 as asr_pb2,
)
from riva.client.proto import (
    riva_asr_pb2_grpc as asr_grpc,
)
from riva.client.proto import (
    riva_audio_pb2 as audio_pb2,
)
from riva.client.proto import (
    riva_tts_pb2 as tts_pb2,
)
from riva.client.proto import (
    riva_tts_pb2_grpc as tts_grpc,
)

Message: TypeAlias = Any
"""A protocol buffer; the generated classes carry no types."""

Status = grpc.StatusCode

ASR_SERVICE: str = asr_pb2.DESCRIPTOR.services_by_name["RivaSpeechRecognition"].full_name
TTS_SERVICE: str = tts_pb2.DESCRIPTOR.services_by_name["RivaSpeechSynthesis"].full_name
HEALTH_SERVICE: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


def unknown_fields(message: Message) -> list[int]:
    """Numbers of the fields that came with the message and have no name here."""
    return [field.field_number for field in UnknownFieldSet(message)]


__all__ = [
    "ASR_SERVICE",
    "DecodeError",
    "HEALTH_SERVICE",
    "TTS_SERVICE",
    "Message",
    "Status",
    "asr_grpc",
    "asr_pb2",
    "audio_pb2",
    "grpc",
    "health_pb2",
    "health_pb2_grpc",
    "reflection",
    "tts_grpc",
    "tts_pb2",
    "unknown_fields",
]
