"""Tacotron2 and HiFi-GAN on random models; needs Coqui TTS."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nemotron_speech.engines.base import Segment, SynthesisMode, TtsResult
from nemotron_speech.engines.tacotron2_tts.engine import (
    FRAMES,
    PAUSE_MS,
    PRESETS,
    Tacotron2Engine,
    Tacotron2Stream,
)
from nemotron_speech.errors import ConfigurationError, EngineError

torch = pytest.importorskip("torch", reason="PyTorch is not installed (scripts/nemo_env)")
pytest.importorskip("TTS", reason="Coqui TTS is not installed (scripts/nemo_env)")

from tests.engines.speaking import (  # noqa: E402
    assert_batch_is_the_stream_at_once,
    assert_named,
    assert_refused,
    pcm,
    samples,
    sound,
    speak,
)
from tests.engines.tiny_tacotron2 import HOP, RATE, save_hifigan, save_tacotron2  # noqa: E402

TEXT = "Hello world, this is a test of it all."


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("tacotron2")
    yield made
    shutil.rmtree(made)  # tens of megabytes each


@pytest.fixture(scope="module")
def hifigan(folder: Path) -> Path:
    return save_hifigan(folder / "hifigan")


@pytest.fixture(scope="module")
def tacotron2(folder: Path) -> Path:
    return save_tacotron2(folder / "tacotron2", stop_after=40)


def engine_of(tacotron2: Path, hifigan: Path, **options: Any) -> Tacotron2Engine:
    engine = Tacotron2Engine(str(tacotron2), str(hifigan), **{"device": "cpu", **options})
    engine.load()
    return engine


@pytest.fixture(scope="module")
def engine(tacotron2: Path, hifigan: Path) -> Tacotron2Engine:
    return engine_of(tacotron2, hifigan)


def at_once(engine: Tacotron2Engine, text: str) -> np.ndarray:
    """The whole text through the methods of Coqui TTS."""
    voice = engine._voice
    assert voice is not None
    with torch.inference_mode():
        ids = torch.tensor([voice.model.tokenizer.text_to_ids(text, language="en")])
        mel = voice.model.inference(ids)["model_outputs"][0].T
        audio = voice.vocoder._generator.inference(voice.rescale(mel)[None])[0, 0].numpy()
    return (np.clip(audio, -1, 32767 / 32768) * 32768).astype(int)


def assert_same(heard: np.ndarray, expected: np.ndarray) -> None:
    assert len(heard) == len(expected) > 0
    assert np.abs(heard - expected).max() <= 1


@pytest.mark.parametrize("preset", PRESETS)
def test_steps_make_the_audio_of_the_whole_text(engine: Tacotron2Engine, preset: str) -> None:
    results = speak(engine, Segment(TEXT, "voice0", preset=preset))
    assert_same(samples(pcm(results)), at_once(engine, TEXT))
    assert next(len(result.pcm) for result in results if result.pcm) == 2 * HOP * PRESETS[preset]
    heard_after = next(i for i, result in enumerate(results) if result.pcm)
    assert heard_after < len(results) - 1


@pytest.mark.parametrize("context", ["postnet", "vocoder"])
def test_without_context_the_joins_would_be_heard(
    engine: Tacotron2Engine, monkeypatch: pytest.MonkeyPatch, context: str
) -> None:
    assert engine._voice is not None
    if context == "postnet":
        monkeypatch.setattr(engine._frames, "reach", 0)
    else:
        monkeypatch.setattr(engine._voice.vocoder, "context", 0)
    streamed = samples(pcm(speak(engine, Segment(TEXT, "voice0"))))
    assert np.abs(streamed - at_once(engine, TEXT)).max() > 300


def test_batch_is_the_same_audio_at_once(engine: Tacotron2Engine) -> None:
    assert_batch_is_the_stream_at_once(engine, Segment(TEXT, "voice0"))


@pytest.mark.parametrize("text", ["a", "I", "No", "yes."])
def test_one_letter_and_one_word_are_whole(engine: Tacotron2Engine, text: str) -> None:
    assert_same(
        samples(pcm(speak(engine, Segment(text, "voice0", preset="aggressive")))), at_once(engine, text)
    )


def test_sentences_are_spoken_one_after_the_other_with_a_pause_between(engine: Tacotron2Engine) -> None:
    parts = [pcm(speak(engine, Segment(text, "voice0"))) for text in ("Hello world.", "Again.")]
    pause = bytes(2 * (RATE * PAUSE_MS // 1000))
    assert pcm(speak(engine, Segment("Hello world. Again.", "voice0"))) == pause.join(parts)


def test_words_begin_where_the_model_attends_to_them(
    engine: Tacotron2Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's own attention knows no words; here it reads a token in every two steps."""
    genuine = engine._frames.decode

    def reading(states: Sequence[Any], steps: int) -> Any:
        before = [state.steps for state in states]
        return [
            replace(made, attended=read(len(made.state.tokens), begun, made.state.steps))
            for begun, made in zip(before, genuine(states, steps), strict=True)
        ]

    def read(tokens: int, begun: int, ended: int) -> Any:
        attended = torch.zeros(ended - begun, tokens)
        attended[range(ended - begun), [min(step // 2, tokens - 1) for step in range(begun, ended)]] = 1.0
        return attended

    monkeypatch.setattr(engine._frames, "decode", reading)
    results = speak(engine, Segment("It is so. No.", "voice0"))
    voice = engine._voice
    assert voice is not None
    step_ms = 1000 * HOP * engine._frames.per_step / RATE
    padding_ms = 1000 * HOP * voice.padding / RATE
    first = len(pcm(speak(engine, Segment("It is so.", "voice0")))) / 2 / RATE * 1000
    expected = [
        ("It", padding_ms),
        ("is", padding_ms + 2 * 3 * step_ms),
        ("so.", padding_ms + 2 * 6 * step_ms),
        ("No.", first + PAUSE_MS + padding_ms),
    ]
    words = results[-1].words
    assert [word.text for word in words] == [text for text, _ in expected]
    assert [word.start_ms for word in words] == pytest.approx([at for _, at in expected], abs=1)
    assert words[-1].end_ms == pytest.approx(len(pcm(results)) / 2 / RATE * 1000, abs=1)


def test_the_attention_that_is_kept_is_the_models_in_company_too(engine: Tacotron2Engine) -> None:
    def attended(*texts: str) -> list[Any]:
        streams = [engine.open(Segment(text, "voice0")) for text in texts]
        engine.step(streams)
        return [stream.piece.attended[0] for stream in streams if stream.piece is not None]

    assert engine._voice is not None
    alone, (together, _) = attended("Yes.")[0], attended("Yes.", TEXT)
    assert alone.shape == (FRAMES // engine._frames.per_step, len(engine._voice.tokens("Yes.")))
    assert np.allclose(alone, together, atol=1e-5)
    assert np.allclose(alone.sum(1), 1, atol=1e-5)


def assert_alone_in_company(engine: Tacotron2Engine) -> list[int]:
    """Callers who come and go hear what each hears alone; how many texts were decoded together."""
    segments = [
        Segment(TEXT, "voice0"),
        Segment("A second caller.", "voice0", preset="aggressive"),
        Segment("The third one. It has two.", "voice0", mode=SynthesisMode.BATCH),
        Segment("No", "voice0"),
    ]
    alone = [samples(pcm(speak(engine, segment))) for segment in segments]
    heard: dict[int, bytes] = dict.fromkeys(range(len(segments)), b"")
    streams: dict[int, Tacotron2Stream] = {}
    coming, together = list(enumerate(segments)), []
    while coming or streams:
        if coming:
            i, segment = coming.pop(0)
            streams[i] = engine.open(segment)
        together.append(len(streams))
        for i, result in zip(list(streams), sound(engine.step(list(streams.values()))), strict=True):
            heard[i] += result.pcm
            if result.done:
                engine.close(streams.pop(i))
    for i, expected in enumerate(alone):
        assert_same(samples(heard[i]), expected)
    return together


def test_callers_who_come_and_go_hear_what_each_hears_alone(
    engine: Tacotron2Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    genuine = engine._frames.decode

    def counted(states: Sequence[Any], steps: int) -> Any:
        decoded.append(len(states))
        return genuine(states, steps)

    monkeypatch.setattr(engine._frames, "decode", counted)
    assert max(assert_alone_in_company(engine)) == max(decoded) == 4


@pytest.mark.parametrize("attention", [{"use_forward_attn": True}, {"attention_type": "dynamic_convolution"}])
def test_attention_that_cannot_be_batched_hears_one_text_after_the_other(
    folder: Path, hifigan: Path, attention: dict[str, Any]
) -> None:
    engine = engine_of(save_tacotron2(folder / "attentive", **attention), hifigan)
    assert not engine._frames.batched
    assert_same(samples(pcm(speak(engine, Segment(TEXT, "voice0")))), at_once(engine, TEXT))
    assert_alone_in_company(engine)


def test_a_model_that_leaves_something_to_chance_says_a_text_the_same_way_every_time(
    folder: Path, hifigan: Path
) -> None:
    model = save_tacotron2(folder / "dropping", prenet_dropout_at_inference=True)
    one, other = engine_of(model, hifigan), engine_of(model, hifigan, seed=1)
    segment = Segment(TEXT, "voice0")
    assert pcm(speak(one, segment)) == pcm(speak(one, segment)) != pcm(speak(other, segment))
    assert_alone_in_company(one)


def test_a_text_whose_end_is_not_found_is_stopped_and_named(folder: Path, hifigan: Path) -> None:
    engine = engine_of(save_tacotron2(folder / "endless", stop_after=1e6), hifigan)
    stream, results = engine.open(Segment("No. Yes.", "voice0", preset="conservative")), []
    while not results or not results[-1].done:
        results += sound(engine.step([stream]))
    assert results[-1].unspoken == ("No.", "Yes.")
    assert 100 * HOP < len(pcm(results)) // 2 < 500 * HOP


def test_what_has_no_sound_is_left_out_and_named(engine: Tacotron2Engine) -> None:
    results = speak(engine, Segment("Hello 日本 world", "voice0"))
    assert results[-1].unspoken == ("日本",)
    assert pcm(results) == pcm(speak(engine, Segment("Hello world", "voice0")))
    assert speak(engine, Segment("日本", "voice0")) == [TtsResult(b"", done=True, unspoken=("日本",))]


def test_a_cancel_costs_no_further_work(engine: Tacotron2Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = engine.open(Segment(TEXT, "voice0"))
    engine.step([stream])
    engine.close(stream)
    engine.close(stream)
    monkeypatch.setattr(engine._frames, "decode", lambda *a: pytest.fail("decoded"))
    assert engine.step([stream]) == [TtsResult(b"", done=True)]


def test_a_text_that_fails_costs_no_other(engine: Tacotron2Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = samples(pcm(speak(engine, Segment(TEXT, "voice0"))))
    bad, good = engine.open(Segment("Bad. Worse.", "voice0")), engine.open(Segment(TEXT, "voice0"))
    heard = pcm(sound(engine.step([bad, good])))
    genuine = engine._frames.decode

    def failing(states: Sequence[Any], steps: int) -> Any:
        if any(bad.piece is not None and state is bad.piece.state for state in states):
            raise RuntimeError("no")
        return genuine(states, steps)

    with monkeypatch.context() as patch:
        patch.setattr(engine._frames, "decode", failing)
        error, result = engine.step([bad, good])
    assert isinstance(error, EngineError)
    assert engine.step([bad]) == [TtsResult(b"", done=True)]
    heard += pcm(sound([result]))
    while not good.done:
        heard += pcm(sound(engine.step([good])))
    assert_same(samples(heard), alone)


def test_full_memory_makes_batches_smaller(
    tacotron2: Path, hifigan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(tacotron2, hifigan)
    streams = [engine.open(Segment(TEXT, "voice0")) for _ in range(4)]
    decoded: list[int] = []
    genuine = engine._frames.decode

    def small(states: Sequence[Any], steps: int) -> Any:
        if len(states) > 2:
            raise RuntimeError("CUDA out of memory")
        decoded.append(len(states))
        return genuine(states, steps)

    monkeypatch.setattr(engine._frames, "decode", small)
    for _ in range(2):
        sound(engine.step(streams))
    assert decoded == [2, 2, 2, 2]


@pytest.mark.parametrize(
    "wrong", [{"voice": "nobody"}, {"language": "tlh"}, {"speed": 2.0}, {"preset": "mad"}]
)
def test_what_the_models_cannot_do_is_refused(engine: Tacotron2Engine, wrong: dict[str, Any]) -> None:
    assert_refused(engine, Segment(TEXT, "voice0"), wrong)


def test_wrong_settings_are_named(
    tacotron2: Path, hifigan: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from TTS.utils.manage import ModelManager

    def offline(self: Any, name: str) -> Any:
        raise OSError("no network")

    monkeypatch.setattr(ModelManager, "download_model", offline)
    (folder / "empty").mkdir()
    garbage = folder / "garbage"
    garbage.mkdir()
    shutil.copy(tacotron2 / "config.json", garbage)
    (garbage / "model.pth").write_bytes(b"nothing")
    other = save_tacotron2(folder / "other", mels=40)
    usual = {"tacotron2_model": str(tacotron2), "hifigan_model": str(hifigan), "device": "cpu"}
    wrong = [
        ({"tacotron2_model": "absent"}, "tacotron2_model: there is no folder absent"),
        ({"hifigan_model": "absent"}, "hifigan_model: there is no folder absent"),
        ({"tacotron2_model": str(folder / "empty")}, "needs a config.json and one .pth"),
        ({"tacotron2_model": str(garbage)}, "tacotron2_model: .* cannot be loaded"),
        ({"tacotron2_model": str(hifigan)}, "is a hifigan, not a tacotron2"),
        ({"hifigan_model": str(tacotron2)}, "hifigan_model: .* cannot be loaded"),
        ({"tacotron2_model": str(other)}, "trained for each other"),
        ({"tacotron2_model": "tts_models/en/x/tacotron2"}, "cannot be downloaded .*without network"),
        ({"capacity": 0}, "capacity: 0"),
    ]
    assert_named("tacotron2", usual, wrong)


def test_a_model_of_several_speakers_is_refused() -> None:
    from nemotron_speech.engines.tacotron2_tts.load import _check_pair

    settings = SimpleNamespace(use_d_vector_file=False, use_capacitron_vae=False)
    vocoder: Any = SimpleNamespace()
    with pytest.raises(ConfigurationError, match="a model of one speaker"):
        _check_pair(SimpleNamespace(num_speakers=2), settings, vocoder)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in (
        "nemotron_speech.engines.tacotron2_tts.load",
        "nemotron_speech.engines.tacotron2_tts.frames",
    ):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "TTS.config", None)
    with pytest.raises(ConfigurationError, match="uv sync --extra tacotron2"):
        Tacotron2Engine().load()
