"""What a client asks of `/v1/listen`, read from the query: honoured, told back, or refused by its name.

Every parameter of Deepgram's description is known here. What the engine in use cannot do is refused where
the answer would be another one than asked for, and told back as a warning where it only would be less good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from engines.traits import AsrTraits
from gateway.api.core.languages import fitting
from gateway.errors import AbilityMissing, RequestUnfit
from gateway.problems import nearest

HONOURED = (
    "encoding", "sample_rate", "channels", "model", "version", "language", "punctuate", "smart_format",
    "interim_results", "endpointing", "utterance_end_ms", "vad_events", "utterances", "utt_split",
    "paragraphs", "multichannel", "callback", "callback_method", "extra", "tag", "mip_opt_out", "no_delay",
)  # fmt: skip
"""Done as asked. `tag` and `mip_opt_out` have nothing to do: no audio leaves this machine."""
REFUSED = (
    "diarize", "diarize_model", "redact", "detect_entities", "search", "replace", "sentiment",
    "summarize", "topics", "intents", "custom_topic", "custom_topic_mode", "custom_intent",
    "custom_intent_mode", "measurements", "dictation", "translate",
)  # fmt: skip
"""Asked for, the request is refused with 400."""
REPORTED = ("numerals", "filler_words", "profanity_filter", "keyterm", "keywords", "language_hint")
"""Asked for, the request is served without it, and told so in `warnings`."""
_KEYS = ("api_key", "token", "access_token")
_NO = frozenset({"", "false", "0", "no"})
_YES = frozenset({"true", "1", "yes"})
MOST_HOT_WORDS = 100
LONGEST_HOT_WORD = 100


class Query(Protocol):
    """The part of Starlette's query that reading needs."""

    def getlist(self, key: str) -> list[str]: ...

    def keys(self) -> Iterable[str]: ...


@dataclass(frozen=True, slots=True)
class Unhonoured:
    """A parameter that was not honoured, in the shape that Deepgram's metadata has for it."""

    parameter: str
    message: str

    def body(self) -> Mapping[str, str]:
        """As it stands in an answer."""
        return {"parameter": self.parameter, "type": "unsupported", "message": self.message}


@dataclass(frozen=True, slots=True)
class ListenQuery:
    """One request, as it will be done."""

    language: str
    punctuate: bool
    interim: bool
    vad_events: bool
    endpoint_ms: int | None
    """None: silence never makes `speech_final`."""
    utterance_end_ms: int | None
    hot_words: tuple[str, ...]
    encoding: str
    sample_rate: int
    channels: int
    utterances: bool
    utt_split: float
    paragraphs: bool
    multichannel: bool
    callback: str
    callback_method: str
    extra: Mapping[str, str]
    warnings: tuple[Unhonoured, ...] = field(default=())


def read(query: Query, traits: AsrTraits, language: str, shortest_endpoint_ms: int) -> ListenQuery:
    """Raises `RequestUnfit` or `AbilityMissing`, naming the parameter."""
    warnings = _checked(query, traits)
    endpoint = _endpointing(query)
    if endpoint is not None and endpoint < shortest_endpoint_ms:
        if query.getlist("endpointing"):
            told = f"{endpoint} ms would cut words; speech_final comes after {shortest_endpoint_ms} ms"
            warnings.append(Unhonoured("endpointing", told))
        endpoint = shortest_endpoint_ms
    smart = _flag(query, "smart_format")
    if smart:
        warnings.append(Unhonoured("smart_format", "punctuation and capitals only; numbers stay as spoken"))
    interim = _flag(query, "interim_results")
    utterance_end = _whole(query, "utterance_end_ms", 1000, 60_000)
    if utterance_end is not None and not interim:
        raise RequestUnfit("needs interim_results=true", field="utterance_end_ms")
    return ListenQuery(
        language=fitting(_language(query), traits.languages, language),
        punctuate=smart or _flag(query, "punctuate") or _flag(query, "paragraphs"),
        interim=interim,
        vad_events=_flag(query, "vad_events"),
        endpoint_ms=endpoint,
        utterance_end_ms=utterance_end,
        hot_words=_hot_words(query) if traits.hot_words else (),
        encoding=_one(query, "encoding"),
        sample_rate=_whole(query, "sample_rate", 1, 1_000_000) or 0,
        channels=_whole(query, "channels", 1, 64) or 1,
        utterances=_flag(query, "utterances"),
        utt_split=_number(query, "utt_split", 0.1, 10.0, 0.8),
        paragraphs=_flag(query, "paragraphs"),
        multichannel=_flag(query, "multichannel"),
        callback=_one(query, "callback"),
        callback_method=_one(query, "callback_method").upper() or "POST",
        extra=_extra(query),
        warnings=tuple(warnings),
    )


