"""One reading of the Moonshine model: greedy, whatever draft it is given, and bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.engines.moonshine_asr.model import Audio, MoonshineModel
from nemotron_speech.engines.moonshine_asr.vocabulary import MoonshineVocabulary
from nemotron_speech.errors import ConfigurationError
from tests.engines.moonshine_asr.tiny_moonshine import PIECES, save_moonshine, vocabulary
from tests.engines.whisper_asr.whisper_streams import chirp

RATE = 16000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MoonshineModel:
    return MoonshineModel(save_moonshine(tmp_path_factory.mktemp("moonshine")), 1)


def samples(seconds: float, seed: int = 0) -> Audio:
    return np.frombuffer(chirp(seconds, seed), "<i2").astype(np.float32) / np.float32(32768)


def note_runs(model: MoonshineModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many tokens each run of the decoder is given."""
    noted: list[int] = []
    genuine = model._run

    def run(encoded: Any, given: list[int], *rest: Any, **options: Any) -> Any:
        noted.append(len(given))
        return genuine(encoded, given, *rest, **options)

    monkeypatch.setattr(model, "_run", run)
    return noted


def test_different_audio_is_different_text(model: MoonshineModel) -> None:
    assert len({model.read(samples(2.0, seed)).text for seed in range(6)}) == 6


@given(
    st.integers(0, 5),
    st.floats(0.2, 3.0),
    st.lists(st.integers(4, len(PIECES) - 1), max_size=20),
    st.integers(0, 12),
    st.integers(0, 3),
)
def test_a_draft_changes_nothing_of_what_is_heard(
    model: MoonshineModel, seed: int, seconds: float, noise: list[int], right: int, dropped: int
) -> None:
    """Drafts that begin right, lack a few tokens, and go on as they like."""
    audio = samples(seconds, seed)
    plain = model.read(audio)
    draft = [*plain.tokens[:right], *noise, *plain.tokens[right + dropped :]]
    assert model.read(audio, draft).tokens == plain.tokens


def test_a_draft_that_is_right_spares_the_decoder_its_steps(
    model: MoonshineModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nemotron_speech.engines.moonshine_asr.model._SURE", 0.0)
    audio = samples(3.0)
    tokens = model.read(audio).tokens
    runs = note_runs(model, monkeypatch)
    assert model.read(audio, tokens).tokens == tokens
    assert len(runs) == 2 < len(tokens)
    runs.clear()
    early = model.read(audio[: 2 * RATE]).tokens
    runs.clear()
    model.read(audio, early)
    assert len(runs) <= len(tokens) - len(early) + 3


def test_a_guess_that_is_unsure_is_decided_by_a_step_of_its_own(
    model: MoonshineModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quantised model is less exact about many tokens at once."""
    monkeypatch.setattr("nemotron_speech.engines.moonshine_asr.model._SURE", 1.1)
    audio = samples(3.0)
    tokens = model.read(audio).tokens
    runs = note_runs(model, monkeypatch)
    assert model.read(audio, tokens).tokens == tokens
    assert runs.count(1) == len(tokens) + 1


@pytest.mark.parametrize("said", [[7], [7, 8], [7, 8, 9, 10, 11]])
def test_a_decoder_that_runs_in_circles_is_stopped_and_its_phrase_kept_once(
    said: list[int], model: MoonshineModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: Any, given: list[int], cache: Any, first: bool) -> Any:
        turn[0] += 1
        return [said[turn[0] % len(said)]], [1.0], cache

    turn = [-1]
    monkeypatch.setattr(model, "_run", run)
    assert model.read(samples(9.0)).tokens == tuple(said)


def test_no_reading_has_more_tokens_than_can_be_said(
    model: MoonshineModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = iter(range(10_000))
    monkeypatch.setattr(
        model, "_run", lambda _, given, cache, first: ([4 + next(turn) ** 2 % 31], [1.0], cache)
    )
    assert len(model.read(samples(4.0)).tokens) <= 4.0 * 6.5 + 3


def test_words_are_put_together_from_their_pieces() -> None:
    long = "x" * 200
    pieces = ["<unk>", "<s>", "</s>", "▁Fire", "fox", ".", "▁na", "\u2581<", long, "<<ST_5>>"]
    raw = [piece.encode() for piece in pieces]
    found = MoonshineVocabulary(raw).words([3, 4, 5, 9, 6, 7, 8], [0.9, 0.8, 1.0, 0.1, 0.7, 0.6, 0.5])
    assert [word.text for word in found] == ["Firefox.", "na", f"<{long}"]
    assert [word.confidence for word in found] == [0.1, 0.7, 0.5]


def test_bytes_of_a_letter_that_come_apart_are_joined() -> None:
    raw = [b"", b"", b"", "▁caf".encode(), b"\xc3", b"\xa9"]
    assert MoonshineVocabulary(raw).words([3, 4, 5], [1, 1, 1])[0].text == "café"


def test_a_vocabulary_is_read_with_short_and_long_pieces(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(vocabulary([b"a", b"b" * 127, b"c" * 128, b"d" * 300]))
    read = MoonshineVocabulary.read(path)
    assert [len(read.words([token], [1.0])[0].text) for token in range(4)] == [1, 127, 128, 300]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConfigurationError, match="no Moonshine vocabulary"):
        MoonshineVocabulary.read(path)


@pytest.mark.parametrize("absent", ["encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"])
def test_a_folder_that_lacks_a_file_is_refused_by_its_name(absent: str, tmp_path: Path) -> None:
    folder = save_moonshine(tmp_path)
    (folder / absent).unlink()
    with pytest.raises(ConfigurationError, match=f"lacks {absent}"):
        MoonshineModel(folder, 1)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    folder = save_moonshine(tmp_path)
    (folder / "encoder_model.ort").write_bytes(b"nothing")
    with pytest.raises(ConfigurationError, match=r"encoder_model.ort is no usable graph"):
        MoonshineModel(folder, 1)
