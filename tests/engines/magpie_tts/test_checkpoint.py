"""Checkpoints that can be used, and clear words about those that cannot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks import random_magpie as tiny
from nemotron_speech.engines.base import Segment, SynthesisMode
from nemotron_speech.engines.registry import tts_engine
from nemotron_speech.errors import ConfigurationError
from tests.engines.magpie_tts.decoding import chunks_of, ours
from tests.engines.magpie_tts.test_engine import FRAME, TEXT, samples, speak

if TYPE_CHECKING:
    from nemotron_speech.engines.magpie_tts.engine import MagpieEngine


def test_naming_the_engine_imports_no_model_library() -> None:
    code = (
        "import sys; from nemotron_speech.engines.registry import tts_engine; tts_engine('magpie');"
        "assert not {'torch', 'nemo'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": "absent.nemo"}, "model: there is no file"),
        ({"model": "absent"}, "model: there is no file"),
        ({"codec": "absent.nemo"}, "codec: there is no file"),
        ({"device": "abacus"}, "device: abacus cannot be used"),
        ({"precision": "fp3"}, "allowed: auto, fp32, bf16, fp16"),
        ({"capacity": 0}, "capacity: 0"),
    ],
)
def test_a_wrong_setting_is_named(checkpoint: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        tts_engine("magpie", **{"model": str(checkpoint), "device": "cpu", **options}).load()


@pytest.mark.usefixtures("nemo")
def test_without_a_network_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from nemo.collections.tts.models import MagpieTTSModel

    def offline(**options: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(MagpieTTSModel, "from_pretrained", offline)
    with pytest.raises(ConfigurationError) as refused:
        tts_engine("magpie", device="cpu").load()
    for typed in (
        "hf download nvidia/magpie_tts_multilingual_357m ",
        "hf download nvidia/nemo-nano-codec-22khz-1.89kbps-21.5fps ",
        "--option model=PATH.nemo --option codec=PATH.nemo",
    ):
        assert typed in str(refused.value)


def test_without_a_network_a_codec_that_is_not_here_is_named(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nemo.collections.tts.models import AudioCodecModel

    def offline(**options: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(AudioCodecModel, "from_pretrained", offline)
    with pytest.raises(
        ConfigurationError, match=r"(?s)codec: a/codec is not here.*hf download a/codec .*codec=PATH"
    ):
        tts_engine("magpie", model=str(checkpoint), codec="a/codec", device="cpu").load()


def test_what_a_language_needs_and_is_not_installed_is_named(
    many_tongues: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nemotron_speech.engines.magpie_tts.checkpoint.find_spec", lambda package: None)
    with pytest.raises(
        ConfigurationError, match=r"mandarin_phoneme.*pip install jieba pypinyin pypinyin-dict"
    ):
        tts_engine("magpie", model=str(many_tongues), device="cpu").load()


def test_another_model_is_no_magpie_checkpoint(codec: Path, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.nemo"
    garbage.write_bytes(b"not an archive")
    for path in (codec, garbage):
        with pytest.raises(ConfigurationError, match=r"Magpie checkpoint|cannot be loaded"):
            tts_engine("magpie", model=str(path), device="cpu").load()


def test_a_codec_given_by_path_replaces_the_one_the_checkpoint_names(
    checkpoint: Path, codec: Path, tmp_path: Path, make_engine: Callable[..., MagpieEngine]
) -> None:
    moved = tmp_path / "elsewhere.nemo"
    moved.write_bytes(codec.read_bytes())
    engine = make_engine(checkpoint, codec=str(moved), seed=18)
    assert engine.model.cfg.codecmodel_path == str(moved)
    assert samples(speak(engine, Segment("No.", "aria"))).any()


def test_a_codec_that_looks_ahead_is_joined_without_clicks(
    checkpoint: Path, folder: Path, make_engine: Callable[..., MagpieEngine]
) -> None:
    import torch

    codec = tiny.save_codec(folder / "noncausal.nemo", causal=False)
    engine = make_engine(checkpoint, codec=str(codec), seed=18)
    streamed = samples(speak(engine, Segment(TEXT, "aria", preset="aggressive"))).astype(float)
    batch = samples(speak(engine, Segment(TEXT, "aria", mode=SynthesisMode.BATCH, preset="aggressive")))
    codes = torch.tensor(ours(engine, chunks_of(engine, TEXT), 2, 18))[None]
    whole, _, _ = engine.model._codec_helper.codes_to_audio(codes, torch.tensor([codes.shape[2]]))
    expected = whole[0].numpy() * 32768
    assert len(streamed) == len(expected) == 45 * FRAME
    assert streamed.tolist() == batch.tolist()
    assert np.corrcoef(streamed, expected)[0, 1] > 0.99
    curve, natural = np.abs(np.diff(streamed, 2)), np.abs(np.diff(expected, 2))
    assert curve.max() <= 1.2 * natural.max()


def test_halved_precision_speaks(checkpoint: Path, make_engine: Callable[..., MagpieEngine]) -> None:
    engine = make_engine(checkpoint, precision="bf16", seed=18)
    results = speak(engine, Segment(TEXT, "aria"))
    assert len(samples(results)) % FRAME == 0
    assert np.abs(samples(results)).max() > 1000
