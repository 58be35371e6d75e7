"""The stream machine over a decoder that writes down what it is given."""

from __future__ import annotations

import numpy as np
import pytest

from nemotron_speech.engines.base import AsrResult, Flush
from nemotron_speech.engines.pocketsphinx_asr.band import is_narrow, widen
from nemotron_speech.engines.pocketsphinx_asr.gate import FRAME_BYTES, Sound, measure
from nemotron_speech.engines.pocketsphinx_asr.library import SphinxToken
from nemotron_speech.engines.pocketsphinx_asr.stream import FRAME_MS, LONGEST_FRAMES, SphinxStream
from nemotron_speech.engines.shared.running_text import MOST_CHARACTERS, MOST_WORDS, RECENT_CHARACTERS

HISS = np.random.default_rng(3).integers(-900, 900, FRAME_BYTES // 2).astype(np.int16).tobytes()[1:]
SILENT, NOISY, VOICED = (bytes([mark]) + HISS for mark in (0, 1, 2))
"""Frames of the full band, which `MarkGate` tells apart by their first byte."""


class MarkGate:
    def reset(self) -> None:
        pass

    def hear(self, frame: bytes) -> Sound:
        return Sound(frame[0])


class WordDecoder:
    """Recognises one word per 10 whole frames of 30 ms, numbered over all utterances."""

    def __init__(self, word: str = "word", posterior: float = 1.0) -> None:
        self.word, self.posterior = word, posterior
        self.utterances: list[bytearray] = []
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def begin(self) -> None:
        self.utterances.append(bytearray())

    def feed(self, pcm: bytes) -> None:
        self.utterances[-1] += pcm

    def end(self) -> None:
        pass

    def tokens(self) -> list[SphinxToken]:
        count = max(1, len(self.utterances[-1]) // (10 * FRAME_BYTES))
        words = [SphinxToken(self.word, 30 * i, 30 * i + 29, self.posterior, 0) for i in range(count)]
        return [SphinxToken("<s>", 0, 0, 1.0, 0), *words, SphinxToken("<sil>", 0, 0, 1.0, 0)]


def stream(decoder: WordDecoder, *vocabulary: str) -> SphinxStream:
    return SphinxStream(decoder, MarkGate(), frozenset(vocabulary))


def test_silence_is_never_decoded() -> None:
    decoder = WordDecoder()
    assert stream(decoder).advance(1000 * SILENT, Flush.HARD) == AsrResult("")
    assert decoder.utterances == []


def test_the_audio_before_the_gate_opens_is_decoded_too() -> None:
    decoder = WordDecoder()
    stream(decoder).advance(100 * SILENT + 5 * VOICED, Flush.NONE)
    assert len(decoder.utterances[0]) > 5 * FRAME_BYTES
    assert decoder.utterances[0].startswith(SILENT)
    assert decoder.utterances[0].endswith(5 * VOICED)


def test_every_cut_of_the_audio_gives_the_same_decoder_input() -> None:
    audio = 20 * SILENT + 40 * VOICED + 10 * SILENT
    inputs = []
    for size in (320, 1000, 3200, len(audio)):
        decoder = WordDecoder()
        heard = stream(decoder)
        for start in range(0, len(audio), size):
            heard.advance(audio[start : start + size], Flush.NONE)
        heard.advance(b"", Flush.HARD)
        inputs.append([bytes(utterance) for utterance in decoder.utterances])
    assert all(given == inputs[0] for given in inputs)


def test_a_hard_flush_decodes_the_last_partial_frame_and_starts_afresh() -> None:
    decoder = WordDecoder()
    heard = stream(decoder)
    result = heard.advance(10 * VOICED + VOICED[:200], Flush.HARD)
    assert result.text == "word"
    assert [word.text for word in result.words] == ["word"]
    assert 10 * VOICED + VOICED[:200] in decoder.utterances[0]
    assert heard.advance(b"", Flush.HARD) == AsrResult("")
    assert decoder.resets == 3


def test_a_word_too_short_to_open_the_gate_is_decoded_on_a_hard_flush() -> None:
    decoder = WordDecoder()
    stream(decoder).advance(20 * SILENT + 2 * VOICED, Flush.HARD)
    assert 2 * VOICED in decoder.utterances[0]


def test_a_soft_flush_gives_the_words_and_keeps_the_utterance() -> None:
    decoder = WordDecoder()
    heard = stream(decoder)
    result = heard.advance(20 * VOICED, Flush.SOFT)
    assert result.text == "word word"
    assert len(result.words) == 2
    assert heard.advance(10 * VOICED, Flush.HARD).text == "word word word"
    assert len(decoder.utterances) == 1


def test_text_is_joined_over_a_pause_and_its_times_stay_on_the_streams_clock() -> None:
    decoder = WordDecoder()
    result = stream(decoder).advance(10 * VOICED + 100 * SILENT + 10 * VOICED, Flush.HARD)
    assert len(decoder.utterances) == 2
    assert result.text.split()[-1] == "word"
    later = [word.start_ms for word in result.words if word.start_ms > 50 * FRAME_MS]
    assert 110 * FRAME_MS - 12 * FRAME_MS <= later[0] <= 110 * FRAME_MS


def test_speech_without_a_pause_is_cut_before_a_word_and_nothing_is_lost() -> None:
    decoder = WordDecoder()
    heard = stream(decoder)
    frames = 3 * LONGEST_FRAMES
    for _ in range(frames // 10):
        heard.advance(10 * VOICED, Flush.NONE)
    result = heard.advance(b"", Flush.HARD)
    assert len(decoder.utterances) > 2
    assert max(len(utterance) for utterance in decoder.utterances) <= (LONGEST_FRAMES + 60) * FRAME_BYTES
    assert len(result.text.split()) == pytest.approx(frames / 10, abs=2)
    starts = [word.start_ms for word in result.words]
    assert starts == sorted(set(starts)), "a word is there twice"


def test_a_decoder_that_finds_no_end_loses_no_words() -> None:
    """Sound that no word can end in leaves the final hypothesis empty; what was heard before it counts."""

    class NoWayOut(WordDecoder):
        ended = False

        def begin(self) -> None:
            self.ended = False
            super().begin()

        def end(self) -> None:
            self.ended = True

        def tokens(self) -> list[SphinxToken]:
            return [] if self.ended else super().tokens()

    assert stream(NoWayOut()).advance(40 * VOICED, Flush.HARD).text == "word word word word"
    assert stream(NoWayOut()).advance(10 * VOICED, Flush.HARD).text == "", "one unlikely word is not believed"


def test_hours_without_a_reset_are_told_from_near_their_end_and_kept_within_bounds() -> None:
    """An interim costs the same; the final holds as much as a message should carry, and the newest times."""
    heard, most = stream(WordDecoder("syllable")), 0
    for _ in range(300):
        interim = heard.advance(300 * VOICED, Flush.NONE)
        most = max(most, len(interim.text))
    assert most <= 2 * RECENT_CHARACTERS + 1000
    assert interim.offset > 0
    soft = heard.advance(b"", Flush.SOFT)
    assert len(soft.text) <= MOST_CHARACTERS
    assert soft.offset + len(soft.text) == interim.offset + len(interim.text)
    final = heard.advance(b"", Flush.HARD)
    assert final.text.startswith(soft.text)
    assert len(final.words) == MOST_WORDS
    assert final.text.split()[-MOST_WORDS:] == [word.text for word in final.words]
    assert heard.advance(b"", Flush.HARD) == AsrResult("")


def test_noise_without_pitch_is_no_speech() -> None:
    decoder = WordDecoder()
    assert stream(decoder).advance(40 * NOISY, Flush.HARD) == AsrResult("")


@pytest.mark.parametrize(
    ("word", "posterior", "expected"),
    [("if", 0.9, ""), ("london", 0.9, "london"), ("london", 0.01, ""), ("stop", 0.01, "stop")],
)
def test_a_lone_word_is_believed_when_it_is_likely_or_known(
    word: str, posterior: float, expected: str
) -> None:
    heard = stream(WordDecoder(word, posterior), "stop")
    assert heard.advance(8 * VOICED, Flush.HARD).text == expected


def test_telephone_speech_is_told_from_wide_speech_and_widened() -> None:
    source = np.random.default_rng(0)
    spectrum = np.fft.rfft(source.normal(0, 3000, 480) * np.hanning(480))
    wide = np.fft.irfft(spectrum).astype(np.int16).tobytes()
    spectrum[480 * 3600 // 16000 :] = 0
    narrow = np.fft.irfft(spectrum).astype(np.int16).tobytes()
    assert is_narrow([narrow, narrow])
    assert not is_narrow([wide, narrow])
    assert not is_narrow([])
    assert not is_narrow([widen(narrow)])


def tone(hertz: float, level: float = 4000) -> bytes:
    return (level * np.sin(2 * np.pi * hertz * np.arange(480) / 16000)).astype(np.int16).tobytes()


def test_pitch_is_found_in_a_voice_like_tone_and_not_in_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 4000, 480).astype(np.int16).tobytes()
    assert measure(tone(120)) == (True, True)
    assert measure(noise) == (True, False)
    assert measure(tone(120, level=5)) == (False, False)
