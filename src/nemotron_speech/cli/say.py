"""`nemotron say`: text in, speech out."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from nemotron_speech.cli.options import RunToExit, TtsEngine, TtsOption, TtsPort, Verbose, examples
from nemotron_speech.errors import BadRequest, EngineError

if TYPE_CHECKING:
    from nemotron_speech.audio import Clip
    from nemotron_speech.cli.up import RunOptions

STANDARD = "-"
SUFFIXES = {"ogg": "opus", "oga": "opus", "raw": "pcm", "wave": "wav"}
"""Endings of file names that are not the name of their format."""


def add_to(app: typer.Typer, finish: RunToExit) -> None:
    """Add the command to the command line."""

    @app.command(
        epilog=examples(
            'nemotron say "Good morning." -o morning.wav',
            'nemotron say "Guten Morgen." --language de --play',
            "nemotron say - -o chapter.mp3 < chapter.txt",
        )
    )
    def say(
        text: Annotated[str, typer.Argument(metavar="TEXT", help="What to say; - reads standard input.")],
        output: Annotated[
            str | None,
            typer.Option("--output", "-o", metavar="FILE", help="Keep the speech; - writes standard output."),
        ] = None,
        play: Annotated[bool, typer.Option("--play", help="Play the speech, as is done without -o.")] = False,
        voice: Annotated[
            str | None,
            typer.Option(
                "--voice",
                "--tts-voice",
                metavar="NAME",
                help="One of `nemotron models list`, or a voice of the synthesiser.",
            ),
        ] = None,
        language: Annotated[str | None, typer.Option(help="Language of the text, as in de or en-GB.")] = None,
        format: Annotated[
            str | None,
            typer.Option(
                "--format",
                "-f",
                metavar="wav|mp3|flac|opus|aac|pcm",
                help="Format of the file; by its name, else wav.",
            ),
        ] = None,
        tts_engine: TtsEngine = None,
        tts_option: TtsOption = None,
        tts_port: TtsPort = 8001,
        verbose: Verbose = False,
    ) -> None:
        """Speak a text, to a file or aloud.

        A synthesiser that is not running is started for it, and stopped after it.
        """
        from nemotron_speech.cli.up import RunOptions
        from nemotron_speech.supervisor.profiles import Ports

        wanted = RunOptions(
            ports=Ports(tts=tts_port),
            tts_engine=tts_engine,
            tts_options=tts_option or (),
            elsewhere=("asr", "llm"),
        )

        def run(out: Console) -> int:
            target = SpeechTarget.of(output, format, play)
            segments = segments_of(text, language)
            server, named = with_voice(out, wanted, voice)
            return asyncio.run(say_text(out, segments, target, server, named, language, verbose))

        finish(run, stderr=output == STANDARD)


@dataclass(frozen=True, slots=True)
class SpeechTarget:
    """Destination of speech: a file in a format, the loudspeaker, or both."""

    output: str | None
    form: str
    play: bool

    @classmethod
    def of(cls, output: str | None, form: str | None, play: bool) -> SpeechTarget:
        """Understand what was typed. Raises BadRequest (the format), ConfigurationError (no player)."""
        from nemotron_speech.cli.talk import player
        from nemotron_speech.tts.encoders import check_format, formats

        if form is None:
            suffix = Path(output or "").suffix.lower().removeprefix(".")
            form = SUFFIXES.get(suffix, suffix)
            form = form if form in formats() else formats()[0]
        check_format(form)
        if play or output is None:
            player()
        return cls(output, form, play or output is None)


def with_voice(out: Console, wanted: RunOptions, voice: str | None) -> tuple[RunOptions, str | None]:
    """Return the server to be used, and the voice to ask it for.

    A voice of the catalogue is fetched, and its engine started with it; any other is the server's to know.
    Raises ConfigurationError, ModelUnavailable, DiskFull.
    """
    from nemotron_speech import models
    from nemotron_speech.cli.model_choice import with_models

    if voice is None or voice not in models.entries():
        return with_models(out, wanted), voice
    server = with_models(out, replace(wanted, tts_options=()), voice)
    options = (*server.tts_options, *wanted.tts_options)
    return replace(server, tts_options=options), models.options(voice).get("voice")


def segments_of(source: str, language: str | None = None) -> list[str]:
    """Return the text to be spoken in segments of some sentences. Raises BadRequest for one without words.

    Args:
        source: The text; `-` for standard input.
    """
    from nemotron_speech.cli.talk import read_stdin
    from nemotron_speech.text import Chunker, speakable

    text = read_stdin("a text").decode(errors="replace") if source == STANDARD else source
    chunker = Chunker(language=(language or "en").partition("-")[0])
    chunks = [*chunker.feed(text), chunker.finish()]
    segments = [words for chunk in chunks if (words := speakable(chunk))]
    if not segments:
        raise BadRequest("there are no words to say; give a text, or - and pipe one in")
    return segments


async def say_text(
    out: Console,
    segments: list[str],
    target: SpeechTarget,
    wanted: RunOptions,
    voice: str | None,
    language: str | None,
    verbose: bool,
) -> int:
    """Speak segments, one after the other.

    Raises BadRequest, PeerError, Full, EngineError, StartFailed, ConfigurationError.
    """
    from nemotron_speech.cli.talk import play_until_cancelled, write_data
    from nemotron_speech.cli.up import INTERRUPTED, Interrupted, servers_for

    try:
        async with servers_for("say", wanted, verbose) as signals:
            work = spoken_clip(segments, wanted.ports.tts, voice, language)
            clip = await signals.unless_stopped(work)
            if target.output is not None:
                write_data(target.output, encoded(clip, target.form))
                name = "standard output" if target.output == STANDARD else target.output
                out.print(f"[dim]{clip.seconds:.1f} s of speech in {escape(name)}[/]", soft_wrap=True)
            if target.play:
                await signals.unless_stopped(play_until_cancelled(clip))
    except Interrupted:
        return INTERRUPTED
    return 0


async def spoken_clip(segments: list[str], port: int, voice: str | None, language: str | None) -> Clip:
    """Have segments spoken by the synthesiser on a port of this machine.

    They are handed over one by one, so that a text of any length fits into the server's queue.
    """
    from nemotron_speech.audio import Clip, from_pcm
    from nemotron_speech.client.connections import TtsConnection
    from nemotron_speech.supervisor.profiles import HOST

    pcm = bytearray()
    async with TtsConnection.open(f"ws://{HOST}:{port}", voice, language) as tts:
        for segment in segments:
            async for audio in tts.speak(segment):
                pcm += audio
        if tts.sample_rate is None or not pcm:
            raise EngineError("the synthesiser sent no audio")
        return Clip(from_pcm(bytes(pcm)), tts.sample_rate)


def encoded(clip: Clip, form: str) -> bytes:
    """Return a clip as the content of a file."""
    from nemotron_speech.tts.encoders import encoder

    file = io.BytesIO()
    encoding = encoder(form, clip.sample_rate, None, file)
    encoding.feed(clip.pcm)
    encoding.finish()
    return file.getvalue()
