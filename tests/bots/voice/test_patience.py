"""Time that a voice is waited for, in seconds that are arguments."""

from __future__ import annotations

import pytest

from pipecat_bots.llama_cpp_chunked_llm import VOICE_PATIENCE_S
from pipecat_bots.voice.patience import ANNOUNCED_S, MOST_S, SILENT_S, SilentVoicePatience


def test_a_voice_without_a_sign_is_waited_for_from_when_it_could_begin() -> None:
    patience = SilentVoicePatience()
    patience.begin(10.0)
    assert patience.until() == 10.0 + SILENT_S


def test_one_that_has_begun_is_given_more_time_until_its_audio_comes() -> None:
    patience = SilentVoicePatience()
    patience.begin(0.0)
    patience.announced(1.0)
    assert patience.until() == 1.0 + ANNOUNCED_S
    patience.heard(2.0)
    assert patience.until() == 2.0 + SILENT_S


def test_the_longest_silence_it_came_back_from_is_remembered_twice() -> None:
    patience = SilentVoicePatience()
    patience.begin(0.0)
    patience.heard(3.0)
    patience.heard(3.5)
    assert patience.until() == pytest.approx(3.5 + 6.0)
    patience.heard(60.0)
    assert patience.until() == 60.0 + MOST_S


def test_a_segment_in_one_piece_may_take_what_its_length_lets_expect() -> None:
    patience = SilentVoicePatience()
    patience.begin(0.0)
    assert patience.until(work_s=4.0) == 8.0


def test_asking_twice_takes_less_than_the_model_would_wait() -> None:
    assert MOST_S + ANNOUNCED_S < VOICE_PATIENCE_S
