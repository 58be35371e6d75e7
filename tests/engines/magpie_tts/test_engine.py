"""Speaking through the engine's seam: streaming, joins, cancelling, failing, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nemotron_speech.audio import to_int16
from nemotron_speech.engines.base import Segment, SynthesisMode, TtsResult
from nemotron_speech.errors import BadRequest, EngineError
from tests.engines.magpie_tts.decoding import chunks_of, ours
from tests.engines.speaking import pcm, sound, speak

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nemotron_speech.engines.magpie_tts.engine import MagpieEngine, MagpieStream

FRAME = 1024
TEXT = "Hello world, how are you?"
PRESETS = {"aggressive": 4, "balanced": 6, "conservative": 8}


def samples(results: Sequence[TtsResult]) -> np.ndarray:
    return np.frombuffer(pcm(results), "<i2")


def decoded_at_once(engine: MagpieEngine, text: str, seed: int) -> np.ndarray:
    """What NeMo's codec makes of all frames of the text together (aria's)."""
    import torch

    codes = torch.tensor(ours(engine, chunks_of(engine, text), 2, seed))[None]
    audio, _, _ = engine.model._codec_helper.codes_to_audio(codes, torch.tensor([codes.shape[2]]))
    return to_int16(audio[0].numpy())


def seed_of(engine: MagpieEngine) -> int:
    assert engine._seed is not None
    return engine._seed


@pytest.mark.parametrize("preset", PRESETS)
def test_a_streamed_segment_is_the_batch_segment_bit_for_bit(either: MagpieEngine, preset: str) -> None:
    streamed = speak(either, Segment(TEXT, "aria", preset=preset))
    batch = speak(either, Segment(TEXT, "aria", mode=SynthesisMode.BATCH, preset=preset))
    assert samples(streamed).tobytes() == samples(batch).tobytes()
    assert sum(bool(result.pcm) for result in streamed) >= 45 // 8
    assert [bool(result.pcm) for result in batch] == [False] * (len(batch) - 1) + [True]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_first_audio_comes_with_the_presets_first_frames(either: MagpieEngine, preset: str) -> None:
    results = speak(either, Segment(TEXT, "aria", preset=preset))
    first = next(i for i, result in enumerate(results) if result.pcm)
    stack = either.model.frame_stacking_factor
    assert first + 1 == -(-PRESETS[preset] // stack)
    assert len(results[first].pcm) == 2 * FRAME * PRESETS[preset]


@pytest.mark.parametrize(
    ("text", "preset"),
    [
        (TEXT, "aggressive"),
        (TEXT, "balanced"),
        ("No.", "conservative"),
        ("I", "balanced"),
        ("A somewhat longer text, to be spoken for a while.", "conservative"),
    ],
)
def test_streamed_audio_is_that_of_all_frames_decoded_at_once(
    either: MagpieEngine, text: str, preset: str
) -> None:
    streamed = samples(speak(either, Segment(text, "aria", preset=preset))).astype(int)
    whole = decoded_at_once(either, text, seed_of(either)).astype(int)
    assert len(streamed) == len(whole)
    assert len(streamed) % FRAME == 0
    assert len(streamed) >= 4 * FRAME
    assert np.abs(streamed - whole).max() <= 1  # the last bit, where a sum was rounded the other way
    assert np.abs(whole).max() > 1000


def test_joins_are_no_louder_than_the_rest_and_without_state_they_would_be(engine: MagpieEngine) -> None:
    audio = samples(speak(engine, Segment(TEXT, "aria", preset="aggressive"))).astype(float)
    without_state = joined_without_state(engine)
    assert len(audio) == len(without_state)
    assert step_at_joins(audio) <= 1.0
    assert step_at_joins(without_state) > 1.0
    assert np.abs(audio - without_state).max() > 100


def step_at_joins(audio: np.ndarray) -> float:
    """The second difference at joins, relative to its largest anywhere else."""
    curve = np.abs(np.diff(audio, 2))
    joins = np.arange(4 * FRAME, len(audio) - 1, 4 * FRAME)
    at = np.unique(np.concatenate([joins - 2, joins - 1, joins]))
    return float(curve[at].max() / np.delete(curve, at).max())


def joined_without_state(engine: MagpieEngine) -> np.ndarray:
    """The same frames, every four decoded as if nothing had come before."""
    import torch

    assert engine._codec is not None
    codes = torch.tensor(ours(engine, chunks_of(engine, TEXT), 2, seed_of(engine)))
    pieces = [
        engine._codec.decode([engine._codec.open(0)], [[part]], final=False)[0]
        for part in codes.split(4, dim=1)
    ]
    return to_int16(np.concatenate(pieces)).astype(float)


def test_the_spectrum_at_joins_is_that_of_the_whole_and_without_state_it_would_not_be(
    engine: MagpieEngine,
) -> None:
    streamed = samples(speak(engine, Segment(TEXT, "aria", preset="aggressive"))).astype(float)
    whole = decoded_at_once(engine, TEXT, seed_of(engine)).astype(float)
    assert spectral_difference_db(streamed, whole) < -60
    assert spectral_difference_db(joined_without_state(engine), whole) > -45


def spectral_difference_db(audio: np.ndarray, expected: np.ndarray) -> float:
    """How much the spectra of the 23 ms around joins differ, relative to what is expected there."""
    joins = np.arange(4 * FRAME, len(audio) - 512, 4 * FRAME)
    spectra = [
        np.abs(np.fft.rfft([sound[join - 256 : join + 256] * np.hanning(512) for join in joins]))
        for sound in (audio, expected)
    ]
    difference = np.abs(spectra[0] - spectra[1])
    return float(10 * np.log10((difference**2).sum() / (spectra[1] ** 2).sum()))


def test_guidance_is_on_unless_it_is_turned_off(
    engine: MagpieEngine, checkpoint: Path, make_engine: Callable[..., MagpieEngine]
) -> None:
    segment = Segment(TEXT, "aria")
    usual = samples(speak(engine, segment)).tolist()
    assert samples(speak(make_engine(checkpoint, seed=18, guidance=True), segment)).tolist() == usual
    assert samples(speak(make_engine(checkpoint, seed=18, guidance=False), segment)).tolist() != usual


@pytest.mark.parametrize("text", ["a", "I", "No", "yes."])
def test_one_letter_and_one_word_are_whole(either: MagpieEngine, text: str) -> None:
    results = speak(either, Segment(text, "aria", preset="aggressive"))
    whole = decoded_at_once(either, text, seed_of(either)).astype(int)
    assert len(samples(results)) == len(whole) > 0
    assert np.abs(samples(results).astype(int) - whole).max() <= 1
    assert [word.text for word in results[-1].words] == [text]


def test_segments_that_come_and_go_sound_as_they_do_alone(either: MagpieEngine) -> None:
    segments = [
        Segment(TEXT, "aria", preset="aggressive"),
        Segment("No.", "john", mode=SynthesisMode.BATCH),
        Segment("A somewhat longer text, to be spoken for a while.", "leo", preset="conservative"),
        Segment("I", "sofia"),
        Segment("Another one joins when others are long under way.", "jason"),
    ]
    alone = [samples(speak(either, segment)).astype(int) for segment in segments]
    waiting, speaking, heard = list(enumerate(segments)), {}, {i: [] for i in range(len(segments))}
    tick = 0
    while waiting or speaking:
        if waiting and tick % 4 == 0:
            i, segment = waiting.pop(0)
            speaking[i] = either.open(segment)
        for i, result in zip(list(speaking), sound(either.step(list(speaking.values()))), strict=True):
            heard[i].append(result)
            if result.done:
                either.close(speaking.pop(i))
        tick += 1
    for i, expected in enumerate(alone):
        together = samples(heard[i]).astype(int)
        assert len(together) == len(expected)
        assert np.abs(together - expected).max() <= 1


def test_a_cancel_costs_no_further_decoder_step(
    either: MagpieEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped: list[int] = []
    assert either._decoder is not None
    genuine = either._decoder.step

    def counted(utterances: Sequence[Any]) -> Any:
        stepped.append(len(utterances))
        return genuine(utterances)

    monkeypatch.setattr(either._decoder, "step", counted)
    places = either._decoder.free_slots
    stay, go = either.open(Segment(TEXT, "aria")), either.open(Segment(TEXT, "john"))
    for _ in range(3):
        either.step([stay, go])
    either.close(go)
    either.close(go)
    assert go.frames == 3 * either.model.frame_stacking_factor
    for _ in range(3):
        either.step([stay])
    either.close(stay)
    assert stepped == [2, 2, 2, 1, 1, 1]
    assert either._decoder.free_slots == places


def test_a_segment_that_fails_half_way_costs_no_other(either: MagpieEngine) -> None:
    import torch

    alone = samples(speak(either, Segment(TEXT, "aria"))).astype(int)
    decoder = either._decoder
    assert decoder is not None
    good, bad = either.open(Segment(TEXT, "aria")), either.open(Segment(TEXT, "john"))
    heard: list[TtsResult] = []
    for _ in range(4):
        heard += sound(either.step([good, bad]))[:1]
    with torch.inference_mode():
        assert bad.utterance is not None
        decoder._values.data[:, bad.utterance.slot] = float("nan")
    result, error = either.step([good, bad])
    assert isinstance(error, EngineError)
    assert isinstance(result, TtsResult)
    heard.append(result)
    either.close(bad)
    replacement = either.open(Segment("No.", "john"))  # in the place of the one that failed
    while not heard[-1].done:
        heard += sound(either.step([good]))
    either.close(good)
    together = samples(heard).astype(int)
    assert len(together) == len(alone)
    assert np.abs(together - alone).max() <= 1
    assert finished(either, replacement) == samples(speak(either, Segment("No.", "john"))).tobytes()


def test_a_codec_that_fails_costs_one_segment_and_no_audio_of_the_other(
    engine: MagpieEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = samples(speak(engine, Segment(TEXT, "aria"))).tobytes()
    codec = engine._codec
    assert codec is not None
    good, bad = engine.open(Segment(TEXT, "aria")), engine.open(Segment(TEXT, "john"))
    genuine = codec.decode

    def failing(streams: Sequence[Any], codes: Any, *, final: bool) -> Any:
        if bad.codec in streams:
            raise RuntimeError("the codec broke")
        return genuine(streams, codes, final=final)

    monkeypatch.setattr(codec, "decode", failing)
    heard: list[TtsResult] = []
    errors = []
    while not heard or not heard[-1].done:
        result, *rest = engine.step([good] if errors else [good, bad])
        errors += [error for error in rest if isinstance(error, EngineError)]
        heard += sound([result])
    engine.close(good)
    engine.close(bad)
    assert len(errors) == 1
    assert np.abs(samples(heard).astype(int) - np.frombuffer(alone, "<i2").astype(int)).max() <= 1


@pytest.mark.parametrize("part", ["decoder", "codec"])
def test_memory_that_is_full_makes_the_steps_smaller_and_costs_nobody(
    checkpoint: Path, make_engine: Callable[..., MagpieEngine], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    import torch

    engine = make_engine(checkpoint, seed=18)
    alone = samples(speak(engine, Segment(TEXT, "aria"))).astype(int)
    holder, name = (engine._decoder, "step") if part == "decoder" else (engine._codec, "decode")
    genuine, sizes = getattr(holder, name), []

    def small(batch: Sequence[Any], *rest: Any, **options: Any) -> Any:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return genuine(batch, *rest, **options)

    monkeypatch.setattr(holder, name, small)
    streams = [engine.open(Segment(TEXT, "aria")) for _ in range(7)]
    heard: list[list[TtsResult]] = [[] for _ in streams]
    while not heard[0] or not heard[0][-1].done:
        for results, result in zip(heard, sound(engine.step(streams)), strict=True):
            results.append(result)
    for stream, results in zip(streams, heard, strict=True):
        engine.close(stream)
        assert np.abs(samples(results).astype(int) - alone).max() <= 1
    assert max(sizes) == 7
    assert sum(size > 2 for size in sizes) <= 2, "what did not fit is not tried again"
    assert engine.info.max_batch <= 2, "GET /metrics says it (nemotron_tts_step_limit_streams)"


def finished(engine: MagpieEngine, stream: MagpieStream) -> bytes:
    results: list[TtsResult] = []
    while not results or not results[-1].done:
        results += sound(engine.step([stream]))
    engine.close(stream)
    return samples(results).tobytes()


@pytest.mark.parametrize("text", ["", "…", "🎉", "()", "日本"])
def test_a_text_without_a_sound_is_done_at_once_and_reported(engine: MagpieEngine, text: str) -> None:
    unspoken = engine.plan(text, "en").unspoken
    assert speak(engine, Segment(text, "aria")) == [TtsResult(b"", done=True, unspoken=unspoken)]
    assert bool(unspoken) == (text in ("🎉", "日本"))


def test_what_there_are_no_steps_left_for_is_reported(
    engine: MagpieEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine._decoder is not None
    monkeypatch.setattr(engine._decoder, "_max_steps", 3)
    results = speak(engine, Segment(TEXT, "aria"))
    assert results[-1].unspoken
    assert TEXT.endswith(" ".join(results[-1].unspoken))
    assert pcm(results), "what was made is heard"


@pytest.mark.parametrize(
    "wrong", [{"voice": "nobody"}, {"language": "tlh"}, {"preset": "reckless"}, {"speed": 2.0}]
)
def test_what_the_model_does_not_have_is_refused_and_holds_no_place(
    engine: MagpieEngine, wrong: dict[str, Any]
) -> None:
    assert engine._decoder is not None
    places = engine._decoder.free_slots
    with pytest.raises(BadRequest, match=next(iter(wrong))):
        engine.open(Segment(**{"text": TEXT, "voice": "aria", **wrong}))
    assert engine._decoder.free_slots == places


def test_more_segments_than_places_are_refused(engine: MagpieEngine) -> None:
    streams = [engine.open(Segment(TEXT, "aria")) for _ in range(engine.info.capacity)]
    with pytest.raises(EngineError, match="places"):
        engine.open(Segment(TEXT, "aria"))
    for stream in streams:
        engine.close(stream)


def test_word_times_cover_the_audio_in_order(either: MagpieEngine) -> None:
    results = speak(either, Segment(TEXT, "aria"))
    words = results[-1].words
    assert [word.text for word in words] == TEXT.split()
    edges = [edge for word in words for edge in (word.start_ms, word.end_ms)]
    assert edges == sorted(edges)
    assert edges[0] == 0
    assert edges[-1] == round(1000 * len(samples(results)) / either.info.sample_rate)
    assert not any(result.words for result in results[:-1])


def test_a_long_text_is_spoken_in_parts_to_its_end(engine: MagpieEngine) -> None:
    text = "This sentence is one of several that belong together here. " * 6 + "It ends now."
    assert len(chunks_of(engine, text)) == 7
    results = speak(engine, Segment(text, "aria"))
    words = results[-1].words
    assert [word.text.lower() for word in words] == text.lower().split()
    assert len(samples(results)) >= 7 * 4 * FRAME


def test_info_says_what_the_checkpoint_has(engine: MagpieEngine) -> None:
    info = engine.info
    assert info.voices == ("aria", "john", "sofia", "jason", "leo")
    assert info.languages == ("en",)
    assert info.sample_rate == 22050
    assert info.presets == tuple(PRESETS)
