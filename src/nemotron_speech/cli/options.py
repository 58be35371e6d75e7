"""Options that several commands of `nemotron` take, and the form of their examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Protocol

import typer
from rich.console import Console

from nemotron_speech.invocation import prefixed


class RunToExit(Protocol):
    """Runs a command to its exit code; its console is standard output, or standard error."""

    def __call__(self, command: Callable[[Console], int], *, stderr: bool = False) -> None: ...


def examples(*lines: str) -> str:
    """Return the examples below a command's help."""
    return "[bold]Examples[/]\n\n" + "\n\n".join(f"  {prefixed(line)}" for line in lines)


ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--llm",
        metavar="NAME|FILE.gguf",
        help="Answer with this model, on llama.cpp: one of `nemotron models list`, or a file.",
    ),
]
AsrPort = Annotated[
    int,
    typer.Option("--asr-port", min=1, max=65535, envvar="NEMOTRON_ASR_PORT", help="Port of the recogniser."),
]
TtsPort = Annotated[
    int,
    typer.Option("--tts-port", min=1, max=65535, envvar="NEMOTRON_TTS_PORT", help="Port of the synthesiser."),
]
LlmPort = Annotated[int, typer.Option("--llm-port", min=1, max=65535, help="Port of the language model.")]
AsrEngine = Annotated[
    str | None,
    typer.Option(
        "--asr-engine",
        "--asr",
        envvar="NEMOTRON_ASR_ENGINE",
        help="Another recogniser than the profile's, by name.",
    ),
]
TtsEngine = Annotated[
    str | None,
    typer.Option(
        "--tts-engine",
        "--tts",
        envvar="NEMOTRON_TTS_ENGINE",
        help="Another synthesiser than the profile's, by name.",
    ),
]
AsrModel = Annotated[
    str | None,
    typer.Option(
        "--asr-model",
        "--model",
        metavar="NAME_OR_PATH",
        help="The recogniser's model: one of `nemotron models list`, a name on the hub, or a file.",
    ),
]
TtsVoice = Annotated[
    str | None,
    typer.Option(
        "--tts-voice",
        metavar="NAME_OR_PATH",
        help="The synthesiser's voice: one of `nemotron models list`, or what the engine knows.",
    ),
]
AsrOption = Annotated[
    list[str] | None,
    typer.Option("--asr-option", metavar="NAME=VALUE", help="An option of the recogniser; may be repeated."),
]
TtsOption = Annotated[
    list[str] | None,
    typer.Option("--tts-option", metavar="NAME=VALUE", help="An option of the synthesiser; may be repeated."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show every line the servers log.")]
