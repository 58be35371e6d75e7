from __future__ import annotations

import asyncio
import wave
from pathlib import Path
from time import monotonic
from types import SimpleNamespace

import numpy as np
import pytest
from pipecat.frames.frames import InputAudioRawFrame, OutputAudioRawFrame
from pipecat.processors.audio import audio_buffer_processor
from pipecat.tests.utils import SleepFrame

from pipecat_bots.observability.recording import WavWriter, recorder
from tests.bots.fakes import through


async def test_a_session_becomes_a_stereo_file_with_the_caller_left(tmp_path: Path) -> None:
    def tone(value: int) -> bytes:
        return np.full(480, value, np.int16).tobytes()

    frames = [InputAudioRawFrame(tone(1000), 24000, 1) for _ in range(60)]
    answer = [OutputAudioRawFrame(tone(-2000), 24000, 1) for _ in range(60)]
    await through([recorder(tmp_path, "abcdefghij")], [*frames, *answer, SleepFrame(0.3)])
    samples = await complete(only(tmp_path), seconds=1.2)
    assert (samples[:, 0] == 1000).sum() == 60 * 480
    assert (samples[:, 1] == -2000).sum() == 60 * 480


async def test_a_call_without_a_microphone_is_recorded_from_its_start_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock runs twenty times as fast: 0.1 s of the test are two seconds of the call."""
    monkeypatch.setattr(audio_buffer_processor, "time", SimpleNamespace(monotonic=lambda: 20 * monotonic()))
    words = [OutputAudioRawFrame(np.full(480, 2000, np.int16).tobytes(), 24000, 1) for _ in range(10)]
    await through([recorder(tmp_path, "abcdefghij")], [SleepFrame(0.1), *words, SleepFrame(0.2)])
    samples = await complete(only(tmp_path), seconds=6)
    spoken = np.flatnonzero(samples[:, 1] == 2000)
    assert len(spoken) == 10 * 480
    assert spoken[0] >= 2 * 24000
    assert len(samples) - spoken[-1] >= 3.9 * 24000


async def complete(path: Path, seconds: float) -> np.ndarray:
    """Return the samples of a file once it is as long as it must be."""
    samples = np.zeros((0, 2), np.int16)
    while len(samples) < seconds * 24000:
        await asyncio.sleep(0.05)
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
    return samples


def only(directory: Path) -> Path:
    [path] = directory.glob("*-abcdefgh.wav")
    return path


def test_a_disk_that_cannot_be_written_does_not_block_the_session(
    tmp_path: Path, warnings: list[str]
) -> None:
    (tmp_path / "file").write_text("no directory")
    writer = WavWriter(tmp_path / "file" / "session.wav", 24000, 2)
    for _ in range(200):
        writer.write(bytes(96000))
    writer.close()
    writer.join()
    assert any("not recorded" in message for message in warnings)
