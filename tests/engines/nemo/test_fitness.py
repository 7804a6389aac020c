"""Which models are refused, with which reason."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from benchmarks.nemo_models import SHAPES, model_config
from engines.models.base import ModelUnfit
from engines.nemo.fitness import check_fit, look_ahead

HYBRID = model_config(SHAPES["large"], "hybrid", "tokenizer")


def changed(path: str, value: Any, kind: str = "hybrid") -> dict[str, Any]:
    config = copy.deepcopy(model_config(SHAPES["large"], kind, "tokenizer"))
    place: Any = config
    *parts, last = path.split("/")
    for part in parts:
        place = place[part]
    place[last] = value
    return config


@pytest.mark.parametrize("chunk_ms", [80, 160, 560, 1120])
def test_a_cache_aware_model_fits_at_every_look_ahead_that_it_offers(chunk_ms: int) -> None:
    assert check_fit(HYBRID, chunk_ms, "auto") == "rnnt"
    assert check_fit(HYBRID, chunk_ms, "ctc") == "ctc"
    assert check_fit(model_config(SHAPES["large"], "ctc", "t"), chunk_ms, "auto") == "ctc"


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("preprocessor/normalize", "per_feature", "normalised over the whole recording"),
        ("preprocessor/sample_rate", 8000, "hears 8000 Hz"),
        ("preprocessor/_target_", "os.system", "not as mel spectra"),
        ("preprocessor/frame_splicing", 3, "spliced"),
        ("encoder/att_context_style", "regular", "not trained to hear in chunks"),
        ("encoder/conv_context_size", None, "convolutions hear the future"),
        ("encoder/causal_downsampling", False, "subsampling hears the future"),
        ("encoder/self_attention_model", "abs_pos", "not rel_pos"),
        ("encoder/subsampling_factor", 4, "not 8"),
        ("encoder/_target_", "nemo.collections.asr.modules.ConvASREncoder", "not a Conformer"),
        ("encoder/att_context_size", [[70, 0], [70, 13]], "not trained for 160, but for 80, 1120"),
        ("encoder/att_context_size", [-1, -1], "unlimited context"),
        ("encoder/att_context_size", [71, 1], "not a whole number of chunks"),
        ("target", "nemo.collections.asr.models.EncDecMultiTaskModel", "not a CTC, RNN-T or hybrid"),
        ("target", "evil.EncDecCTCModelBPE", "evil.EncDecCTCModelBPE"),
        ("loss/loss_name", "tdt", "durations"),
        ("decoder/_target_", "nemo.collections.asr.modules.StatelessTransducerDecoder", "not an RNNTDecoder"),
        ("tokenizer/type", "agg", "several tokenizers"),
        ("tokenizer", None, "neither a tokenizer nor labels"),
    ],
)
def test_what_cannot_stream_is_refused_with_the_reason(path: str, value: Any, reason: str) -> None:
    with pytest.raises(ModelUnfit, match=reason):
        check_fit(changed(path, value), 160, "auto")


def test_every_reason_is_told_at_once() -> None:
    config = changed("preprocessor/normalize", "per_feature")
    config["encoder"]["att_context_style"] = "regular"
    with pytest.raises(ModelUnfit, match=r"normalised.*; its attention"):
        check_fit(config, 160, "auto")


def test_a_decoder_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelUnfit, match="has no rnnt decoder"):
        check_fit(model_config(SHAPES["large"], "ctc", "t"), 160, "rnnt")
    with pytest.raises(ModelUnfit, match="has no ctc decoder"):
        check_fit(model_config(SHAPES["large"], "rnnt", "t"), 160, "ctc")


def test_a_chunk_is_a_whole_number_of_frames() -> None:
    assert look_ahead(1120, 80) == 13
    with pytest.raises(ModelUnfit, match="100 is not a multiple"):
        look_ahead(100, 80)
    with pytest.raises(ModelUnfit, match="100 is not a multiple"):
        check_fit(HYBRID, 100, "auto")


def test_an_empty_configuration_is_refused_and_nothing_else_happens() -> None:
    with pytest.raises(ModelUnfit, match="cannot stream here"):
        check_fit({}, 160, "auto")
