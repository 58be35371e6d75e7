from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import numpy as np
from pipecat.frames.frames import InputAudioRawFrame, OutputAudioRawFrame
from pipecat.tests.utils import SleepFrame

from pipecat_bots.observability.recording import WavWriter, recorder
from tests.bots.fakes import through


async def test_a_session_becomes_a_stereo_file_with_the_caller_left(tmp_path: Path) -> None:
    def tone(value: int) -> bytes:
        return np.full(480, value, np.int16).tobytes()

    frames = [InputAudioRawFrame(tone(1000), 24000, 1) for _ in range(60)]
    answer = [OutputAudioRawFrame(tone(-2000), 24000, 1) for _ in range(60)]
    await through([recorder(tmp_path, "abcdefghij")], [*frames, *answer, SleepFrame(0.3)])
    path = only(tmp_path)
    for _ in range(50):
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
        if (samples[:, 1] == -2000).sum() >= 60 * 480:
            break
        await asyncio.sleep(0.05)
    assert (samples[:, 0] == 1000).sum() == 60 * 480
    assert (samples[:, 1] == -2000).sum() == 60 * 480


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
