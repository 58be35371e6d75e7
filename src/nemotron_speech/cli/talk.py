"""`nemotron talk`: a recorded question in, a spoken answer out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
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
    """Read the sound file `source` (`-` for standard input) and raise it to the level of speech.

    Raises BadRequest that says what to do.
    """
    data = _read_stdin() if source == STANDARD else _read_file(Path(source))
    if not data:
        raise BadRequest(
            f"{_name(source)} is empty; give a sound file: {command('talk question.wav -o answer.wav')}"
        )
    try:
        return raised(read(data))
    except BadRequest as error:
        raise BadRequest(f"{_name(source)}: {error}") from None


def write_answer(target: str, audio: Clip) -> None:
    """Write a WAV file, `-` for standard output. Raises BadRequest when that is not possible."""
    data = wav(audio.pcm, audio.sample_rate)
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
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise ConfigurationError(
            f"cannot play: {error}; install it with: {install(['play'])} "
            "(and on Debian: apt install libportaudio2), or keep the answer with -o answer.wav"
        ) from None
    try:
        sounddevice.play(audio.samples, audio.sample_rate, blocking=True)
    except sounddevice.PortAudioError as error:
        raise ConfigurationError(f"cannot play: {error}; keep the answer with -o answer.wav") from None


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


def _read_stdin() -> bytes:
    if sys.stdin is None or sys.stdin.closed:
        raise BadRequest("standard input is closed; give the name of a sound file")
    if sys.stdin.isatty():
        raise BadRequest("standard input is the keyboard; pipe a WAV file in, or give its name")
    return _read_some(sys.stdin.buffer, "standard input")


def _read_some(file: BinaryIO, name: str) -> bytes:
    """Read a file whose size may be unknown, or endless. Raises BadRequest above `MAX_INPUT_BYTES`."""
    data = file.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise BadRequest(f"{name} is larger than {MAX_INPUT_BYTES >> 20} MB; give a shorter recording")
    return data


def _name(source: str) -> str:
    return "standard input" if source == STANDARD else source
