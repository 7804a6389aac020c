"""The recogniser itself: the real model, real threads, recorded speech."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.wer import word_errors
from engines.base import AsrOptions, EngineBusy, EngineRefused, Transcript
from engines.embedded.decode_pool import PoolSettings
from engines.embedded.moonshine import MoonshineAsr, MoonshineSettings
from engines.embedded.moonshine_ear import Ear, Stretch
from engines.embedded.moonshine_guard import GuardSettings
from engines.embedded.moonshine_model import SHORTEST, DecodeAborted, MoonshineModel, find_model
from engines.embedded.moonshine_stream import MoonshineStream
from engines.embedded.moonshine_tokens import HotWords, Vocabulary
from engines.embedded.owed_load import OwedLoad
from media import tones
from media.frame import AudioFrame, Pcm

SPEECH = Path("tests/data/speech")
RATE = 8000


def recorded(name: str) -> Pcm:
    with wave.open(str(SPEECH / name)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def listed(name: str) -> list[tuple[str, str]]:
    lines = (SPEECH / name).read_text(encoding="utf-8").splitlines()
    return [(file, text) for file, _, text in (line.partition("\t") for line in lines)]


def padded(pcm: Pcm) -> Pcm:
    gap = tones.comfort_noise(0.3, RATE)
    return np.concatenate([gap, pcm, gap])


@pytest.fixture(scope="module")
def ear() -> Ear:
    return Ear(find_model(), GuardSettings())


@pytest.fixture(scope="module")
def model(ear: Ear) -> MoonshineModel:
    return ear.model()


def never() -> bool:
    return False


def run(main: Callable[[MoonshineAsr], Awaitable[None]], settings: MoonshineSettings | None = None) -> None:
    async def whole() -> None:
        asr = MoonshineAsr(settings or MoonshineSettings(pool=PoolSettings(threads=1, nice=0)))
        try:
            async with asyncio.timeout(20.0):
                await main(asr)
        finally:
            await asr.aclose()

    asyncio.run(whole())


def say(stream: MoonshineStream, pcm: Pcm) -> None:
    for place in range(0, len(pcm) - 159, 160):
        stream.push(AudioFrame(pcm[place : place + 160], RATE, place, 0.0))


async def final(stream: MoonshineStream) -> Transcript:
    async for transcript in stream.results():
        if transcript.is_final:
            return transcript
    raise AssertionError("the stream ended without a final")


def test_recorded_prompts_are_understood(ear: Ear) -> None:
    errors = words = 0
    for file, text in listed("prompts.tsv"):
        heard = ear.hear(Stretch(padded(recorded(file)), RATE), never)
        wrong, said = word_errors(text, heard.text)
        errors, words = errors + wrong, words + said
    assert errors / words < 0.06


def test_single_digits_are_understood_and_believed(ear: Ear) -> None:
    heard = [ear.hear(Stretch(padded(recorded(file)), RATE), never).text for file, _ in listed("digits.tsv")]
    assert heard == ["One.", "Two.", "Nine."]


@pytest.mark.parametrize(
    "sound",
    [
        tones.silence(2.0, RATE),
        tones.comfort_noise(2.0, RATE, -40.0),
        tones.ringback(RATE),
        tones.tone((60.0, 120.0, 180.0), 2.0, RATE),
        padded(tones.dtmf("5", RATE, 0.12)),
        padded(tones.tone((1100.0,), 0.5, RATE)),
    ],
    ids=["silence", "noise", "ringback", "hum", "key", "fax"],
)
def test_no_words_where_nobody_speaks(ear: Ear, sound: Pcm) -> None:
    assert ear.hear(Stretch(sound, RATE), never).text == ""
    assert ear.glimpse(Stretch(sound, RATE), never).text == ""


def test_a_right_draft_and_a_wrong_one_give_the_same_text(ear: Ear) -> None:
    pcm = padded(recorded("vm-prev.wav"))
    plain = ear.hear(Stretch(pcm, RATE), never)
    assert word_errors("Press 4 for the previous message.", plain.text)[0] == 0
    for draft in (plain.tokens, plain.tokens[:3], (5, 6, 7), (*plain.tokens, 9, 9, 9)):
        assert ear.hear(Stretch(pcm, RATE, draft), never).text == plain.text


def test_a_decode_gives_way_when_asked(model: MoonshineModel) -> None:
    asked: list[None] = []

    def after_three() -> bool:
        asked.append(None)
        return len(asked) > 3

    with pytest.raises(DecodeAborted):
        model.decode((recorded("vm-prev.wav").repeat(2) / 32768).astype(np.float32), aborted=after_three)
    assert len(asked) == 4


def test_too_little_audio_is_no_text(model: MoonshineModel) -> None:
    assert model.decode(np.zeros(SHORTEST - 1, np.float32)).text == ""


def test_the_vocabulary_writes_words_and_reads_them() -> None:
    vocabulary = Vocabulary(find_model() / "tokenizer.bin")
    assert len(vocabulary) == 32768
    spelt = vocabulary.spellings("Offhook")
    assert {vocabulary.text(tokens) for tokens in spelt} == {"offhook", "Offhook"}
    words = vocabulary.words([*spelt[0], *spelt[1]], [0.9, 0.5, *[0.8] * (len(spelt[0]) + len(spelt[1]) - 2)])
    assert [word.text for word in words] == ["offhook", "Offhook"]
    assert words[0].confidence == 0.5


def test_hot_words_are_raised_and_others_not() -> None:
    vocabulary = Vocabulary(find_model() / "tokenizer.bin")
    spelt = vocabulary.spellings("Offhook")[0]
    hot = HotWords(vocabulary, ["Offhook"], 3.0)
    logits = np.zeros(len(vocabulary), np.float32)
    hot.apply(logits, 1)
    assert logits[spelt[0]] == 3.0
    assert logits[spelt[1]] == 0.0
    hot.apply(logits, spelt[0])
    assert logits[spelt[1]] == 3.0


def test_a_call_hears_interims_then_an_early_final_then_the_final() -> None:
    async def main(asr: MoonshineAsr) -> None:
        await asr.warm_up()
        stream = asr.stream(AsrOptions())
        stream.start(1)
        pcm = padded(recorded("feature-not-avail-line.wav"))
        got: list[Transcript] = []
        results = stream.results()
        for place in range(0, len(pcm), 2400):
            say(stream, pcm[place : place + 2400])
            await asyncio.sleep(0.15)
        stream.pause()
        async for transcript in results:
            got.append(transcript)
            if transcript.early:
                stream.end()
            if transcript.is_final:
                break
        interim, early, last = got[0], got[-2], got[-1]
        assert "That feature is not available on this line.".startswith(interim.text[: interim.stable_chars])
        assert interim.text and not interim.early and not interim.is_final
        assert early.early and not early.is_final
        assert last.text == early.text == "That feature is not available on this line."
        assert asr.stats()["early_claimed"] == 1

    run(main)


def test_calls_at_once_do_not_disturb_each_other() -> None:
    async def main(asr: MoonshineAsr) -> None:
        prompts = listed("prompts.tsv")[:4]
        streams = [asr.stream(AsrOptions(interim=False)) for _ in prompts]
        for stream, (file, _) in zip(streams, prompts, strict=True):
            stream.start(1)
            say(stream, padded(recorded(file)))
        await streams[0].aclose()
        for stream in streams[1:]:
            stream.end()
        finals = await asyncio.gather(*(final(stream) for stream in streams[1:]))
        for transcript, (_, text) in zip(finals, prompts[1:], strict=True):
            assert word_errors(text, transcript.text)[0] == 0

    run(main, MoonshineSettings(pool=PoolSettings(threads=2, nice=0)))


def test_a_leg_of_16_khz_needs_no_resampling(ear: Ear) -> None:
    wide = np.repeat(recorded("vm-prev.wav"), 2)
    assert "previous message" in ear.hear(Stretch(wide, 16000), never).text


def test_admission_is_refused_when_all_streams_are_in_use_and_given_when_one_closes() -> None:
    async def main(asr: MoonshineAsr) -> None:
        first = asr.stream(AsrOptions())
        asr.stream(AsrOptions())
        with pytest.raises(EngineBusy):
            asr.stream(AsrOptions())
        await first.aclose()
        asr.stream(AsrOptions())
        assert asr.stats()["streams"] == 2
        assert asr.stats()["streams_refused_full"] == 1

    run(main, MoonshineSettings(max_streams=2, pool=PoolSettings(threads=1)))


def test_admission_is_refused_while_finals_have_to_wait() -> None:
    async def main(asr: MoonshineAsr) -> None:
        asr.stream(AsrOptions())
        await asr.warm_up()
        with pytest.raises(EngineBusy, match="wait"):
            asr.stream(AsrOptions())
        assert asr.stats()["streams_refused_slow"] == 1

    run(main, MoonshineSettings(max_final_wait=1e-9, pool=PoolSettings(threads=1)))


def test_admission_is_refused_where_one_more_would_take_too_much_of_the_threads() -> None:
    now, spent = 0.0, 0.0
    load = OwedLoad(1, lambda: spent, lambda: now)

    async def main() -> None:
        nonlocal now, spent
        asr = MoonshineAsr(MoonshineSettings(max_busy=0.8, pool=PoolSettings(threads=1)), load=load)
        streams = [asr.stream(AsrOptions()) for _ in range(3)]
        now, spent = 18.0, 10.8  # a fifth of a thread for each
        streams.append(asr.stream(AsrOptions()))
        with pytest.raises(EngineBusy, match="100% of the decode threads"):
            asr.stream(AsrOptions())
        assert asr.stats()["streams_refused_busy"] == 1
        await streams.pop().aclose()
        asr.stream(AsrOptions())
        await asr.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("options", [AsrOptions(language="de-DE"), AsrOptions(sample_rate=44100)])
def test_what_it_cannot_hear_is_refused(options: AsrOptions) -> None:
    async def main(asr: MoonshineAsr) -> None:
        with pytest.raises(EngineRefused):
            asr.stream(options)
        asr.stream(AsrOptions(language="en_GB", sample_rate=16000))

    run(main)


def test_a_missing_model_says_what_to_install() -> None:
    with pytest.raises(ModuleNotFoundError, match="moonshine-voice==0.1.0"):
        find_model("no_such_package")


@pytest.mark.parametrize(
    "wrong", [{"max_streams": -1}, {"max_final_wait": 0.0}, {"max_busy": 2.0}, {"hot_word_boost": 9.0}]
)
def test_settings_name_the_field(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MoonshineSettings(**wrong)  # type: ignore[arg-type]
