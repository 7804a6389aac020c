"""Checkpoints with random weights, small or in a model's real shape: for real loading code, and for speed.

Speed depends on the shape alone. They make noise, but the right noise.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

TEXTS = "hello thank you for calling how can i help you today please hold the line one moment"


def vits(folder: Path, seed: int = 0, speakers: int = 0) -> Path:
    """A VITS voice of letters, about a million weights."""
    from TTS.tts.configs.vits_config import VitsConfig
    from TTS.tts.models.vits import Vits

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    config = VitsConfig()
    args = config.model_args
    args.hidden_channels, args.hidden_channels_ffn_text_encoder = 32, 64
    args.num_layers_text_encoder = args.num_layers_flow = args.num_layers_posterior_encoder = 1
    args.upsample_initial_channel_decoder = 32
    args.init_discriminator = False
    args.resblock_type_decoder = "2"
    args.resblock_kernel_sizes_decoder, args.resblock_dilation_sizes_decoder = [3], [[1, 2]]
    config.use_phonemes, config.text_cleaner = False, "basic_cleaners"
    config.add_blank = True
    if speakers:
        args.use_speaker_embedding, args.num_speakers = True, speakers
        config.speakers = [f"speaker{n}" for n in range(speakers)]
    model = Vits(config)
    if speakers:  # as published voices have it: a file beside the weights, named with its place of birth
        names = {name: number for number, name in enumerate(config.speakers)}
        (folder / "speakers.json").write_text(json.dumps(names), encoding="utf-8")
        config.speakers, args.speakers_file = None, "/trained/elsewhere/speakers.json"
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    config.save_json(str(folder / "config.json"))
    return folder


def xtts(
    folder: Path, seed: int = 0, layers: int = 2, width: int = 64, heads: int = 4, most_tokens: int = 100
) -> Path:
    """An XTTS model with a vocabulary of its own, a small transformer and the vocoder in its real shape."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[STOP]", "[UNK]", "[SPACE]", "[START]", "[en]", "[es]", "[de]", "[fr]"]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([TEXTS] * 50, trainer)
    tokenizer.save(str(folder / "vocab.json"))
    config = XttsConfig()
    config.languages = ["en", "es", "de", "fr"]
    args = config.model_args
    args.gpt_use_perceiver_resampler = True
    args.gpt_num_audio_tokens, args.gpt_start_audio_token, args.gpt_stop_audio_token = 1026, 1024, 1025
    args.gpt_max_audio_tokens = most_tokens
    args.gpt_layers, args.gpt_n_model_channels, args.gpt_n_heads = layers, width, heads
    args.decoder_input_dim = width
    model = Xtts(config)
    model.tokenizer = VoiceBpeTokenizer(folder / "vocab.json")
    model.init_models()
    torch.save({"model": model.state_dict(), "config": config.to_dict()}, folder / "model.pth")
    config.save_json(str(folder / "config.json"))
    speaker = {
        "gpt_cond_latent": 0.5 * torch.randn(1, 32, width),
        "speaker_embedding": torch.nn.functional.normalize(torch.randn(1, 512, 1), dim=1),
    }
    torch.save({"Random One": speaker}, folder / "speakers_xtts.pth")
    return folder


def edited(folder: Path, **fields: object) -> None:
    """Change fields of a voice's configuration."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.update(fields)
    path.write_text(json.dumps(config), encoding="utf-8")
