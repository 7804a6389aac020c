"""What NeMo itself makes of a recording: heard at once, and by its own streaming step, one stream alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from nemo.collections.asr.parts.utils.streaming_utils import CacheAwareStreamingAudioBuffer

from engines.nemo.archive import inspect
from engines.nemo.load import restore
from media.frame import Pcm


class Reference:
    """NeMo's model, used as NeMo's own scripts use it."""

    def __init__(self, path: Path, chunk_ms: int, decoder: str) -> None:
        self.model: Any = restore(inspect(path), torch.device("cpu"))
        self.model.preprocessor.featurizer.dither = 0.0
        self.model.preprocessor.featurizer.pad_to = 0
        ahead = chunk_ms // 80 - 1
        past = self.model.encoder.att_context_size_all[0][0]
        self.model.encoder.set_default_att_context_size([past, ahead])
        self.ctc = decoder == "ctc"
        if hasattr(self.model, "cur_decoder"):
            self.model.cur_decoder = decoder

    def encode(self, pcm: Pcm) -> torch.Tensor:
        """[width, frames] of the whole recording."""
        with torch.inference_mode():
            sound = torch.from_numpy(pcm).float()[None] / 32768
            features, length = self.model.preprocessor(input_signal=sound, length=torch.tensor([len(pcm)]))
            features = features[:, :, : int(length)]
            encoded, lengths = self.model.encoder(audio_signal=features, length=length)
        return encoded[0, :, : int(lengths)]

    def written(self, pcm: Pcm) -> list[int]:
        """The pieces that NeMo's decoder writes of the whole recording."""
        if len(pcm) < self.model.preprocessor.featurizer.hop_length:
            return []
        encoded = self.encode(pcm)[None]
        length = torch.tensor([encoded.shape[2]])
        with torch.inference_mode():
            if not self.ctc:
                best = self.model.decoding.rnnt_decoder_predictions_tensor(
                    encoded, length, return_hypotheses=True
                )
                return [int(piece) for piece in best[0].y_sequence]
            head = getattr(self.model, "ctc_decoder", None) or self.model.decoder
            labels = head(encoder_output=encoded)[0].argmax(-1)
        kept = torch.unique_consecutive(labels)
        return [int(label) for label in kept if int(label) != head.num_classes_with_blank - 1]

    def features(self, pcm: Pcm) -> torch.Tensor:
        """[bands, frames] of the whole recording."""
        with torch.inference_mode():
            sound = torch.from_numpy(pcm).float()[None] / 32768
            features, length = self.model.preprocessor(input_signal=sound, length=torch.tensor([len(pcm)]))
        return features[0, :, : int(length)]

    def streamed(self, pcm: Pcm) -> str:
        """The text by NeMo's `conformer_stream_step`, chunk after chunk."""
        model, encoder = self.model, self.model.encoder
        buffer = CacheAwareStreamingAudioBuffer(
            model=model, online_normalization=False, pad_and_drop_preencoded=False
        )
        buffer.append_audio(pcm.astype("float32") / 32768)
        channel, time, length = encoder.get_initial_cache_state(batch_size=1)
        hypotheses: Any = None
        written: Any = None
        texts: Any = [""]
        with torch.inference_mode():
            for number, (chunk, chunk_length) in enumerate(iter(buffer)):
                written, texts, channel, time, length, hypotheses = model.conformer_stream_step(
                    processed_signal=chunk,
                    processed_signal_length=chunk_length,
                    cache_last_channel=channel,
                    cache_last_time=time,
                    cache_last_channel_len=length,
                    keep_all_outputs=buffer.is_buffer_empty(),
                    previous_hypotheses=hypotheses,
                    previous_pred_out=written,
                    drop_extra_pre_encoded=encoder.streaming_cfg.drop_extra_pre_encoded if number else 0,
                    return_transcription=True,
                )
        told = texts[0]
        return " ".join(str(getattr(told, "text", told)).split())
