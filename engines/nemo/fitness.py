"""Whether a NeMo model can stream, told from its configuration alone, with the reason where it cannot.

Most published models hear a whole recording at once; they load, but their words would be wrong when fed in
pieces. What is asked for here is what NVIDIA calls cache-aware streaming.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from engines.models.base import ModelUnfit

RATE = 16000
SUBSAMPLING = 8

_CTC = {"EncDecCTCModel", "EncDecCTCModelBPE"}
_RNNT = {"EncDecRNNTModel", "EncDecRNNTBPEModel", "EncDecRNNTBPEEOUModel"}
_HYBRID = {"EncDecHybridRNNTCTCModel", "EncDecHybridRNNTCTCBPEModel"}
_WHOLE = (None, False, "", "NA", "none", "None")
"""Ways to say that features are not normalised over a recording."""

Decoder = Literal["ctc", "rnnt"]


def check_fit(config: Mapping[str, Any], chunk_ms: int, decoder: str) -> Decoder:
    """Which decoder will write the words. Raises `ModelUnfit` with every reason against this model.

    `decoder`: `auto`, `ctc` or `rnnt`, as in the settings.
    """
    reasons = [
        *_against_class(config, decoder),
        *_against_front_end(_part(config, "preprocessor")),
        *_against_encoder(_part(config, "encoder"), chunk_ms),
        *_against_decoder(config),
        *_against_tokenizer(config),
    ]
    if reasons:
        raise ModelUnfit(f"this model cannot stream here: {'; '.join(reasons)}")
    return "ctc" if decoder == "ctc" or _class(config) in _CTC else "rnnt"


def look_ahead(chunk_ms: int, frame_ms: int) -> int:
    """Output frames that a chunk hears beyond its first. Raises `ModelUnfit` for half frames."""
    if chunk_ms % frame_ms:
        raise ModelUnfit(f"chunk_ms: {chunk_ms} is not a multiple of the model's {frame_ms} ms; give one")
    return chunk_ms // frame_ms - 1


def offered(encoder: Mapping[str, Any]) -> list[list[int]]:
    """The model's [past, look-ahead] pairs, in output frames."""
    sizes = encoder.get("att_context_size")
    if not isinstance(sizes, list) or not sizes:
        return []
    return [list(size) for size in sizes] if isinstance(sizes[0], list) else [list(sizes)]


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}


def _class(config: Mapping[str, Any]) -> str:
    return str(config.get("target", "")).rpartition(".")[2]


def _against_class(config: Mapping[str, Any], decoder: str) -> Iterator[str]:
    target = str(config.get("target", ""))
    name = _class(config)
    if name not in _CTC | _RNNT | _HYBRID or not target.startswith("nemo.collections.asr.models."):
        yield f"it is a {target[:100] or 'model without a class'}, not a CTC, RNN-T or hybrid recogniser"
    elif decoder == "ctc" and name in _RNNT or decoder == "rnnt" and name in _CTC:
        yield f"decoder: it has no {decoder} decoder; leave the setting at auto"


def _against_front_end(front: Mapping[str, Any]) -> Iterator[str]:
    if not str(front.get("_target_", "")).endswith("AudioToMelSpectrogramPreprocessor"):
        yield f"its features are made by {front.get('_target_', 'nothing')!s:.80}, not as mel spectra"
        return
    if front.get("normalize", "per_feature") not in _WHOLE:
        normalize = front.get("normalize", "per_feature")
        yield f"its features are normalised over the whole recording (normalize: {normalize}, not NA)"
    if front.get("sample_rate", RATE) != RATE:
        yield f"it hears {front.get('sample_rate')} Hz, not {RATE}"
    if front.get("exact_pad") or int(front.get("frame_splicing", 1)) != 1 or not front.get("log", True):
        yield "its features are padded, spliced or not logarithmic, as cannot be done piece by piece"
    if front.get("window", "hann") not in ("hann", "hamming", "blackman", "bartlett"):
        yield f"its window {front.get('window')!r} is not known"


def _against_encoder(encoder: Mapping[str, Any], chunk_ms: int) -> Iterator[str]:
    if not str(encoder.get("_target_", "")).endswith(".ConformerEncoder"):
        yield f"its encoder is {encoder.get('_target_', 'missing')!s:.80}, not a Conformer"
        return
    style = encoder.get("att_context_style", "regular")
    if style != "chunked_limited":
        yield f"its attention sees {style} context, not chunked_limited: it was not trained to hear in chunks"
    if encoder.get("conv_context_size") not in ("causal", [encoder.get("conv_kernel_size", 31) - 1, 0]):
        yield "its convolutions hear the future (conv_context_size is not causal)"
    if not encoder.get("causal_downsampling", False):
        yield "its subsampling hears the future (causal_downsampling is not set)"
    if encoder.get("conv_norm_type", "batch_norm") == "instance_norm":
        yield "its convolutions are normalised over the whole recording (conv_norm_type: instance_norm)"
    if encoder.get("subsampling_factor") != SUBSAMPLING or "striding" not in str(encoder.get("subsampling")):
        factor = encoder.get("subsampling_factor")
        yield f"it takes {factor} mel frames at a time, not {SUBSAMPLING} by striding"
    if encoder.get("self_attention_model", "rel_pos") != "rel_pos":
        yield f"its attention is {encoder.get('self_attention_model')}, not rel_pos"
    if encoder.get("reduction"):
        yield "it reduces frames inside its encoder"
    yield from _against_look_ahead(offered(encoder), chunk_ms)


def _against_look_ahead(sizes: Sequence[Sequence[int]], chunk_ms: int) -> Iterator[str]:
    frame_ms = SUBSAMPLING * 10
    if chunk_ms % frame_ms:
        yield f"chunk_ms: {chunk_ms} is not a multiple of its {frame_ms} ms"
        return
    ahead = chunk_ms // frame_ms - 1
    chosen = [size for size in sizes if len(size) == 2 and size[1] == ahead]
    if not chosen:
        told = ", ".join(str((size[1] + 1) * frame_ms) for size in sizes if len(size) == 2 and size[1] >= 0)
        yield f"chunk_ms: it was not trained for {chunk_ms}, but for {told or 'unlimited context'}"
    elif chosen[0][0] < ahead + 1 or chosen[0][0] % (ahead + 1):
        yield f"its past of {chosen[0][0]} frames is not a whole number of chunks of {ahead + 1}"


def _against_decoder(config: Mapping[str, Any]) -> Iterator[str]:
    if _class(config) in _CTC:
        return
    if config.get("model_defaults", {}).get("tdt_durations") or "tdt" in str(
        _part(config, "loss").get("loss_name")
    ):
        yield "it predicts durations (TDT), which are not kept up from step to step here"
    target = str(_part(config, "decoder").get("_target_", ""))
    if not target.endswith(".RNNTDecoder"):
        yield f"its prediction network is {target[:80] or 'missing'}, not an RNNTDecoder"
    if not _part(config, "decoder").get("blank_as_pad", True):
        yield "its prediction network has no blank to start from (blank_as_pad is off)"


def _against_tokenizer(config: Mapping[str, Any]) -> Iterator[str]:
    tokenizer = _part(config, "tokenizer")
    if not tokenizer:
        if not config.get("labels") and not _part(config, "decoder").get("vocabulary"):
            yield "it has neither a tokenizer nor labels"
    elif tokenizer.get("type") == "agg":
        yield "it has several tokenizers, one per language, which are not told apart here"
