"""What a client asks of a transcription: every field read, honoured, reported or refused; none ignored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engines.base import Asr
from engines.traits import AsrTraits
from gateway.api.openai.names import hearing_model, language_tag
from gateway.errors import AbilityMissing, RequestUnfit
from media.segmenter import SegmenterSettings

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
_LISTS = frozenset({"languages", "keywords", "timestamp_granularities", "include", "known_speaker_names",
                    "known_speaker_references"})  # fmt: skip
_SINGLE = frozenset({"model", "language", "prompt", "response_format", "temperature", "chunking_strategy",
                     "stream"})  # fmt: skip
_MOST_KEYWORDS = 100
_FALSE, _TRUE = ("false", "0", ""), ("true", "1")


@dataclass(frozen=True, slots=True)
class TranscriptionAsk:
    """A request that can be served."""

    language: str
    """As the engine takes it."""
    response_format: str = "json"
    stream: bool = False
    words: bool = False
    """Word times are wanted."""
    segments: bool = True
    """Segments are wanted, in the verbose format."""
    hot_words: tuple[str, ...] = ()
    endpoint_ms: int | None = None
    segmenter: SegmenterSettings = field(default_factory=SegmenterSettings)
    not_honoured: tuple[str, ...] = ()
    """Told in the answer: what was asked for and makes no difference, and why."""


def read_ask(
    fields: Sequence[tuple[str, str]],
    asr: Asr,
    traits: AsrTraits,
    *,
    language: str,
    segmenter: SegmenterSettings | None = None,
) -> TranscriptionAsk:
    """The form's fields as a request. Raises `RequestUnfit`, `AbilityMissing`, `ModelUnknown`."""
    single, lists = _sorted(fields)
    hearing_model(single.get("model", ""), asr)
    _refuse_missing(lists)
    format_ = single.get("response_format") or "json"
    if format_ == "diarized_json":
        raise AbilityMissing("the recogniser in use cannot tell speakers apart", field="response_format")
    if format_ not in FORMATS:
        raise RequestUnfit(f"choose one of: {', '.join(FORMATS)}", field="response_format")
    words, segments = _granularities(lists.get("timestamp_granularities", []), format_)
    stream = _flag(single.get("stream", ""), "stream")
    if stream and format_ not in ("json", "text"):
        raise RequestUnfit(f"{format_} cannot be streamed; choose json or text", field="stream")
    hot_words = _hot_words(lists.get("keywords", []), traits)
    told = _not_honoured(single, traits, words)
    ask = TranscriptionAsk(
        language=_language(single.get("language", ""), lists.get("languages", []), language),
        response_format=format_, stream=stream, words=words, segments=segments, hot_words=hot_words,
        segmenter=segmenter or SegmenterSettings(), not_honoured=told,
    )  # fmt: skip
    return _chunked(ask, single.get("chunking_strategy", ""))


def abilities(traits: AsrTraits) -> Mapping[str, list[str]]:
    """What is honoured, refused and served without, for whoever asks beforehand."""
    honoured = ["chunking_strategy", "language", "response_format", "stream", "timestamp_granularities[]"]
    speakers = ["known_speaker_names[]", "known_speaker_references[]", "response_format=diarized_json"]
    refused = ["include[]", *speakers]
    (honoured if traits.hot_words else refused).append("keywords[]")
    return {"honoured": honoured, "refused": refused, "served_without": ["prompt", "temperature"]}


