"""Small random cache-aware FastConformers, saved as real `.nemo` files."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

RATE = 16000
LOOK_AHEADS = [[70, 13], [70, 6], [70, 1], [70, 0]]
_SYLLABLES = ("ba", "de", "fi", "go", "hu", "la", "me", "ni", "po", "ru", "cha", "dro", "fle", "gri", "stra")


def make_tokenizer(folder: Path, pieces: int = 64, marks: tuple[str, ...] = ()) -> Path:
    """Train a SentencePiece model on nonsense; `marks` become tokens of their own."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    words = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 3))) for _ in range(60)]
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(" ".join(rng.choices(words, k=8)) for _ in range(300)),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=pieces,
        model_type="bpe",
        character_coverage=1.0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        hard_vocab_limit=False,
        user_defined_symbols=list(marks),
        minloglevel=2,
    )
    trained = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    vocabulary = [trained.id_to_piece(i) for i in range(1, trained.get_piece_size())]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return folder


def config(
    tokenizer: Path, kind: str, *, width: int = 64, layers: int = 2, heads: int = 4, **encoder: Any
) -> Any:
    """Return the NeMo configuration of a small model: `kind` is rnnt, hybrid, ctc, or prompted (rnnt)."""
    from omegaconf import OmegaConf

    modules = "nemo.collections.asr.modules"
    features = 80
    parts: dict[str, Any] = {
        "sample_rate": RATE,
        "compute_eval_loss": False,
        "log_prediction": False,
        "model_defaults": {"enc_hidden": width, "pred_hidden": 32, "joint_hidden": 32},
        "tokenizer": {"dir": str(tokenizer), "type": "bpe"},
        "preprocessor": {
            "_target_": f"{modules}.AudioToMelSpectrogramPreprocessor",
            "sample_rate": RATE,
            "normalize": "NA",
            "window_size": 0.025,
            "window_stride": 0.01,
            "features": features,
            "n_fft": 512,
            "dither": 1e-5,
            "pad_to": 0,
        },
        "encoder": {
            "_target_": f"{modules}.ConformerEncoder",
            "feat_in": features,
            "n_layers": layers,
            "d_model": width,
            "n_heads": heads,
            "subsampling": "dw_striding",
            "subsampling_factor": 8,
            "subsampling_conv_channels": 16,
            "causal_downsampling": True,
            "self_attention_model": "rel_pos",
            "att_context_size": LOOK_AHEADS,
            "att_context_style": "chunked_limited",
            "conv_kernel_size": 9,
            "conv_norm_type": "layer_norm",
            "conv_context_size": "causal",
            "dropout": 0.1,
            "dropout_att": 0.1,
            **encoder,
        },
        "optim": {"name": "adamw", "lr": 1e-3},
    }
    if kind == "prompted":
        languages = {"auto": 0, "en-US": 1, "de-DE": 2}
        parts["model_defaults"] |= {
            "initialize_prompt_feature": True,
            "num_prompts": 8,
            "prompt_dictionary": languages,
        }
    if kind != "ctc":
        parts |= _transducer(modules, width)
    head = {"_target_": f"{modules}.ConvASRDecoder", "feat_in": width, "num_classes": -1, "vocabulary": []}
    if kind == "hybrid":
        parts["aux_ctc"] = {
            "ctc_loss_weight": 0.3,
            "use_cer": False,
            "ctc_reduction": "mean_batch",
            "decoder": head,
            "decoding": {"strategy": "greedy"},
        }
    if kind == "ctc":
        parts |= {"decoder": head, "decoding": {"strategy": "greedy"}}
    return OmegaConf.create(parts)