def abilities(traits: AsrTraits) -> Mapping[str, list[str]]:
    """What is honoured, refused and served without, for whoever asks beforehand."""
    hot = ("keyterm", "keywords")
    without = [name for name in REPORTED if not (traits.hot_words and name in hot)]
    honoured = [*HONOURED, *(hot if traits.hot_words else ())]
    return {"honoured": honoured, "refused": list(REFUSED), "served_without": without}


def _checked(query: Query, traits: AsrTraits) -> list[Unhonoured]:
    """Refuse what is unknown or cannot be done; returns what is served without."""
    warnings: list[Unhonoured] = []
    for name in query.keys():
        if name in _KEYS or name in HONOURED or name == "detect_language":
            continue
        if name in REFUSED:
            if any(value.lower() not in _NO for value in query.getlist(name)):
                raise AbilityMissing("the recogniser here cannot do this; leave it out", field=name)
        elif name in REPORTED:
            warnings += _reported(name, query.getlist(name), traits)
        else:
            known = (*HONOURED, *REFUSED, *REPORTED)
            raise RequestUnfit(f"is not known; {nearest(name, known)}", field=name[:60])
    return warnings


def _reported(name: str, values: list[str], traits: AsrTraits) -> list[Unhonoured]:
    if all(value.lower() in _NO for value in values):
        return []
    if name in ("keyterm", "keywords"):
        return [] if traits.hot_words else [Unhonoured(name, "the recogniser here takes no hot words")]
    return [Unhonoured(name, "the recogniser here does not do this")]


def _language(query: Query) -> str:
    detect = _one(query, "detect_language").lower()
    return "auto" if detect not in _NO else _one(query, "language")


def _endpointing(query: Query) -> int | None:
    """Deepgram's default is 10 ms."""
    text = _one(query, "endpointing").lower()
    if text == "false":
        return None
    if text in _YES or not text:
        return 10
    return _whole(query, "endpointing", 0, 60_000)


def _hot_words(query: Query) -> tuple[str, ...]:
    terms = [*query.getlist("keyterm"), *(word.partition(":")[0] for word in query.getlist("keywords"))]
    found = tuple(term.strip() for term in terms if term.strip())
    if len(found) > MOST_HOT_WORDS or any(len(word) > LONGEST_HOT_WORD for word in found):
        told = f"at most {MOST_HOT_WORDS} of at most {LONGEST_HOT_WORD} characters"
        raise RequestUnfit(told, field="keyterm")
    return found


def _extra(query: Query) -> Mapping[str, str]:
    pairs = (pair.partition(":") for pair in query.getlist("extra")[:20])
    return {key[:100]: value[:500] for key, _, value in pairs}


def _one(query: Query, name: str) -> str:
    return next(iter(query.getlist(name)), "")


def _flag(query: Query, name: str) -> bool:
    text = _one(query, name).lower()
    if text not in _NO and text not in _YES:
        raise RequestUnfit("must be true or false", field=name)
    return text in _YES


def _whole(query: Query, name: str, low: int, high: int) -> int | None:
    text = _one(query, name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not low <= int(text[:12]) <= high:
        raise RequestUnfit(f"must be a whole number from {low} to {high}", field=name)
    return int(text)


def _number(query: Query, name: str, low: float, high: float, default: float) -> float:
    text = _one(query, name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise RequestUnfit(f"must be a number from {low:g} to {high:g}", field=name)
    return value
