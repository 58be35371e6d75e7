"""`nemotron talk`: a recorded question in, a spoken answer out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from nemotron_speech.audio import Clip, wav
from nemotron_speech.client.connections import AsrConnection, LlmClient, TtsConnection
from nemotron_speech.client.turn import SpokenReply, answer
from nemotron_speech.errors import BadRequest, ConfigurationError
from nemotron_speech.invocation import command, install
from nemotron_speech.sound_files import raised, read
from nemotron_speech.supervisor.profiles import HOST, Ports

STANDARD = "-"
MAX_INPUT_BYTES = 256 * 1024 * 1024


def read_question(source: str) -> Clip:
    """Read the question to be asked. Raises as `read_recording`."""
    return read_recording(source, "talk question.wav -o answer.wav")


def read_recording(source: str, example: str, most_rate: int | None = None) -> Clip:
    """Read the sound file `source` (`-` for standard input) and raise it to the level of speech.

    Args:
        example: Command, without the program's name, that reads a sound file.
        most_rate: Hz; a recording with a higher rate is read at this one.

    Raises BadRequest that says what to do.
    """
    data = read_stdin("a sound file") if source == STANDARD else _read_file(Path(source))
    if not data:
        raise BadRequest(f"{_name(source)} is empty; give a sound file: {command(example)}")
    try:
        return raised(read(data, most_rate=most_rate))
    except BadRequest as error:
        raise BadRequest(f"{_name(source)}: {error}") from None


def write_answer(target: str, audio: Clip) -> None:
    """Write a WAV file, `-` for standard output. Raises as `write_data`."""
    write_data(target, wav(audio.pcm, audio.sample_rate))


def write_data(target: str, data: bytes) -> None:
    """Write a file, `-` for standard output. Raises BadRequest when that is not possible."""
    if target == STANDARD:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        Path(target).write_bytes(data)
    except OSError as error:
        raise BadRequest(f"cannot write {target}: {error.strerror}; choose another file with -o") from None


def play(audio: Clip) -> None:
    """Play to the end on the default sound device. Raises ConfigurationError where there is none."""
    sounddevice = player()
    try:
        sounddevice.play(audio.samples, audio.sample_rate, blocking=True)
    except sounddevice.PortAudioError as error:
        raise ConfigurationError(f"cannot play: {error}; keep the answer with -o answer.wav") from None


def player() -> ModuleType:
    """Return the library that plays. Raises ConfigurationError, which says what to install."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise ConfigurationError(
            f"cannot play: {error}; install it with: {install(['play'])} "
            "(and on Debian: apt install libportaudio2), or keep the answer with -o answer.wav"
        ) from None
    return sounddevice


async def play_until_cancelled(audio: Clip) -> None:
    """Play without holding up the event loop; a cancel silences the device. Raises as `play`."""
    try:
        await asyncio.to_thread(play, audio)
    except asyncio.CancelledError:
        player().stop()
        raise


async def ask(
    question: Clip,
    ports: Ports,
    system: str,
    on_transcript: Callable[[str], None] = lambda text: None,
    on_token: Callable[[str], None] = lambda text: None,
) -> SpokenReply:
    """Put one recorded question to the servers of this machine. Raises as `conversation.answer`."""
    async with AsyncExitStack() as stack:
        asr = await stack.enter_async_context(AsrConnection.open(f"ws://{HOST}:{ports.asr}"))
        tts = await stack.enter_async_context(TtsConnection.open(f"ws://{HOST}:{ports.tts}"))
        llm = await stack.enter_async_context(LlmClient.open(f"http://{HOST}:{ports.llm}"))
        return await answer(
            question, asr, llm, tts, system=system, on_transcript=on_transcript, on_token=on_token
        )


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _read_some(file, str(path))
    except FileNotFoundError:
        raise BadRequest(
            f"no file {path}; record one, for example: arecord -r 16000 -f S16_LE {path}"
        ) from None
    except OSError as error:
        raise BadRequest(f"cannot read {path}: {error.strerror}; give a WAV file") from None


def read_stdin(what: str) -> bytes:
    """Read standard input to its end. Raises BadRequest where it is the keyboard, closed or endless."""
    if sys.stdin is None or sys.stdin.closed:
        raise BadRequest(f"standard input is closed; pipe {what} in, or name it")
    if sys.stdin.isatty():
        raise BadRequest(f"standard input is the keyboard; pipe {what} in, or name it")
    return _read_some(sys.stdin.buffer, "standard input")


def _read_some(file: BinaryIO, name: str) -> bytes:
    """Read a file whose size may be unknown, or endless. Raises BadRequest above `MAX_INPUT_BYTES`."""
    data = file.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise BadRequest(f"{name} is larger than {MAX_INPUT_BYTES >> 20} MB; give a shorter recording")
    return data


def _name(source: str) -> str:
    return "standard input" if source == STANDARD else source
