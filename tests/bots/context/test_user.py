"""What is heard before it is decided on, and how it is written down."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams, VADState
from pipecat.frames.frames import EagerTranscriptionFrame, InterimTranscriptionFrame, TranscriptionFrame
from pipecat.tests.utils import SleepFrame

from benchmarks.speech import espeak_afresh
from pipecat_bots.context.user import Conversation, joined
from pipecat_bots.frames import VoiceActivityFrame
from pipecat_bots.nvidia_stt import NVidiaWebSocketSTTService
from pipecat_bots.settings import BotSettings
from pipecat_bots.speculation.speculation import Speculation, SpeculationBudget
from pipecat_bots.turns.prosody import LEAD_S, WINDOW_S, SmartTurnModel, ThreadedDetector, TurnAudio
from pipecat_bots.turns.vad import WatchfulVADAnalyzer
from tests.bots.conversation import NAMES, user
from tests.bots.fakes import FakeAsr, of_type, through
from tests.virtual_time import virtual_time

Samples = npt.NDArray[np.int16]


def said(text: str, role: str = "user") -> dict[str, str]:
    return {"role": role, "content": text}


# ------------------------------------------------------------------------------------- the context


def test_what_is_said_before_an_answer_is_one_message() -> None:
    context = Conversation()
    context.add_messages([said("one"), said("two")])  # type: ignore[list-item]
    context.add_message(said("Yes.", "assistant"))  # type: ignore[arg-type]
    context.add_message(said("three"))  # type: ignore[arg-type]
    assert context.get_messages() == [said("one two"), said("Yes.", "assistant"), said("three")]


def test_joining_leaves_the_conversation_it_was_asked_about_as_it_is() -> None:
    messages = [said("one")]
    assert joined(messages, said("two")) == [said("one two")]  # type: ignore[arg-type]
    assert messages == [said("one")]


def test_pictures_are_not_joined_to_words() -> None:
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    assert joined([said("one")], picture) == [said("one"), picture]  # type: ignore[arg-type, list-item]


# ------------------------------------------------------------------------------------ voice activity


class LoudnessVAD(WatchfulVADAnalyzer):
    def voice_confidence(self, buffer: bytes) -> float:
        return float(np.frombuffer(buffer, np.int16).any())


async def test_silence_is_told_with_its_first_window_long_before_it_is_a_pause() -> None:
    vad = LoudnessVAD(params=VADParams(stop_secs=0.2, min_volume=0))
    vad.set_sample_rate(16000)
    told: list[tuple[int, bool]] = []
    states: list[VADState] = []

    async def on_change(voiced: bool) -> None:
        told.append((len(states), voiced))

    vad.on_change = on_change
    sounds = [1] * 10 + [0] + [1] * 5 + [0] * 8
    for loud in sounds:
        states += [await vad.analyze_audio(np.full(512, loud, np.int16).tobytes())]
    await vad.cleanup()
    assert told == [(0, True), (10, False), (11, True), (16, False)]
    assert states[16].name == "STOPPING"
    assert states[21].name == "QUIET"


async def test_a_silence_is_one_when_the_model_is_sure_and_no_single_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    confidences = [1.0] * 8 + [0.0, 1.0, 0.5, 0.4, 1.0, 0.5, 0.08, 0.3] + [1.0] + [0.05] * 8
    windows = iter(confidences)
    monkeypatch.setattr(SileroVADAnalyzer, "voice_confidence", lambda vad, buffer: next(windows))
    vad = WatchfulVADAnalyzer(params=VADParams(stop_secs=0.2, min_volume=0))
    vad.set_sample_rate(16000)
    told: list[int] = []

    async def on_silence() -> None:
        told.append(window)

    vad.on_silence = on_silence
    for window in range(len(confidences)):  # noqa: B007
        await vad.analyze_audio(bytes(1024))
    assert told == [14, 18], "once in each silence"


SENTENCES = (
    "tell me a long story please",
    "can you help me with my order",
    "set a timer for ten minutes please",
    "the weather in London is rather cold today",
    "could you please book a table for two at eight",
    "what is the capital of Australia and how many people live there",
    "I would like to cancel my subscription",
    "remind me to buy some milk",
)


async def silences(samples: Samples) -> list[bool]:
    """Return, for each silence that the detector was sure of, whether it was a pause."""
    vad = WatchfulVADAnalyzer(params=VADParams(stop_secs=0.2))
    vad.set_sample_rate(16000)
    sure: list[bool] = []

    async def on_silence() -> None:
        sure.append(False)

    vad.on_silence = on_silence
    quiet = np.zeros(8000, np.int16)
    samples = np.concatenate([quiet, samples, quiet])
    for at in range(0, len(samples) - 320, 320):
        before = len(sure)
        state = await vad.analyze_audio(samples[at : at + 320].tobytes())
        if state is VADState.QUIET and sure and before == len(sure):
            sure[-1] = True
    return sure


async def test_the_gaps_within_words_are_no_silences() -> None:
    found = [await silences(clip.at(16000).samples) for clip in espeak_afresh(SENTENCES, "leo")]
    assert all(sure[-1] for sure in found), "each end is one"
    assert sum(sure.count(False) for sure in found) <= 1, "of a dozen gaps"


# --------------------------------------------------------------------------------------- recognition


@virtual_time
async def test_the_words_so_far_are_asked_for_as_soon_as_the_user_is_surely_silent() -> None:
    async with FakeAsr(vocabulary=NAMES) as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url, eager=True)
        said = [("alpha", 300), ("", 40), ("bravo", 200), ("", 80), ("charlie", 300), ("", 400)]
        down, _ = await through([stt], [SleepFrame(0.2), *user(said)])
    eager = [frame.text for frame in of_type(down, EagerTranscriptionFrame)]
    assert eager == ["alpha bravo", "alpha bravo charlie"]
    assert [frame.text for frame in of_type(down, TranscriptionFrame)] == ["alpha bravo charlie"]


@virtual_time
async def test_words_that_come_when_the_user_speaks_again_are_no_end_of_a_turn() -> None:
    async with FakeAsr(final_delay_s=0.1, vocabulary=NAMES) as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url, eager=True)
        steps = [SleepFrame(0.2), *user([("alpha", 300), ("", 80), ("bravo", 300), ("", 700)])]
        down, _ = await through([stt], steps)
    assert [frame.text for frame in of_type(down, EagerTranscriptionFrame)] == ["alpha bravo"]
    assert "alpha" in [frame.text for frame in of_type(down, InterimTranscriptionFrame)]


@virtual_time
async def test_without_speculation_nothing_is_asked_ahead() -> None:
    async with FakeAsr(vocabulary=NAMES) as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url)
        steps = [SleepFrame(0.2), *user([("alpha", 300), ("", 60), ("bravo", 300), ("", 400)])]
        down, _ = await through([stt], steps)
    assert of_type(down, EagerTranscriptionFrame) == []
    assert asr.resets == 1
    assert len(of_type(down, VoiceActivityFrame)) == 4


# ------------------------------------------------------------------------------------------ prosody


async def test_the_model_hears_the_last_eight_seconds_at_its_own_rate() -> None:
    heard: list[np.ndarray] = []

    class Model:
        def probability(self, samples: np.ndarray) -> float:
            heard.append(samples)
            return 0.7

    audio = TurnAudio(8000)
    for _ in range(600):
        audio.add(np.full(160, 16384, "<i2").tobytes())
    detector = ThreadedDetector(Model())
    assert await detector.probability(audio) == 0.7
    audio.begin()
    await detector.probability(audio)
    assert [round(len(samples) / 16000, 1) for samples in heard] == [WINDOW_S, LEAD_S]
    assert abs(float(np.median(heard[0])) - 0.5) < 0.01


def test_any_model_with_the_same_input_may_take_the_place_of_smart_turn(tmp_path: Path) -> None:
    built_in = resources.files("pipecat.audio.turn.smart_turn.data") / "smart-turn-v3.2-cpu.onnx"
    path = tmp_path / "another.onnx"
    path.write_bytes(built_in.read_bytes())
    settings = BotSettings(bot_turn_model=path)
    assert settings.bot_turn_model == path
    tone = np.sin(np.arange(16000) / 10).astype(np.float32)
    probability = SmartTurnModel(settings.bot_turn_model).probability(tone)
    assert 0 <= probability <= 1
    assert probability == SmartTurnModel().probability(tone)
    with pytest.raises(Exception, match=r"missing\.onnx"):
        SmartTurnModel(tmp_path / "missing.onnx")


# -------------------------------------------------------------------------------------------- waste


def settle(waste: SpeculationBudget, wanted: bool, began: float, now: float) -> None:
    speculation = Speculation("", began=began)
    if wanted:
        speculation.confirm()
    else:
        speculation.withdraw()
    waste.settled(speculation, now)


def test_a_speculation_is_settled_once_and_for_all() -> None:
    speculation = Speculation("", began=0)
    assert speculation.withdraw()
    assert not speculation.withdraw()
    assert not speculation.confirm()
    assert speculation.withdrawn


def test_work_is_weighed_by_its_time_and_nothing_is_begun_while_too_much_was_for_nothing() -> None:
    waste = SpeculationBudget(0.5, pause_s=30)
    for second in range(10):
        settle(waste, wanted=False, began=second, now=second + 0.03)
    for second in (10, 11):
        settle(waste, wanted=True, began=second, now=second + 0.4)
    assert waste.allows(12), "many short ones are less than one long one"
    for second in range(12, 14):
        settle(waste, wanted=False, began=second, now=second + 2)
    assert not waste.allows(16)
    assert waste.allows(46)
    assert 0.6 < waste.share < 0.7


def test_a_bound_of_zero_never_speculates_and_one_of_one_always_does() -> None:
    never, always = SpeculationBudget(0), SpeculationBudget(1)
    for second in range(50):
        settle(always, wanted=False, began=second, now=second + 1)
    assert not never.allows(100)
    assert always.allows(50)
