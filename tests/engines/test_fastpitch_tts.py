"""FastPitch and HiFi-GAN on random models; needs NeMo."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nemotron_speech.engines.base import Segment, SynthesisMode, TtsResult
from nemotron_speech.engines.fastpitch_tts.engine import PAUSE_MS, PRESETS, FastPitchEngine, FastPitchStream
from nemotron_speech.errors import ConfigurationError, EngineError

torch = pytest.importorskip("torch", reason="PyTorch is not installed (scripts/nemo_env)")
pytest.importorskip("nemo", reason="NeMo is not installed (scripts/nemo_env)")

from tests.engines.speaking import (  # noqa: E402
    assert_batch_is_the_stream_at_once,
    assert_double_speed_takes_half_the_time,
    assert_named,
    assert_refused,
    pcm,
    samples,
    sound,
    speak,
)
from tests.engines.tiny_fastpitch import HOP, MELS, RATE, save_fastpitch, save_hifigan  # noqa: E402

TEXT = "Hello world, this is a test of it all."


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fastpitch")


@pytest.fixture(scope="module")
def hifigan(folder: Path) -> Path:
    return save_hifigan(folder / "hifigan.nemo")


@pytest.fixture(scope="module")
def single(folder: Path) -> Path:
    return save_fastpitch(folder / "single.nemo")


def engine_of(fastpitch: Path | str, hifigan: Path | str, **options: Any) -> FastPitchEngine:
    engine = FastPitchEngine(str(fastpitch), str(hifigan), **{"device": "cpu", **options})
    engine.load()
    return engine


@pytest.fixture(scope="module")
def engine(single: Path, hifigan: Path) -> FastPitchEngine:
    return engine_of(single, hifigan)


@pytest.fixture(scope="module")
def many(folder: Path, hifigan: Path) -> FastPitchEngine:
    return engine_of(save_fastpitch(folder / "many.nemo", speakers=3), hifigan, speaker=2)


def at_once(engine: FastPitchEngine, text: str) -> np.ndarray:
    """The whole spectrogram through NeMo's own methods."""
    voices = engine._voices
    assert voices is not None
    with torch.inference_mode():
        mel = voices.model.generate_spectrogram(tokens=voices.model.parse(text))
        audio = voices.vocoder._generator(x=mel)[0, 0].numpy()
    return (np.clip(audio, -1, 32767 / 32768) * 32768).astype(int)


