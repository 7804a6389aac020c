"""A real voice for tests: a package's Piper voice, written as the Coqui checkpoint that it might have been.

Piper trains VITS as Coqui does. Its ONNX file holds the weights that speaking needs, under other names and
with the weight normalisation folded in; what only training needs stays as random as it was made.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

_PARTS = {
    "text_encoder.": "enc_p.", "waveform_decoder.": "dec.", "duration_predictor.": "dp.",
    "translation": "m", "log_scale": "logs",
}  # fmt: skip


def converted(piper: Path, folder: Path) -> Path:
    """Write `config.json` and `model.pth` for a medium voice with one speaker."""
    from TTS.tts.models.vits import Vits

    folder.mkdir(parents=True, exist_ok=True)
    told = json.loads(Path(f"{piper}.json").read_text(encoding="utf-8"))
    held = _weights(piper)
    config = _config(told, held)
    vits = Vits(config)
    alphabet = "text_encoder.emb.weight"
    state = {
        name: _like(tensor, _found(name, held))
        for name, tensor in vits.state_dict().items()
        if name != alphabet
    }
    state[alphabet] = _embedding(vits, told, held)
    vits.load_state_dict(state)
    torch.save({"model": vits.state_dict()}, folder / "model.pth")
    config.save_json(str(folder / "config.json"))
    return folder


def _weights(piper: Path) -> dict[str, np.ndarray]:
    """Everything by the name that Piper's PyTorch model gives it."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(piper)).graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        name = node.name.lstrip("/").rpartition("/")[0].replace("/", ".")
        if node.op_type in ("Conv", "ConvTranspose"):  # folded weights are anonymous: go by who uses them
            held[f"{name}.weight"] = held[node.input[1]]
            if len(node.input) > 2:
                held[f"{name}.bias"] = held[node.input[2]]
        elif node.name == "/enc_p/emb/Gather":
            held["enc_p.emb.weight"] = held[node.input[0]]
    held["dp.flows.0.logs"] = -np.log(held["/dp/flows.0/Exp_output_0"])
    return held


def _config(told: dict[str, Any], held: dict[str, np.ndarray]) -> Any:
    from TTS.tts.configs.shared_configs import CharactersConfig
    from TTS.tts.configs.vits_config import VitsConfig

    config = VitsConfig()
    args = config.model_args
    ups = [held[f"dec.ups.{n}.weight"] for n in range(3)]
    args.init_discriminator = False
    args.resblock_type_decoder = "2"
    args.upsample_rates_decoder = [8, 8, 4]
    args.upsample_initial_channel_decoder = ups[0].shape[0]
    args.upsample_kernel_sizes_decoder = [up.shape[2] for up in ups]
    args.resblock_kernel_sizes_decoder = [3, 5, 7]
    args.resblock_dilation_sizes_decoder = [[1, 2], [2, 6], [3, 12]]
    args.inference_noise_scale = told["inference"]["noise_scale"]
    args.inference_noise_scale_dp = told["inference"]["noise_w"]
    args.length_scale = float(told["inference"]["length_scale"])
    known = list(told["phoneme_id_map"])
    marks = [char for char in "!'(),-.:;? \"" if char in known]
    config.characters = CharactersConfig(
        characters_class="TTS.tts.utils.text.characters.IPAPhonemes",
        pad="<PAD>", bos="^", eos="$", blank="_",
        characters="".join(c for c in known if c not in marks and c not in "_^$" and len(c) == 1),
        punctuations="".join(marks), phonemes=None, is_unique=False, is_sorted=False,
    )  # fmt: skip
    config.use_phonemes, config.phonemizer = True, "espeak"
    config.phoneme_language = told["espeak"]["voice"]
    config.text_cleaner = "english_cleaners"
    config.add_blank = config.enable_eos_bos_chars = True
    config.audio.sample_rate, config.audio.hop_length = told["audio"]["sample_rate"], 256
    return config


def _found(name: str, held: dict[str, np.ndarray]) -> np.ndarray | None:
    """The weight of a Coqui name; None for what speaking does not need."""
    for ours, theirs in _PARTS.items():
        name = name.replace(ours, theirs)
    # Piper counts the mirrors between the flows as well.
    name = re.sub(r"^flow\.flows\.(\d+)", lambda m: f"flow.flows.{2 * int(m[1])}", name)
    name = re.sub(r"^dp\.flows\.([1-9]\d*)", lambda m: f"dp.flows.{2 * int(m[1]) - 1}", name)
    if ".parametrizations.weight." not in name:
        return held.get(name)
    stem, _, part = name.partition(".parametrizations.weight.")
    folded = held.get(f"{stem}.weight")
    if folded is None or part == "original1":
        return folded
    norms: np.ndarray = np.linalg.norm(folded.reshape(len(folded), -1), axis=1).reshape(-1, 1, 1)
    return norms


def _like(tensor: torch.Tensor, found: np.ndarray | None) -> torch.Tensor:
    if found is None:
        return tensor
    made = torch.tensor(np.array(found), dtype=tensor.dtype)
    if made.shape != tensor.shape:
        raise ValueError(f"not a medium Piper voice: {tuple(made.shape)} instead of {tuple(tensor.shape)}")
    return made


def _embedding(vits: Any, told: dict[str, Any], held: dict[str, np.ndarray]) -> torch.Tensor:
    """Piper's rows in the order of Coqui's alphabet."""
    rows, ids = held["enc_p.emb.weight"], told["phoneme_id_map"]
    alphabet = vits.tokenizer.characters.vocab
    return torch.tensor(np.stack([rows[ids[char][0]] if char in ids else rows[0] for char in alphabet]))
