"""Magpie and its codec with random weights, saved as .nemo files: tiny for tests, real size for speed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODULES = "nemo.collections.tts.modules.audio_codec_modules"
TOKENIZERS = "nemo.collections.common.tokenizers.text_to_speech.tts_tokenizers"
VOICES = 5
G2P = "nemo.collections.tts.g2p.models"
PINYIN = "ni\tN I\nhao\tH AO\nshi\tSH I\njie\tJ IE\n"
PHONEMES = "HELLO  həˈloʊ\nWORLD  ˈwɝld\nAGAIN  əˈɡɛn\n"


@dataclass(frozen=True, slots=True)
class Size:
    """Dimensions of a model's parts."""

    width: int
    ffn: int
    heads: int
    layers: int
    cross_head: int
    context: int
    """Frames of a voice's context."""
    local_width: int
    local_layers: int
    local_heads: int
    codec_channels: int
    codec_kernels: tuple[int, ...]
    codec_dilations: tuple[int, ...]
    longest: int
    """Positions of the decoder."""
    max_steps: int
    decisiveness: float
    """Scale of the output layer: makes what is drawn depend on text and voice much more than on chance."""
    end_bias: float
    """Bias of the end: most texts take 5 to 50 steps; with a very small one they go on to the limit."""


TINY = Size(64, 128, 2, 2, 64, 20, 32, 2, 2, 64, (3, 7), (1, 3), 256, 48, 6.0, 3.0)
REAL = Size(768, 3072, 12, 12, 128, 110, 256, 1, 1, 864, (3, 7, 11), (1, 3, 5), 2048, 500, 1.0, -100.0)
"""Size near that of the released checkpoint, 357 million parameters, and of its codec, 32 million."""


def codec_config(size: Size, *, causal: bool) -> dict[str, Any]:
    """8 codebooks of 2016 codes, 1024 samples a frame, 22 050 Hz."""
    groups, levels, up = 8, [8, 7, 6, 6], [8, 8, 4, 2, 2]
    width = groups * len(levels)
    return {
        "sample_rate": 22050,
        "samples_per_frame": 1024,
        "commit_loss_scale": 0.0,
        "mel_loss_dims": [20],
        "loss_resolutions": [[64, 16, 64]],
        "audio_encoder": {
            "_target_": f"{MODULES}.HiFiGANEncoder",
            "encoded_dim": width,
            "base_channels": 2,
            "down_sample_rates": up[::-1],
            "resblock_kernel_sizes": [3],
            "resblock_dilation_sizes": [1],
        },
        "vector_quantizer": {
            "_target_": f"{MODULES}.GroupFiniteScalarQuantizer",
            "num_groups": groups,
            "num_levels_per_group": levels,
        },
        "audio_decoder": {
            "_target_": f"{MODULES}.{'CausalHiFiGANDecoder' if causal else 'HiFiGANDecoder'}",
            "input_dim": width,
            "base_channels": size.codec_channels,
            "up_sample_rates": up,
            "resblock_kernel_sizes": list(size.codec_kernels),
            "resblock_dilation_sizes": list(size.codec_dilations),
            "activation": "half_snake" if causal else "lrelu",
            "output_activation": "clamp",
        },
        "discriminator": None,
        "generator_loss": {"_target_": "nemo.collections.tts.losses.audio_codec_loss.GeneratorSquaredLoss"},
        "discriminator_loss": {
            "_target_": "nemo.collections.tts.losses.audio_codec_loss.DiscriminatorSquaredLoss"
        },
    }


def magpie_config(size: Size, codec: Path, *, stack: int, tokenizers: dict[str, Any]) -> dict[str, Any]:
    width = size.width
    layers = {
        "d_model": width,
        "d_ffn": size.ffn,
        "sa_n_heads": size.heads,
        "p_dropout": 0.0,
        "p_dropout_out": 0.0,
        "apply_norm_out": True,
        "max_length_causal_mask": size.longest,
        "use_learnable_pos_emb": True,
    }
    return {
        "model_type": "decoder_ce",
        "codecmodel_path": str(codec),
        "embedding_dim": width,
        "frame_stacking_factor": stack,
        "text_tokenizers": tokenizers,
        "prior_scaling_factor": None,
        "prior_end_step": 0,
        "prior_scaledown_start_step": 0,
        "alignment_loss_scale": 0.0,
        "cfg_unconditional_prob": 0.1,
        "context_duration_min": 1.0,
        "context_duration_max": 1.0,
        "local_transformer_type": "autoregressive",
        "local_transformer_n_layers": size.local_layers,
        "local_transformer_n_heads": size.local_heads,
        "local_transformer_hidden_dim": size.local_width,
        "encoder": {
            **layers,
            "n_layers": size.layers // 2 + 1,
            "kernel_size": 3,
            "has_xattn": False,
            "is_causal": True,
        },
        "context_encoder": {
            **layers,
            "n_layers": 1,
            "kernel_size": 3,
            "has_xattn": False,
            "is_causal": False,
        },
        "decoder": {
            **layers,
            "n_layers": size.layers,
            "kernel_size": 1,
            "has_xattn": True,
            "xa_d_memory": width,
            "xa_n_heads": 1,
            "xa_d_head": size.cross_head,
            "is_causal": True,
            "apply_norm_to_cond": True,
        },
        "optim": {"_target_": "torch.optim.AdamW", "lr": 1e-4},
        "inference_parameters": {
            "max_decoder_steps": size.max_steps,
            "temperature": 0.7,
            "topk": 80,
            "cfg_scale": 2.5,
            "apply_attention_prior": True,
        },
    }


