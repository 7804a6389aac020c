"""Small and full-size NeMo recognisers with random weights, as `.nemo` files.

Random weights hear nothing, but they load, step and cost exactly as trained ones do. Tests hold our numbers
against NeMo's on the small ones; `benchmarks.asr_step` times the large ones. Needs the extra `gpu`.

    python -m benchmarks.nemo_models --shape tiny --kind hybrid build/tiny.nemo
"""

from __future__ import annotations

import argparse
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORDS = (
    "yes no hello please connect me to the billing department i would like an account balance agent operator "
    "zero one two three four five six seven eight nine thank you goodbye cancel order number transfer support"
).split()

CLASSES = {"ctc": "EncDecCTCModelBPE", "rnnt": "EncDecRNNTBPEModel", "hybrid": "EncDecHybridRNNTCTCBPEModel"}
"""NeMo's class of each kind."""


@dataclass(frozen=True)
class Shape:
    """A size of encoder."""

    width: int
    layers: int
    heads: int
    channels: int
    predictor: int
    past: int
    """Output frames that attention sees behind itself."""
    ahead: tuple[int, ...]
    """Look-aheads in output frames; the first is the model's own."""
    bands: int = 80


SHAPES = {
    "tiny": Shape(64, 3, 4, 64, 64, 14, (1, 6, 13, 0)),
    "large": Shape(512, 17, 8, 256, 640, 70, (1, 6, 13, 0)),
}
"""`large` is FastConformer-Large as NVIDIA publishes it: 17 layers of 512, 114 million weights."""