@pytest.mark.parametrize("preset", PRESETS)
def test_windows_make_the_audio_of_the_whole_spectrogram(engine: FastPitchEngine, preset: str) -> None:
    results = speak(engine, Segment(TEXT, "voice0", preset=preset))
    whole, streamed = at_once(engine, TEXT), samples(pcm(results))
    assert len(streamed) == len(whole)
    assert np.abs(streamed - whole).max() <= 1
    assert len(results[0].pcm) == 2 * HOP * PRESETS[preset]
    assert len(results) == -(-len(whole) // (HOP * PRESETS[preset]))


def test_without_context_the_joins_would_be_heard(
    engine: FastPitchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine._voices is not None
    monkeypatch.setattr(engine._voices.vocoder, "context", 0)
    streamed = samples(pcm(speak(engine, Segment(TEXT, "voice0"))))
    assert np.abs(streamed - at_once(engine, TEXT)).max() > 300


def test_batch_is_the_same_audio_at_once(engine: FastPitchEngine) -> None:
    assert_batch_is_the_stream_at_once(engine, Segment(TEXT, "voice0"))


def test_sentences_are_spoken_one_after_the_other_with_a_pause_between(engine: FastPitchEngine) -> None:
    parts = [pcm(speak(engine, Segment(text, "voice0"))) for text in ("Hello world.", "Again.")]
    pause = bytes(2 * (RATE * PAUSE_MS // 1000))
    assert pcm(speak(engine, Segment("Hello world. Again.", "voice0"))) == pause.join(parts)


@pytest.mark.parametrize("text", ["a", "I", "No", "yes."])
def test_one_letter_and_one_word_are_whole(engine: FastPitchEngine, text: str) -> None:
    streamed = samples(pcm(speak(engine, Segment(text, "voice0", preset="aggressive"))))
    whole = at_once(engine, text)
    assert len(streamed) == len(whole) > 0
    assert np.abs(streamed - whole).max() <= 1


@pytest.mark.parametrize("speed", [1.0, 1.7])
def test_words_begin_with_their_first_token_as_long_as_the_model_makes_each(
    many: FastPitchEngine, speed: float
) -> None:
    results = speak(many, Segment("Hello world. Yes, again.", "voice1", speed=speed))
    assert many._voices is not None
    hello, again = many._voices.spectrograms.make(["Hello world.", "Yes, again."], [1, 1], [speed, speed])
    ms_of = 1000 * HOP / RATE
    second = sum(hello.frames) * ms_of + PAUSE_MS
    expected = [
        ("Hello", sum(hello.frames[:1]) * ms_of),  # behind the space that the tokenizer puts there
        ("world.", sum(hello.frames[: 1 + len("Hello ")]) * ms_of),
        ("Yes,", second + sum(again.frames[:1]) * ms_of),
        ("again.", second + sum(again.frames[: 1 + len("Yes, ")]) * ms_of),
    ]
    words = results[-1].words
    assert [word.text for word in words] == [text for text, _ in expected]
    assert [word.start_ms for word in words] == pytest.approx([at for _, at in expected], abs=1)
    assert words[0].end_ms == words[1].start_ms
    assert words[1].end_ms == pytest.approx(second - PAUSE_MS, abs=1)
    assert words[-1].end_ms == pytest.approx(len(pcm(results)) / 2 / RATE * 1000, abs=1)
    assert all(not result.words for result in results[:-1])


def test_callers_who_come_and_go_hear_what_each_hears_alone(
    many: FastPitchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = [
        Segment(TEXT, "voice0"),
        Segment("A second caller.", "voice1", preset="aggressive"),
        Segment("The third one. It has two sentences.", "voice2", mode=SynthesisMode.BATCH),
        Segment(TEXT, "voice1"),
    ]
    alone = [samples(pcm(speak(many, segment))) for segment in segments]
    batches: list[int] = []
    assert many._voices is not None
    genuine = many._voices.vocoder.vocode

    def counted(mels: Sequence[Any], windows: Sequence[Any]) -> Any:
        batches.append(len(mels))
        return genuine(mels, windows)

    monkeypatch.setattr(many._voices.vocoder, "vocode", counted)
    heard: dict[int, bytes] = dict.fromkeys(range(len(segments)), b"")
    streams: dict[int, FastPitchStream] = {}
    coming = list(enumerate(segments))
    while coming or streams:
        if coming:
            i, segment = coming.pop(0)
            streams[i] = many.open(segment)
        for i, result in zip(list(streams), sound(many.step(list(streams.values()))), strict=True):
            heard[i] += result.pcm
            if result.done:
                many.close(streams.pop(i))
    for i, expected in enumerate(alone):
        assert np.abs(samples(heard[i]) - expected).max() <= 1
    assert max(batches) > 1


def test_spectrograms_of_several_texts_in_one_batch_are_those_of_each_alone(many: FastPitchEngine) -> None:
    texts = ["I", "A second caller wants something else.", TEXT, "Yes, no, yes.", "Hello world, hello."]
    speakers, speeds = [0, 1, 2, 1, 0], [1.0, 1.0, 0.7, 1.0, 2.0]
    assert many._voices is not None
    make = many._voices.spectrograms.make
    together = make(texts, speakers, speeds)
    alone = [make([t], [k], [v])[0] for t, k, v in zip(texts, speakers, speeds, strict=True)]
    loudest = max(float(one.mel.abs().max()) for one in alone)
    for one, other in zip(together, alone, strict=True):
        assert (one.tokens, one.frames) == (other.tokens, other.frames)
        assert one.mel.shape == other.mel.shape == (MELS, sum(one.frames))
        assert float((one.mel - other.mel).abs().max()) < 1e-4 * loudest


def test_models_of_other_classes_make_their_spectrograms_one_after_the_other(
    many: FastPitchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert many._voices is not None
    made: list[int] = []
    genuine = many._voices.model.generate_spectrogram

    def generate(tokens: Any, **options: Any) -> Any:
        made.append(len(tokens))
        return genuine(tokens=tokens, **options)

    monkeypatch.setattr(many._voices.model, "generate_spectrogram", generate)
    monkeypatch.setattr(many._voices.spectrograms, "batched", False)
    streams = [many.open(Segment(TEXT, voice)) for voice in many.info.voices]
    assert all(result.pcm for result in sound(many.step(streams)))
    assert made == [1, 1, 1]
    while not streams[0].done:
        (result,) = sound(many.step(streams[:1]))
    assert result.words == (), "such a model does not say how long its tokens are"


def test_padding_that_convolutions_see_would_be_heard(
    many: FastPitchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert many._voices is not None
    spectrograms = many._voices.spectrograms
    alone = spectrograms.make(["Yes."], [1], [1.0])[0].mel
    monkeypatch.setattr(spectrograms, "_padded", lambda lengths: nullcontext())
    padded = spectrograms.make(["Yes.", TEXT], [1, 1], [1.0, 1.0])[0].mel
    assert padded.shape != alone.shape or float((padded - alone).abs().max()) > 0.01


def test_a_step_makes_a_few_spectrograms_and_one_window_of_each(single: Path, hifigan: Path) -> None:
    engine = engine_of(single, hifigan, together=2)
    streams = [engine.open(Segment(TEXT, "voice0")) for _ in range(3)]
    sizes = [[len(result.pcm) // (2 * HOP) for result in sound(engine.step(streams))] for _ in range(2)]
    assert sizes == [[32, 32, 0], [32, 32, 32]]


def test_a_cancel_costs_no_further_work(engine: FastPitchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, other = engine.open(Segment(TEXT, "voice0")), engine.open(Segment("Bye.", "voice0"))
    engine.step([stream])
    engine.close(stream)
    engine.close(stream)
    assert engine._voices is not None
    monkeypatch.setattr(engine._voices.vocoder, "vocode", lambda *a: pytest.fail("vocoded"))
    monkeypatch.setattr(engine, "_make_spectrograms", lambda *a: pytest.fail("made a spectrogram"))
    assert engine.step([stream]) == [TtsResult(b"", done=True)]
    engine.close(other)


def test_a_spectrogram_that_fails_costs_no_other_segment(
    many: FastPitchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert many._voices is not None
    alone = samples(pcm(speak(many, Segment(TEXT, "voice1"))))
    bad, good = many.open(Segment("Bad. Worse.", "voice0")), many.open(Segment(TEXT, "voice1"))
    heard = pcm(sound(many.step([good])))
    with monkeypatch.context() as patch:
        patch.setattr(type(many._voices.model), "forward", lambda *a, **k: 1 / 0)
        error, result = many.step([bad, good])
    assert isinstance(error, EngineError)
    assert many.step([bad]) == [TtsResult(b"", done=True)]
    assert_heard(many, good, heard + pcm(sound([result])), alone)


def test_full_memory_makes_batches_smaller(
    single: Path, hifigan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(single, hifigan)
    assert engine._voices is not None
    streams = [engine.open(Segment(TEXT, "voice0")) for _ in range(4)]
    vocoded: list[int] = []
    genuine = engine._voices.vocoder.vocode

    def small(mels: Sequence[Any], windows: Sequence[Any]) -> Any:
        if len(mels) > 2:
            raise RuntimeError("CUDA out of memory")
        vocoded.append(len(mels))
        return genuine(mels, windows)

    monkeypatch.setattr(engine._voices.vocoder, "vocode", small)
    for _ in range(2):
        assert all(result.pcm for result in sound(engine.step(streams)))
    assert vocoded == [2, 2, 2, 2]


def test_a_vocoder_that_fails_on_one_segment_costs_no_other(
    many: FastPitchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert many._voices is not None
    alone = samples(pcm(speak(many, Segment(TEXT, "voice1"))))
    bad, good = many.open(Segment(TEXT, "voice1")), many.open(Segment(TEXT, "voice1"))
    heard = pcm(sound(many.step([bad, good]))[1:])
    genuine = many._voices.vocoder.vocode

    def failing(mels: Sequence[Any], windows: Sequence[Any]) -> Any:
        if any(bad.made is not None and mel is bad.made.mel for mel in mels):
            raise RuntimeError("out of memory")
        return genuine(mels, windows)

    with monkeypatch.context() as patch:
        patch.setattr(many._voices.vocoder, "vocode", failing)
        error, result = many.step([bad, good])
    assert isinstance(error, EngineError)
    assert_heard(many, good, heard + pcm(sound([result])), alone)


def assert_heard(
    engine: FastPitchEngine, stream: FastPitchStream, heard: bytes, expected: np.ndarray
) -> None:
    while not stream.done:
        heard += pcm(sound(engine.step([stream])))
    assert np.abs(samples(heard) - expected).max() <= 1


def test_double_speed_takes_half_the_time(engine: FastPitchEngine) -> None:
    assert_double_speed_takes_half_the_time(engine, Segment(TEXT, "voice0"), rel=0.1)


def test_speakers_are_voices_and_the_chosen_one_comes_first(many: FastPitchEngine) -> None:
    assert many.info.voices == ("voice2", "voice0", "voice1")
    assert len({pcm(speak(many, Segment("Hello.", voice))) for voice in many.info.voices}) == 3


def test_what_has_no_sound_is_left_out_and_named(engine: FastPitchEngine) -> None:
    results = speak(engine, Segment("Hello 日本 world", "voice0"))
    assert results[-1].unspoken == ("日本",)
    assert pcm(results) == pcm(speak(engine, Segment("Hello world", "voice0")))
    assert speak(engine, Segment("日本", "voice0")) == [TtsResult(b"", done=True, unspoken=("日本",))]


@pytest.mark.parametrize(
    "wrong", [{"voice": "nobody"}, {"language": "tlh"}, {"speed": 9.0}, {"preset": "mad"}]
)
def test_what_the_models_cannot_do_is_refused(engine: FastPitchEngine, wrong: dict[str, Any]) -> None:
    assert_refused(engine, Segment(TEXT, "voice0"), wrong)


def test_a_model_without_pace_has_one_speed(
    single: Path, hifigan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nemo.collections.tts.models import FastPitchModel

    genuine = FastPitchModel.generate_spectrogram
    monkeypatch.setattr(
        FastPitchModel, "generate_spectrogram", lambda self, tokens: genuine(self, tokens=tokens)
    )
    engine = engine_of(single, hifigan)
    assert engine.info.speeds == (1.0, 1.0)
    assert pcm(speak(engine, Segment("Hello.", "voice0")))


def test_a_class_that_this_nemo_does_not_have_is_named(single: Path, hifigan: Path, tmp_path: Path) -> None:
    old = tmp_path / "tacotron2.nemo"
    with tarfile.open(single) as source, tarfile.open(old, "w") as target:
        for member in source.getmembers():
            file = source.extractfile(member)
            data = file.read() if file else b""
            if member.name.endswith("model_config.yaml"):
                data = data.replace(b"fastpitch.FastPitchModel", b"tacotron2.Tacotron2Model")
                member.size = len(data)
            target.addfile(member, io.BytesIO(data) if file else None)
    with pytest.raises(ConfigurationError, match=r"Tacotron2Model, which NeMo 3\..*left NeMo in 3\.0"):
        engine_of(old, hifigan)


def test_wrong_settings_are_named(single: Path, hifigan: Path, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.nemo"
    garbage.write_bytes(b"nothing")
    other = save_fastpitch(tmp_path / "other.nemo", mels=40)
    usual = {"fastpitch_model": str(single), "hifigan_model": str(hifigan), "device": "cpu"}
    wrong = [
        ({"fastpitch_model": "absent.nemo"}, "fastpitch_model: there is no file"),
        ({"hifigan_model": "absent.nemo"}, "hifigan_model: there is no file"),
        ({"fastpitch_model": str(garbage)}, "fastpitch_model: .* cannot be loaded"),
        ({"fastpitch_model": str(hifigan)}, "is a HifiGanModel, not a"),
        ({"hifigan_model": str(single)}, "is a FastPitchModel, not a"),
        ({"fastpitch_model": str(other)}, "trained for each other"),
        ({"speaker": 1}, "speaker: 1; the model has 1"),
        ({"capacity": 0}, "capacity: 0"),
        ({"together": 0}, "together: 0"),
    ]
    assert_named("fastpitch", usual, wrong)
