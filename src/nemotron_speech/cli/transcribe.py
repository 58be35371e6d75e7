"""`nemotron transcribe`: sound files in, text or subtitles out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from nemotron_speech.cli.options import (
    AsrEngine,
    AsrModel,
    AsrOption,
    AsrPort,
    RunToExit,
    Verbose,
    examples,
)
from nemotron_speech.errors import BadRequest

if TYPE_CHECKING:
    from nemotron_speech.audio import Clip
    from nemotron_speech.cli.subtitles import FileTranscript, TranscriptFormat
    from nemotron_speech.cli.up import RunOptions
    from nemotron_speech.client.connections import AsrConnection
    from nemotron_speech.client.recording import HeardPart

STANDARD = "-"
SUFFIXES = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}
WRONG_FILE = 2
"""Exit code where any file could not be read."""
_BAR_FROM_S = 10.0
"""Seconds of a recording from which on a bar shows the progress."""

Recordings = Iterator[tuple[str, "Clip"]]


def add_to(app: typer.Typer, finish: RunToExit) -> None:
    """Add the command to the command line."""

    @app.command(
        epilog=examples(
            "nemotron transcribe interview.mp3",
            "nemotron transcribe talk.m4a -o talk.srt --asr-model moonshine-tiny-en",
            "nemotron transcribe *.wav --format json -o transcripts.json",
            "ffmpeg -i film.mkv -f wav - | nemotron transcribe -",
        )
    )
    def transcribe(
        files: Annotated[
            list[str], typer.Argument(metavar="FILE...", help="Sound files; - reads standard input.")
        ],
        output: Annotated[
            str | None,
            typer.Option(
                "--output", "-o", metavar="OUT", help="A file, or a folder that gets one for each recording."
            ),
        ] = None,
        format: Annotated[
            str | None,
            typer.Option(
                "--format",
                "-f",
                metavar="text|json|srt|vtt",
                help="Text, JSON (a line for each recording), or subtitles; by OUT's name, else text.",
            ),
        ] = None,
        language: Annotated[str | None, typer.Option(help="Spoken language, as in de or en-GB.")] = None,
        asr_engine: AsrEngine = None,
        asr_model: AsrModel = None,
        asr_option: AsrOption = None,
        asr_port: AsrPort = 8080,
        verbose: Verbose = False,
    ) -> None:
        """Write down what is said in sound files of any common kind.

        A recogniser that is not running is started for it, and stopped after it.
        """
        from nemotron_speech.cli.model_choice import with_models
        from nemotron_speech.cli.up import RunOptions
        from nemotron_speech.supervisor.profiles import Ports

        wanted = RunOptions(
            ports=Ports(asr=asr_port),
            asr_engine=asr_engine,
            asr_model=asr_model,
            asr_options=asr_option or (),
            elsewhere=("tts", "llm"),
        )

        def run(out: Console) -> int:
            target = TranscriptTarget.of(output, format, files)
            return asyncio.run(
                transcribe_files(out, files, target, with_models(out, wanted), language, verbose)
            )

        finish(run, stderr=True)


@dataclass(frozen=True, slots=True)
class TranscriptTarget:
    """Destination of transcripts: a file, a file for each in a folder, or standard output."""

    path: Path | None
    form: TranscriptFormat
    is_folder: bool = False

    @classmethod
    def of(cls, output: str | None, form: str | None, sources: Sequence[str]) -> TranscriptTarget:
        """Understand what was typed. Raises BadRequest for what cannot be written as asked."""
        from nemotron_speech.cli.subtitles import TranscriptFormat
        from nemotron_speech.errors import require

        path = None if output in (None, STANDARD) else Path(str(output))
        by_name = {suffix: name for name, suffix in SUFFIXES.items()}
        name = form or (by_name.get(path.suffix.lower()) if path else None) or "text"
        require("format", name, tuple(SUFFIXES))
        target = cls(path, TranscriptFormat(name), path is not None and path.is_dir())
        target._check(sources)
        return target

    def _check(self, sources: Sequence[str]) -> None:
        if sources.count(STANDARD) > 1:
            raise BadRequest("standard input can be read once; give - once")
        if self.form in ("srt", "vtt") and len(sources) > 1 and not self.is_folder:
            raise BadRequest(f"{self.form} holds one recording; give a folder that exists: -o subtitles/")
        if self.is_folder and len({self.file_for(source) for source in sources}) < len(sources):
            raise BadRequest("two recordings have the same name; give them different folders")

    @property
    def is_live(self) -> bool:
        """True if text is shown while it is understood."""
        return self.path is None and self.form == "text"

    def file_for(self, source: str) -> Path:
        """Return the file in the folder for one recording."""
        assert self.path is not None
        stem = "standard-input" if source == STANDARD else Path(source).stem
        return self.path / (stem + SUFFIXES[self.form])


async def transcribe_files(
    out: Console,
    sources: Sequence[str],
    target: TranscriptTarget,
    wanted: RunOptions,
    language: str | None,
    verbose: bool,
) -> int:
    """Transcribe recordings, one after the other; one that cannot be read is said, and costs no other.

    Raises BadRequest, PeerError, Full, StartFailed, ConfigurationError.
    """
    from nemotron_speech.cli.up import INTERRUPTED, Interrupted, servers_for

    unreadable: list[str] = []
    recordings = _readable(out, sources, unreadable)
    first = next(recordings, None)
    if first is None:
        return WRONG_FILE
    try:
        async with servers_for("transcribe", wanted, verbose) as signals:
            work = _transcribed(
                out, chain([first], recordings), target, wanted.ports.asr, language, len(sources)
            )
            await signals.unless_stopped(work)
    except Interrupted:
        return INTERRUPTED
    return WRONG_FILE if unreadable else 0


def _readable(out: Console, sources: Sequence[str], unreadable: list[str]) -> Recordings:
    """Yield the recordings that can be read; complain about the others."""
    from nemotron_speech.cli.display import complain
    from nemotron_speech.cli.talk import read_recording
    from nemotron_speech.client.turn import ASR_RATE

    for source in sources:
        try:
            yield source, read_recording(source, "transcribe recording.wav", ASR_RATE)
        except BadRequest as error:
            complain(out, str(error))
            unreadable.append(source)


async def _transcribed(
    out: Console,
    recordings: Recordings,
    target: TranscriptTarget,
    port: int,
    language: str | None,
    count: int,
) -> None:
    from nemotron_speech.client.connections import AsrConnection
    from nemotron_speech.supervisor.health import HealthProbe
    from nemotron_speech.supervisor.profiles import HOST

    async with HealthProbe.open() as probe:
        estimates = (await probe(f"http://{HOST}:{port}/health")).estimates_times
    documents = []
    for number, (source, clip) in enumerate(recordings):
        name = "standard input" if source == STANDARD else source
        live = _LiveText(name if count > 1 else None, is_first=number == 0) if target.is_live else None
        async with AsrConnection.open(f"ws://{HOST}:{port}", language) as asr:
            transcript = await _heard(out, name, clip, asr, estimates, live)
        _note(out, transcript, target)
        if target.is_folder:
            _write(out, target.file_for(source), [transcript], target)
        elif live is None:
            documents.append(transcript)
            if target.path is None:
                _print(_content([transcript], target))
    if target.path is not None and not target.is_folder:
        _write(out, target.path, documents, target)


async def _heard(
    out: Console, name: str, clip: Clip, asr: AsrConnection, estimates: bool, live: _LiveText | None
) -> FileTranscript:
    from nemotron_speech.cli.subtitles import FileTranscript
    from nemotron_speech.client.recording import parts_heard

    heard: list[HeardPart] = []
    with _Bar(out, name, clip.seconds, is_wanted=live is None) as moved_to:
        async for part in parts_heard(clip, asr):
            heard.append(part)
            moved_to(part.end_ms / 1000)
            if live is not None:
                live.show(part.text)
    if live is not None:
        live.end()
    return FileTranscript(name, clip.seconds, heard, estimates)


class _LiveText:
    """Text of one recording on standard output, as it becomes known."""

    def __init__(self, name: str | None, *, is_first: bool) -> None:
        self._begun = False
        if name is not None:
            _print(f"{'' if is_first else chr(10)}==> {name} <==\n")

    def show(self, text: str) -> None:
        if text:
            _print(f"{' ' if self._begun else ''}{text}")
            self._begun = True

    def end(self) -> None:
        if self._begun:
            _print("\n")


class _Bar:
    """Progress of one recording on a terminal; nothing elsewhere."""

    def __init__(self, out: Console, name: str, seconds: float, *, is_wanted: bool) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        is_shown = is_wanted and out.is_terminal and seconds >= _BAR_FROM_S
        self._progress = Progress(*columns, console=out, disable=not is_shown, transient=True)
        self._task = self._progress.add_task(name, total=seconds)

    def __enter__(self) -> Callable[[float], None]:
        self._progress.start()
        return lambda seconds: self._progress.update(self._task, completed=seconds)

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()


def _note(out: Console, transcript: FileTranscript, target: TranscriptTarget) -> None:
    """Say what the reader of a transcript should know of it."""
    from nemotron_speech.cli.subtitles import ESTIMATED_NOTE

    if not transcript.text:
        out.print(f"no speech was understood in {transcript.name}", markup=False, soft_wrap=True)
    elif target.form in ("srt", "vtt") and transcript.has_estimates:
        out.print(f"{transcript.name}: {ESTIMATED_NOTE}", markup=False, soft_wrap=True)


def _content(transcripts: Sequence[FileTranscript], target: TranscriptTarget) -> str:
    from nemotron_speech.cli.subtitles import document

    if target.form == "text" and len(transcripts) > 1:
        return "\n".join(f"==> {one.name} <==\n{document(one, target.form)}" for one in transcripts)
    return "".join(document(one, target.form) for one in transcripts)


def _write(out: Console, path: Path, transcripts: Sequence[FileTranscript], target: TranscriptTarget) -> None:
    from nemotron_speech.cli.talk import write_data

    write_data(str(path), _content(transcripts, target).encode())
    out.print(f"written: {path}", markup=False, soft_wrap=True)


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