def _transducer(modules: str, width: int) -> dict[str, Any]:
    return {
        "decoder": {
            "_target_": f"{modules}.RNNTDecoder",
            "normalization_mode": None,
            "random_state_sampling": False,
            "blank_as_pad": True,
            "prednet": {"pred_hidden": 32, "pred_rnn_layers": 1, "t_max": None, "dropout": 0.0},
        },
        "joint": {
            "_target_": f"{modules}.RNNTJoint",
            "log_softmax": None,
            "preserve_memory": False,
            "fuse_loss_wer": False,
            "fused_batch_size": 4,
            "jointnet": {
                "joint_hidden": 32,
                "activation": "relu",
                "dropout": 0.0,
                "encoder_hidden": width,
                "pred_hidden": 32,
            },
        },
        "decoding": {"strategy": "greedy_batch", "greedy": {"max_symbols": 3}},
        "loss": {"loss_name": "default", "warprnnt_numba_kwargs": {"fastemit_lambda": 0.0, "clamp": -1.0}},
    }


def make_model(tokenizer: Path, kind: str, seed: int = 0, **options: Any) -> Any:
    """Return a random model whose tokens depend on what it hears."""
    import torch
    from nemo.collections.asr import models

    classes = {
        "prompted": models.EncDecRNNTBPEModelWithPrompt,
        "rnnt": models.EncDecRNNTBPEModel,
        "hybrid": models.EncDecHybridRNNTCTCBPEModel,
        "ctc": models.EncDecCTCModelBPE,
    }
    torch.manual_seed(seed)
    model = classes[kind](cfg=config(tokenizer, kind, **options)).eval()
    with torch.no_grad():
        _liven(model, kind)
    return model


def _liven(model: Any, kind: str) -> None:
    """Make the output layers tell apart what the encoder hears, which differs little at random weights."""
    import torch

    heard = babble(20, seed=99)
    signal = torch.from_numpy(heard.astype(np.float32) / 32768)[None]
    mel, length = model.preprocessor(input_signal=signal, length=torch.tensor([len(heard)]))
    encoded = model.encoder(audio_signal=mel, length=length)[0]
    if kind == "prompted":
        model.prompt_kernel[0].weight[:, -model.num_prompts :].normal_(0, 1)
        told = [_told(model, encoded, language) for language in range(3)]
        encoded = torch.cat(told, -1)
    frames = encoded[0].T
    mean, spread = frames.mean(0), frames.std(0)
    if kind != "ctc":
        model.joint.enc.weight.normal_(0, 2 / len(mean) ** 0.5).div_(spread)
        model.joint.enc.bias.copy_(-model.joint.enc.weight @ mean)
        output = model.joint.joint_net[-1]
        output.weight.normal_(0, 1.0)
        output.bias.zero_()
        output.bias[-1] = 5.0
    if kind in ("hybrid", "ctc"):
        head = (model.decoder if kind == "ctc" else model.ctc_decoder).decoder_layers[0]
        head.weight.normal_(0, 2 / len(mean) ** 0.5).div_(spread[:, None])
        head.bias.copy_(-head.weight[..., 0] @ mean)
        head.bias[-1] += 4.0


def _told(model: Any, encoded: Any, language: int) -> Any:
    model._inference_prompt_index = language
    return model._apply_prompt_to_encoded(encoded)


def babble(seconds: float, seed: int) -> npt.NDArray[np.int16]:
    """Return something that changes the way speech does: voiced and noisy stretches, and pauses."""
    rng = np.random.default_rng(seed)
    pieces: list[npt.NDArray[np.float64]] = []
    while sum(map(len, pieces)) < seconds * RATE:
        n = int(rng.uniform(0.04, 0.2) * RATE)
        t = np.arange(n) / RATE
        pitch, formants = rng.uniform(90, 250), rng.uniform(300, 3500, 3)
        voiced = np.sin(2 * np.pi * pitch * t) * sum(
            np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in formants
        )
        sound = voiced if rng.random() < 0.6 else rng.normal(0, 1, n)
        pieces.append(sound * np.hanning(n) * rng.choice([0.0, 0.1, 0.3, 1.0]))
    signal = np.concatenate(pieces)[: int(seconds * RATE)]
    return (signal / max(np.abs(signal).max(), 1e-9) * 20000 + rng.normal(0, 20, len(signal))).astype("<i2")
