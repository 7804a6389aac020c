"""Transcripts as Riva's messages, and back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engines.base import Transcript, Word
from engines.riva.wire import Message, asr_pb2

EARLY = 1.0
"""Stability of a transcript decoded ahead in a pause (Riva's first pass); interims stay below it."""
_MOST_STABLE = 0.999
_MARKS = '.,;:!?…"“”()'


@dataclass(frozen=True, slots=True)
class Manner:
    """How this client wants its transcripts."""

    word_times: bool
    punctuation: bool
    language: str


def plain(text: str) -> str:
    """Without punctuation and capitals, as Riva writes unless asked: signs inside a word stay."""
    words = (word.strip(_MARKS + "-–—") for word in text.split())
    return " ".join(word for word in words if word).lower()


def streaming_result(heard: Transcript, manner: Manner, begins: float, processed: float) -> Message:
    """One result; `begins`: seconds of the stream before the segment, `processed`: that were heard."""
    result = asr_pb2.StreamingRecognitionResult(
        is_final=heard.is_final, channel_tag=1, audio_processed=processed
    )
    result.alternatives.append(alternative(heard, manner, begins))
    if heard.early:
        result.stability = EARLY
    elif not heard.is_final and heard.text:
        stable = heard.text[: heard.stable_chars]
        share = len(stable if manner.punctuation else plain(stable))
        result.stability = min(share / max(len(result.alternatives[0].transcript), 1), _MOST_STABLE)
    return result


def alternative(heard: Transcript, manner: Manner, begins: float) -> Message:
    """The one hypothesis there is."""
    text = heard.text if manner.punctuation else plain(heard.text)
    made = asr_pb2.SpeechRecognitionAlternative(
        transcript=text, confidence=heard.confidence, language_code=[manner.language]
    )
    if manner.word_times:
        made.words.extend(word_info(word, manner, begins) for word in heard.words)
    return made


def word_info(word: Word, manner: Manner, begins: float) -> Message:
    """A word with its times in milliseconds of the stream."""
    return asr_pb2.WordInfo(
        word=word.text if manner.punctuation else plain(word.text),
        start_time=round((begins + word.start) * 1000),
        end_time=round((begins + word.end) * 1000),
        confidence=word.confidence,
        language_code=manner.language,
    )


def joined(finals: list[Transcript]) -> Transcript:
    """Several finals as one: texts in order, confidence weighted by length."""
    said = [final for final in finals if final.text]
    text = " ".join(final.text for final in said)
    weight = sum(len(final.text) for final in said)
    confidence = sum(final.confidence * len(final.text) for final in said) / weight if weight else 0.0
    words = tuple(word for final in said for word in final.words)
    return Transcript(0, text, is_final=True, confidence=confidence, stable_chars=len(text), words=words)


def shifted(heard: Transcript, by: float) -> Transcript:
    """With its words' times moved."""
    words = tuple(replace(word, start=word.start + by, end=word.end + by) for word in heard.words)
    return replace(heard, words=words)


def read_alternative(result: Message) -> tuple[str, tuple[Word, ...], float]:
    """Text, words and confidence (0..1; 1 where the server says none) of a result's best hypothesis."""
    if not result.alternatives:
        return "", (), 1.0
    best = result.alternatives[0]
    words = tuple(
        Word(word.word, word.start_time / 1000, word.end_time / 1000, _believed(word.confidence))
        for word in best.words
    )
    return best.transcript.strip(), words, _believed(best.confidence)


def _believed(confidence: float) -> float:
    """Riva leaves 0 for "not set" and may give a natural logarithm."""
    if confidence == 0.0:
        return 1.0
    if confidence < 0.0:
        return float(2.718281828459045**confidence)
    return min(float(confidence), 1.0)