def _sorted(fields: Sequence[tuple[str, str]]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Single fields and lists. Lists come as `name[]`, as `name`, or as `name[0]`."""
    single: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    strategy: dict[str, str] = {}
    for written, value in fields:
        name = written.partition("[")[0]
        if name in _LISTS:
            lists.setdefault(name, []).append(value)
        elif name == "chunking_strategy" and written != name:
            strategy[written[len(name) + 1 : -1]] = value
        elif written in _SINGLE:
            if written in single:
                raise RequestUnfit("given twice", field=written)
            single[written] = value
        else:
            raise RequestUnfit("there is no such parameter", field=written[:64])
    if strategy:
        single["chunking_strategy"] = json.dumps(strategy)
    return single, lists


def _refuse_missing(lists: dict[str, list[str]]) -> None:
    for name in ("known_speaker_names", "known_speaker_references"):
        if lists.get(name):
            raise AbilityMissing("the recogniser in use cannot tell speakers apart", field=name)
    for wanted in lists.get("include", []):
        if wanted == "logprobs":
            raise AbilityMissing("the recogniser in use gives no logprobs", field="include")
        raise RequestUnfit("only logprobs can be included", field="include")


def _granularities(wanted: list[str], format_: str) -> tuple[bool, bool]:
    if wanted and format_ != "verbose_json":
        raise RequestUnfit("needs response_format=verbose_json", field="timestamp_granularities")
    if not set(wanted) <= {"word", "segment"}:
        raise RequestUnfit("choose word, segment or both", field="timestamp_granularities")
    return "word" in wanted, "segment" in wanted or not wanted


def _language(one: str, several: list[str], default: str) -> str:
    if one and several:
        raise RequestUnfit("give language or languages, not both", field="languages")
    if len(several) > 1:
        raise AbilityMissing("the recogniser in use hears one language at a time", field="languages")
    return language_tag(one or "".join(several), default)


def _hot_words(wanted: list[str], traits: AsrTraits) -> tuple[str, ...]:
    if wanted and not traits.hot_words:
        raise AbilityMissing("the recogniser in use cannot be told words to expect", field="keywords")
    if len(wanted) > _MOST_KEYWORDS:
        raise RequestUnfit(f"at most {_MOST_KEYWORDS} can be given", field="keywords")
    return tuple(wanted)


def _not_honoured(single: dict[str, str], traits: AsrTraits, words: bool) -> tuple[str, ...]:
    told = []
    if single.get("prompt"):
        told.append("prompt: the recogniser in use takes no prompt")
    temperature = _number(single.get("temperature") or "0", "temperature")
    if not 0 <= temperature <= 1:
        raise RequestUnfit("must lie between 0 and 1", field="temperature")
    if temperature:
        told.append("temperature: the recogniser in use always takes the likeliest words")
    if words and not traits.word_times:
        told.append("timestamp_granularities: word times are estimated from where the voice is")
    return tuple(told)


def _chunked(ask: TranscriptionAsk, written: str) -> TranscriptionAsk:
    if written in ("", "auto", '"auto"', "null"):
        return ask
    try:
        strategy: Any = json.loads(written)
    except (ValueError, RecursionError):
        strategy = None
    if not isinstance(strategy, dict) or strategy.get("type") != "server_vad":
        raise RequestUnfit('give auto or {"type": "server_vad", …}', field="chunking_strategy")
    known = {"type", "prefix_padding_ms", "silence_duration_ms", "threshold"}
    if odd := sorted(set(strategy) - known):
        raise RequestUnfit(f"there is no {odd[0]} in it", field="chunking_strategy")
    endpoint, segmenter = server_vad(strategy, ask.segmenter, field="chunking_strategy")
    return replace(ask, endpoint_ms=endpoint, segmenter=segmenter)


def server_vad(
    given: dict[str, Any], segmenter: SegmenterSettings, *, field: str
) -> tuple[int, SegmenterSettings]:
    """Endpoint in milliseconds and segmenter, from a `server_vad` object. Raises `RequestUnfit`."""
    silence = _bounded(given.get("silence_duration_ms", 500), 100, 10_000, f"{field}.silence_duration_ms")
    padding = _bounded(
        given.get("prefix_padding_ms", segmenter.preroll_ms), 0, 1000, f"{field}.prefix_padding_ms"
    )
    threshold = _bounded(given.get("threshold", segmenter.threshold), 0.05, 0.95, f"{field}.threshold")
    shaped = replace(
        segmenter,
        preroll_ms=round(padding),
        threshold=threshold,
        certain=max(segmenter.certain, threshold),
        release=min(segmenter.release, threshold),
    )
    return round(silence), shaped


def _bounded(value: Any, low: float, high: float, name: str) -> float:
    found = _number(value, name)
    if not low <= found <= high:
        raise RequestUnfit(f"must lie between {low:g} and {high:g}", field=name)
    return found


def _number(value: Any, name: str) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        raise RequestUnfit("not a number", field=name) from None
    if found != found or found in (float("inf"), float("-inf")):
        raise RequestUnfit("not a number", field=name)
    return found


def _flag(written: str, name: str) -> bool:
    if written.lower() in _TRUE:
        return True
    if written.lower() in _FALSE:
        return False
    raise RequestUnfit("give true or false", field=name)