def characters() -> dict[str, Any]:
    return {"english_phoneme": {"_target_": f"{TOKENIZERS}.EnglishCharsTokenizer"}}


def phonemes(folder: Path) -> dict[str, Any]:
    dictionary = folder / "phonemes.txt"
    dictionary.write_text(PHONEMES)
    return {
        "english_phoneme": {
            "_target_": f"{TOKENIZERS}.IPATokenizer",
            "punct": True,
            "apostrophe": True,
            "pad_with_space": False,
            "g2p": {
                "_target_": f"{G2P}.i18n_ipa.IpaG2p",
                "phoneme_dict": str(dictionary),
                "heteronyms": None,
                "phoneme_probability": 1.0,
                "ignore_ambiguous_words": False,
                "use_chars": True,
                "use_stresses": True,
            },
        },
        "french_chartokenizer": {"_target_": f"{TOKENIZERS}.FrenchCharsTokenizer"},
    }


def seven_languages(folder: Path) -> dict[str, Any]:
    """Return tokenizers with the names, and where it matters the classes, of a multilingual checkpoint."""
    dictionary = folder / "pinyin.txt"
    dictionary.write_text(PINYIN)
    letters = {
        "spanish_phoneme": "Spanish",
        "german_phoneme": "German",
        "italian_phoneme": "Italian",
        "vietnamese_phoneme": "Vietnamese",
    }
    return {
        **phonemes(folder),
        **{name: {"_target_": f"{TOKENIZERS}.{kind}CharsTokenizer"} for name, kind in letters.items()},
        "mandarin_phoneme": {
            "_target_": f"{TOKENIZERS}.ChinesePhonemesTokenizer",
            "g2p": {
                "_target_": f"{G2P}.zh_cn_pinyin.ChineseG2p",
                "phoneme_dict": str(dictionary),
                "word_segmenter": "jieba",
            },
        },
    }


def save_codec(path: Path, *, size: Size = TINY, causal: bool = True) -> Path:
    import torch  # pyright: ignore[reportMissingImports]
    from nemo.collections.tts.models import AudioCodecModel  # pyright: ignore[reportMissingImports]
    from omegaconf import OmegaConf  # pyright: ignore[reportMissingImports]

    torch.manual_seed(1)
    AudioCodecModel(cfg=OmegaConf.create(codec_config(size, causal=causal))).save_to(str(path))
    return path


def save_magpie(
    path: Path, codec: Path, *, size: Size = TINY, stack: int = 1, tokenizers: dict[str, Any] | None = None
) -> Path:
    """Save a model with five voices, whose weights are large enough that text and voice matter."""
    import torch  # pyright: ignore[reportMissingImports]
    from nemo.collections.tts.models import MagpieTTSModel  # pyright: ignore[reportMissingImports]
    from omegaconf import OmegaConf  # pyright: ignore[reportMissingImports]

    config = magpie_config(size, codec, stack=stack, tokenizers=tokenizers or characters())
    torch.manual_seed(2)
    model = MagpieTTSModel(cfg=OmegaConf.create(config))
    with torch.no_grad():
        for part in (model.encoder, model.decoder, model.local_transformer, model.audio_embeddings):
            for weights in part.parameters():
                weights.mul_(4.0 if weights.dim() > 1 and size is TINY else 1.0)
        for projection in model.local_transformer_out_projections:
            projection.weight.mul_(size.decisiveness)
            projection.bias[model.audio_eos_id] += size.end_bias
        for end in range(model.audio_eos_id, len(model.final_proj.bias), model.num_all_tokens_per_codebook):
            model.final_proj.bias[end] += min(size.end_bias, -1.0)
    width = config["embedding_dim"]
    table = torch.nn.Embedding(VOICES, size.context * width)
    table.weight.requires_grad_(False)
    model.baked_context_embedding = table
    model._baked_embedding_T, model._baked_embedding_D = torch.tensor(size.context), torch.tensor(width)
    model.baked_context_embedding_len = torch.full((VOICES,), size.context)
    model.save_to(str(path))
    return path
