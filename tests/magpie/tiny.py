"""A tiny Magpie and its codec with random weights, saved as real .nemo files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MODULES = "nemo.collections.tts.modules.audio_codec_modules"
TOKENIZERS = "nemo.collections.common.tokenizers.text_to_speech.tts_tokenizers"
CONTEXT = 20
VOICES = 5
DECISIVENESS = 6.0
"""Makes what is drawn depend on text and voice much more than on chance."""
END_BIAS = 3.0
"""Makes most texts 5 to 50 steps long."""
PHONEMES = "HELLO  həˈloʊ\nWORLD  ˈwɝld\nAGAIN  əˈɡɛn\n"


def codec_config(*, causal: bool) -> dict[str, Any]:
    """8 codebooks of 2016 codes, 1024 samples a frame, 22 050 Hz; far narrower than a real one."""
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
            "base_channels": 64,
            "up_sample_rates": up,
            "resblock_kernel_sizes": [3, 7],
            "resblock_dilation_sizes": [1, 3],
            "activation": "half_snake" if causal else "lrelu",
            "output_activation": "clamp",
        },
        "discriminator": None,
        "generator_loss": {"_target_": "nemo.collections.tts.losses.audio_codec_loss.GeneratorSquaredLoss"},
        "discriminator_loss": {
            "_target_": "nemo.collections.tts.losses.audio_codec_loss.DiscriminatorSquaredLoss"
        },
    }


def magpie_config(codec: Path, *, stack: int, tokenizers: dict[str, Any]) -> dict[str, Any]:
    width = 64
    layers = {
        "d_model": width,
        "d_ffn": 2 * width,
        "sa_n_heads": 2,
        "p_dropout": 0.0,
        "p_dropout_out": 0.0,
        "apply_norm_out": True,
        "max_length_causal_mask": 256,
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
        "local_transformer_n_layers": 2,
        "local_transformer_n_heads": 2,
        "local_transformer_hidden_dim": 32,
        "encoder": {**layers, "n_layers": 2, "kernel_size": 3, "has_xattn": False, "is_causal": True},
        "context_encoder": {
            **layers,
            "n_layers": 1,
            "kernel_size": 3,
            "has_xattn": False,
            "is_causal": False,
        },
        "decoder": {
            **layers,
            "n_layers": 2,
            "kernel_size": 1,
            "has_xattn": True,
            "xa_d_memory": width,
            "xa_n_heads": 1,
            "is_causal": True,
            "apply_norm_to_cond": True,
        },
        "optim": {"_target_": "torch.optim.AdamW", "lr": 1e-4},
        "inference_parameters": {
            "max_decoder_steps": 60,
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
                "_target_": "nemo.collections.tts.g2p.models.i18n_ipa.IpaG2p",
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


def save_codec(path: Path, *, causal: bool = True) -> Path:
    import torch
    from nemo.collections.tts.models import AudioCodecModel
    from omegaconf import OmegaConf

    torch.manual_seed(1)
    AudioCodecModel(cfg=OmegaConf.create(codec_config(causal=causal))).save_to(str(path))
    return path


def save_magpie(path: Path, codec: Path, *, stack: int = 1, tokenizers: dict[str, Any] | None = None) -> Path:
    """Save a model with five voices, whose weights are large enough that text and voice matter."""
    import torch
    from nemo.collections.tts.models import MagpieTTSModel
    from omegaconf import OmegaConf

    config = magpie_config(codec, stack=stack, tokenizers=tokenizers or characters())
    torch.manual_seed(2)
    model = MagpieTTSModel(cfg=OmegaConf.create(config))
    with torch.no_grad():
        for part in (model.encoder, model.decoder, model.local_transformer, model.audio_embeddings):
            for weights in part.parameters():
                weights.mul_(4.0 if weights.dim() > 1 else 1.0)
        for projection in model.local_transformer_out_projections:
            projection.weight.mul_(DECISIVENESS)
            projection.bias[model.audio_eos_id] += END_BIAS
        for end in range(model.audio_eos_id, len(model.final_proj.bias), model.num_all_tokens_per_codebook):
            model.final_proj.bias[end] -= 1.0
    width = config["embedding_dim"]
    table = torch.nn.Embedding(VOICES, CONTEXT * width)
    table.weight.requires_grad_(False)
    model.baked_context_embedding = table
    model._baked_embedding_T, model._baked_embedding_D = torch.tensor(CONTEXT), torch.tensor(width)
    model.baked_context_embedding_len = torch.full((VOICES,), CONTEXT)
    model.save_to(str(path))
    return path
