"""Names that OpenAI's clients send, and what they mean here."""

from __future__ import annotations

from collections.abc import Mapping

from engines.base import Asr, Tts
from gateway.errors import ModelUnknown, RequestUnfit

HEARING = ("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-latest")
"""Their recognisers; all mean ours, so that a client needs no change."""
SPEAKING = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
"""Their voices' models."""
VOICES = tuple("alloy ash ballad coral echo fable nova onyx sage shimmer verse marin cedar".split())
"""Their voices; all mean the first of ours."""
_LANGUAGES = {
    code: name
    for code, _, name in (
        pair.partition("=")
        for pair in (
            "ar=arabic bn=bengali cs=czech da=danish de=german el=greek en=english es=spanish fi=finnish "
            "fr=french gu=gujarati he=hebrew hi=hindi hu=hungarian id=indonesian it=italian ja=japanese "
            "kn=kannada ko=korean ml=malayalam mr=marathi nl=dutch no=norwegian pl=polish pt=portuguese "
            "ro=romanian ru=russian "
            "sv=swedish ta=tamil te=telugu th=thai tr=turkish uk=ukrainian vi=vietnamese zh=chinese"
        ).split()
    )
}


def hearing_model(name: str, asr: Asr, *, field: str = "model") -> str:
    """The recogniser behind the name. Raises `ModelUnknown` with those that there are."""
    return _known(name, (asr.name, *HEARING), field)


def speaking_model(name: str, tts: Tts, *, field: str = "model") -> str:
    """The voice's engine behind the name; a voice's own name will do. Raises `ModelUnknown`."""
    return _known(name, (tts.name, *SPEAKING, *tts.voices), field)


def voice(wanted: object, tts: Tts) -> str:
    """One of our voices. `wanted` is a name or `{"id": name}`. Raises `RequestUnfit`."""
    name = wanted.get("id") if isinstance(wanted, Mapping) else wanted
    if not isinstance(name, str) or not name:
        raise RequestUnfit('give the name of a voice, or {"id": name}', field="voice")
    if name in tts.voices:
        return name
    if name in VOICES:
        return tts.voices[0] if tts.voices else ""
    known = ", ".join((*tts.voices, *VOICES))
    raise RequestUnfit(f"there is no voice {name[:64]!r}; there are: {known}", field="voice")


def language_tag(written: str, default: str, *, field: str = "language") -> str:
    """A language as engines take it: `en`, `en-US` or `english`; `en` means the default's own English."""
    if not written:
        return default
    code = next((code for code, name in _LANGUAGES.items() if name == written.lower()), written)
    if not code.replace("-", "").isalnum() or not 2 <= len(code) <= 16:
        raise RequestUnfit("give a language as ISO-639-1, such as en", field=field)
    return default if default.lower().partition("-")[0] == code.lower() else code


def language_name(tag: str) -> str:
    """As verbose answers write it: `english`."""
    code = tag.lower().partition("-")[0]
    return _LANGUAGES.get(code, code)


def _known(name: str, names: tuple[str, ...], field: str) -> str:
    known = ", ".join(dict.fromkeys(names))
    if not name:
        raise RequestUnfit(f"a model is needed; there are: {known}", field=field)
    if name not in names:
        raise ModelUnknown(f"there is no model {name[:64]!r}; there are: {known}", field=field)
    return names[0]