def make(
    path: Path, shape: str = "tiny", kind: str = "hybrid", seed: int = 1, punctuation: bool = False
) -> None:
    """Write a model whose blanks are about as frequent as its pieces."""
    import torch
    from nemo.utils import logging as nemo_logging
    from omegaconf import OmegaConf

    nemo_logging.setLevel(nemo_logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        _tokenizer(Path(folder), punctuation)
        torch.manual_seed(seed)
        model = _class(kind)(cfg=OmegaConf.create(model_config(SHAPES[shape], kind, folder))).eval()
        _balance(model)
        model.save_to(str(path))


def _balance(model: Any) -> None:
    """Let what is written depend on the sound: an untrained encoder says nearly the same of every frame."""
    import torch

    with torch.no_grad():
        noise = torch.randn(1, 160_000, generator=torch.Generator().manual_seed(0)) * 0.1
        features, length = model.preprocessor(input_signal=noise, length=torch.tensor([160_000]))
        usual = model.encoder(audio_signal=features, length=length)[0].mean((0, 2))
        heads = [getattr(model, "ctc_decoder", None), model.decoder if not hasattr(model, "joint") else None]
        for head in filter(None, heads):
            layer = head.decoder_layers[-1]
            layer.bias.copy_(-(layer.weight[:, :, 0] @ usual))
            layer.bias[-1] += 0.3
        if hasattr(model, "joint"):
            model.joint.enc.bias.copy_(-(model.joint.enc.weight @ usual))
            model.joint.joint_net[-1].bias[-1] += 0.3


def _class(kind: str) -> Any:
    from nemo.collections.asr import models

    return getattr(models, CLASSES[kind])


def _tokenizer(folder: Path, punctuation: bool) -> None:
    import sentencepiece

    choose = random.Random(0)
    lines = [" ".join(choose.choices(WORDS, k=8)) for _ in range(2000)]
    if punctuation:
        lines = [line.capitalize().replace(" ", choose.choice(("? ", ", ", " ")), 1) + "." for line in lines]
    (folder / "text").write_text("\n".join(lines), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"), model_prefix=str(folder / "tokenizer"), vocab_size=96, model_type="bpe",
        bos_id=-1, eos_id=-1, unk_id=0, pad_id=-1, minloglevel=2,
    )  # fmt: skip
    made = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    pieces = [made.id_to_piece(number) for number in range(1, made.get_piece_size())]
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")


def model_config(shape: Shape, kind: str, tokenizer: str) -> dict[str, Any]:
    """The model's configuration as NeMo reads and writes it; `tokenizer`: folder of a SentencePiece model."""
    modules = "nemo.collections.asr.modules."
    config: dict[str, Any] = {
        "target": f"nemo.collections.asr.models.{CLASSES[kind]}",
        "sample_rate": 16000,
        "log_prediction": False,
        "ctc_reduction": "mean_volume",
        "skip_nan_grad": False,
        "model_defaults": {
            "enc_hidden": shape.width,
            "pred_hidden": shape.predictor,
            "joint_hidden": shape.predictor,
        },
        "train_ds": None,
        "validation_ds": None,
        "test_ds": None,
        "tokenizer": {"dir": tokenizer, "type": "bpe"},
        "preprocessor": {
            "_target_": modules + "AudioToMelSpectrogramPreprocessor",
            "sample_rate": 16000,
            "normalize": "NA",
            "window_size": 0.025,
            "window_stride": 0.01,
            "window": "hann",
            "features": shape.bands,
            "n_fft": 512,
            "log": True,
            "frame_splicing": 1,
            "dither": 1e-5,
            "pad_to": 0,
        },
        "encoder": _encoder(shape, modules),
        "spec_augment": {"_target_": modules + "SpectrogramAugmentation", "freq_masks": 0, "time_masks": 0},
        "optim": {"name": "adamw", "lr": 1e-3},
    }
    ctc = {
        "_target_": modules + "ConvASRDecoder",
        "feat_in": shape.width,
        "num_classes": -1,
        "vocabulary": [],
    }
    if kind == "ctc":
        return {**config, "decoder": ctc, "decoding": {"strategy": "greedy_batch"}}
    config |= _transducer(shape, modules)
    if kind == "hybrid":
        config["aux_ctc"] = {
            "ctc_loss_weight": 0.3,
            "use_cer": False,
            "ctc_reduction": "mean_batch",
            "decoder": ctc,
            "decoding": {"strategy": "greedy_batch"},
        }
    return config


def _encoder(shape: Shape, modules: str) -> dict[str, Any]:
    return {
        "_target_": modules + "ConformerEncoder",
        "feat_in": shape.bands,
        "feat_out": -1,
        "n_layers": shape.layers,
        "d_model": shape.width,
        "use_bias": False,
        "subsampling": "dw_striding",
        "subsampling_factor": 8,
        "subsampling_conv_channels": shape.channels,
        "causal_downsampling": True,
        "reduction": None,
        "reduction_position": None,
        "reduction_factor": 1,
        "ff_expansion_factor": 4,
        "self_attention_model": "rel_pos",
        "n_heads": shape.heads,
        "att_context_size": [[shape.past, ahead] for ahead in shape.ahead],
        "att_context_style": "chunked_limited",
        "xscaling": False,
        "untie_biases": True,
        "pos_emb_max_len": 5000,
        "conv_kernel_size": 9,
        "conv_norm_type": "layer_norm",
        "conv_context_size": "causal",
        "dropout": 0.1,
        "dropout_pre_encoder": 0.1,
        "dropout_emb": 0.0,
        "dropout_att": 0.1,
    }


def _transducer(shape: Shape, modules: str) -> dict[str, Any]:
    predictor = shape.predictor
    return {
        "decoder": {
            "_target_": modules + "RNNTDecoder",
            "normalization_mode": None,
            "random_state_sampling": False,
            "blank_as_pad": True,
            "prednet": {"pred_hidden": predictor, "pred_rnn_layers": 1, "t_max": None, "dropout": 0.2},
        },
        "joint": {
            "_target_": modules + "RNNTJoint",
            "log_softmax": None,
            "preserve_memory": False,
            "fuse_loss_wer": True,
            "fused_batch_size": 4,
            "jointnet": {
                "joint_hidden": predictor,
                "activation": "relu",
                "dropout": 0.2,
                "encoder_hidden": shape.width,
                "pred_hidden": predictor,
            },
        },
        "decoding": {"strategy": "greedy_batch", "greedy": {"max_symbols": 10}},
        "loss": {"loss_name": "default", "warprnnt_numba_kwargs": {"fastemit_lambda": 0.0, "clamp": -1.0}},
    }


def main() -> None:
    """Write one model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="the .nemo file to write")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="tiny")
    parser.add_argument("--kind", choices=sorted(CLASSES), default="hybrid")
    parser.add_argument("--punctuation", action="store_true", help="a vocabulary with marks and capitals")
    args = parser.parse_args()
    args.path.parent.mkdir(parents=True, exist_ok=True)
    make(args.path, args.shape, args.kind, punctuation=args.punctuation)


if __name__ == "__main__":
    main()
