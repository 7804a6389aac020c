"""From a `.nemo` file to a model that is ready to step: checked, restored, prepared, warmed up."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import structlog
import torch

from engines.base import EngineRefused
from engines.models.base import Models, ModelUnfit, warming
from engines.nemo import device as devices
from engines.nemo.archive import Archive, inspect
from engines.nemo.attention import Attention
from engines.nemo.attention_inputs import InputsAttention
from engines.nemo.attention_projected import ProjectedAttention
from engines.nemo.ctc import CtcHead
from engines.nemo.fitness import Decoder, check_fit, look_ahead, offered
from engines.nemo.frontend import Frontend
from engines.nemo.geometry import Geometry
from engines.nemo.graphs import GraphedAttention
from engines.nemo.heads import Head
from engines.nemo.model import NemoModel
from engines.nemo.rnnt import RnntHead
from engines.nemo.settings import NemoSettings
from engines.nemo.utterance import Row, Utterance, Work
from engines.nemo.words import Vocabulary

log = structlog.get_logger(__name__)

_STREAMS_GPU = 512
_STREAMS_CPU = 4
_MOST_SYMBOLS = 10
"""Pieces that one frame may give where the model's configuration does not say."""


def load(settings: NemoSettings, models: Models) -> NemoModel:
    """Blocks for seconds, or minutes where it must be fetched. Raises `EngineError` with the reason."""
    if not settings.model:
        raise EngineRefused("model: name the .nemo file to serve: a path, an address, or a name of the store")
    device = devices.choose(settings)  # before minutes go into a download that this machine cannot use
    archive = inspect(models.path(settings.model, settings.sha256))
    decoder = check_fit(archive.config, settings.chunk_ms, settings.decoder)
    model = build(restore(archive, device), settings, decoder, device)
    warming(models)
    warm(model, model_sizes(settings, device))
    return model


def restore(archive: Archive, device: torch.device) -> Any:
    """NeMo's own model, on the device, for inference only. Raises `ModelUnfit`."""
    if os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        raise EngineRefused(
            "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set, so that models could run code; unset it"
        )
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a tokenizer's name must not become a download
    from nemo.collections.asr.models import ASRModel
    from nemo.utils import logging as nemo_logging

    nemo_logging.setLevel(nemo_logging.ERROR)
    try:
        model = ASRModel.restore_from(str(archive.path), map_location=device)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ModelUnfit(f"{archive.path.name}: NeMo cannot load it: {reason}") from error
    model.freeze()
    return model.eval()


def build(model: Any, settings: NemoSettings, decoder: Decoder, device: torch.device) -> NemoModel:
    """Put our pool and step around a restored model. Raises `ModelUnfit` and `EngineRefused`."""
    encoder = model.encoder
    dtype = devices.precision(settings, device)
    encoder.to(dtype)
    geometry = _set_chunk(model, settings.chunk_ms)
    slots = settings.max_streams or (_STREAMS_GPU if device.type == "cuda" else _STREAMS_CPU)
    weights = sum(part.numel() * part.element_size() for part in model.parameters())
    per_stream = _octets_per_stream(encoder, settings, dtype)
    devices.check_memory(device, 0, slots, per_stream)  # the weights are there already
    buckets = settings.buckets if device.type == "cuda" else ()
    log.info(
        "model loaded", device=str(device), precision=str(dtype), decoder=decoder, chunk_ms=settings.chunk_ms,
        weights_mb=weights >> 20, streams=slots, stream_kb=per_stream >> 10,
    )  # fmt: skip
    return NemoModel(
        encoder,
        Frontend(model.preprocessor.featurizer, slots + 1, device),
        _attention(encoder, settings, geometry, slots + 1, buckets),
        _head(model, decoder, slots + 1),
        _tokenizer(model),
        _vocabulary(model, decoder),
        geometry,
        slots,
        buckets,
    )


def model_sizes(settings: NemoSettings, device: torch.device) -> Sequence[int]:
    """Batches to warm up: all that a GPU will see, and the smallest elsewhere."""
    return settings.buckets if device.type == "cuda" else (1, 2)


def warm(model: NemoModel, sizes: Sequence[int]) -> None:
    """Run each size once as first and once as later steps, largest first; nothing of it is kept."""
    for size in sorted(sizes, reverse=True):
        for before in (0, model.geometry.first_frames):
            model.step([_silence(model.geometry, place % model.slots, before) for place in range(size)])


def _silence(geometry: Geometry, slot: int, before: int) -> Row:
    first = before == 0
    need = geometry.need(first)
    noise = np.random.default_rng(1).normal(0.0, 300.0, need).astype(np.int16)
    utterance = Utterance(0, geometry, _Nobody())
    return Row(slot, utterance, Work.PEEK, noise, need, geometry.frames(first), before, 0.0)


class _Nobody:
    """Serves `Listener` for sound that nobody spoke."""

    def heard(self, *told: object) -> None: ...

    def failed(self, *told: object) -> None: ...


def _set_chunk(model: Any, chunk_ms: int) -> Geometry:
    encoder, front = model.encoder, model.preprocessor.featurizer
    front.dither, front.pad_to = 0.0, 0
    frame_ms = round(front.hop_length * encoder.subsampling_factor * 1000 / front.sample_rate)
    ahead = look_ahead(chunk_ms, frame_ms)
    past = next(
        size[0]
        for size in offered({"att_context_size": [list(s) for s in encoder.att_context_size_all]})
        if size[1] == ahead
    )
    encoder.set_default_att_context_size([past, ahead])
    streaming = encoder.streaming_cfg
    return Geometry(
        sample_rate=front.sample_rate,
        hop=front.hop_length,
        window=front.win_length,
        subsampling=encoder.subsampling_factor,
        outputs=streaming.valid_out_len,
        first_frames=streaming.chunk_size[0],
        next_frames=streaming.chunk_size[1],
        mel_cache=streaming.pre_encode_cache_size[1],
        dropped=streaming.drop_extra_pre_encoded,
    )


def _attention(
    encoder: Any, settings: NemoSettings, geometry: Geometry, slots: int, buckets: Sequence[int]
) -> Attention:
    weight = next(encoder.parameters())
    kinds: dict[str, type[InputsAttention] | type[ProjectedAttention]] = {
        "inputs": InputsAttention,
        "projected": ProjectedAttention,
    }
    attention = kinds[settings.attention](encoder, slots, weight.device, weight.dtype)
    if weight.device.type != "cuda" or not settings.cuda_graphs:
        return attention
    with torch.inference_mode():
        return GraphedAttention(attention, geometry.outputs, encoder.d_model, slots - 1, buckets, weight)


def _octets_per_stream(encoder: Any, settings: NemoSettings, dtype: torch.dtype) -> int:
    past = encoder.streaming_cfg.last_channel_cache_size * (2 if settings.attention == "projected" else 1)
    frames = past + encoder.conv_context_size[0]
    return int(len(encoder.layers) * frames * encoder.d_model * dtype.itemsize)


def _head(model: Any, decoder: Decoder, slots: int) -> Head:
    if decoder == "ctc":
        return CtcHead(getattr(model, "ctc_decoder", None) or model.decoder, slots)
    greedy = model.cfg.decoding.get("greedy") or {}
    return RnntHead(model.decoder, model.joint, greedy.get("max_symbols") or _MOST_SYMBOLS, slots)


def _vocabulary(model: Any, decoder: Decoder) -> Vocabulary:
    """Raises `ModelUnfit` where tokenizer and decoder do not count the same pieces."""
    if decoder == "ctc":
        count = (getattr(model, "ctc_decoder", None) or model.decoder).num_classes_with_blank - 1
    else:
        count = model.joint.num_classes_with_blank - 1
    tokenizer = _tokenizer(model)
    if tokenizer.vocab_size != count:
        raise ModelUnfit(
            f"its tokenizer has {tokenizer.vocab_size} pieces, its decoder {count}: they do not match"
        )
    return Vocabulary.of(tokenizer.ids_to_tokens(list(range(count))))


def _tokenizer(model: Any) -> Any:
    return getattr(model, "tokenizer", None) or _Letters(model)


class _Letters:
    """A tokenizer for models that write single characters."""

    def __init__(self, model: Any) -> None:
        head = getattr(model, "joint", None) or model.decoder
        self._letters = list(head.vocabulary)
        self.vocab_size = len(self._letters)

    def ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        return [self._letters[number] for number in ids]

    def text_to_ids(self, text: str) -> list[int]:
        return [self._letters.index(letter) for letter in text if letter in self._letters]
