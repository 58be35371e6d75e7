"""The `nemotron` command."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from nemotron_speech.cli import chat as chat_command
from nemotron_speech.cli import models as models_commands
from nemotron_speech.cli import say as say_command
from nemotron_speech.cli import transcribe as transcribe_command
from nemotron_speech.cli.options import (
    AsrEngine,
    AsrModel,
    AsrOption,
    AsrPort,
    LlmPort,
    ModelOption,
    TtsEngine,
    TtsOption,
    TtsPort,
    TtsVoice,
    examples,
)
from nemotron_speech.errors import BadRequest, ConfigurationError, SpeechError
from nemotron_speech.invocation import command as line

PROFILE_HELP = "Which engines: embedded (any CPU, nothing downloaded), local (neural, small), cpu or gpu."
INTERRUPTED = 130

app = typer.Typer(
    name="nemotron",
    help="A voice agent on your own machine: talk to it, run its servers, see what this machine can do.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


ProfileOption = Annotated[str, typer.Option("--profile", "-p", help=PROFILE_HELP)]
Host = Annotated[str | None, typer.Option(help="Address the servers listen on; 0.0.0.0 for all.")]
PageHost = Annotated[str, typer.Option(help="Address the page is served on; 0.0.0.0 for all.")]
BotPort = Annotated[int, typer.Option("--bot-port", "--port", min=1, max=65535, help="Port of the page.")]
RightContext = Annotated[
    int | None,
    typer.Option(metavar="0|1|6|13", help="Look-ahead of a NeMo recogniser, in frames of 80 ms."),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nemotron-speech {version('nemotron-speech')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Take the options of the command as a whole."""


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(
    epilog=examples(
        "nemotron demo",
        "nemotron demo --llm ~/models/nemotron.gguf",
        "nemotron demo --no-open --port 7861",
    )
)
def demo(
    context: typer.Context,
    profile: ProfileOption = "embedded",
    llm: ModelOption = None,
    bot: Annotated[
        str | None,
        typer.Option(help="Which bot: interleaved, simple-vad or vllm; vllm where NVIDIA_LLM_URL is set."),
    ] = None,
    asr_port: AsrPort = 8080,
    tts_port: TtsPort = 8001,
    llm_port: LlmPort = 8000,
    asr_engine: AsrEngine = None,
    tts_engine: TtsEngine = None,
    asr_option: AsrOption = None,
    tts_option: TtsOption = None,
    asr_model: AsrModel = None,
    tts_voice: TtsVoice = None,
    bot_port: BotPort = 7860,
    host: PageHost = "127.0.0.1",
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page.")] = True,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every line the servers log.")
    ] = False,
) -> None:
    """Talk to it in the browser: start the servers and the bot, and open the page.

    Servers that run already are used and left running. Ctrl-C stops what this command started.
    """
    from nemotron_speech.cli import up as commands
    from nemotron_speech.cli.model_choice import with_models
    from nemotron_speech.cli.settings import ServerAddresses
    from nemotron_speech.settings import read
    from nemotron_speech.supervisor.profiles import Ports

    ports = Ports(asr_port, tts_port, llm_port, bot_port)
    typed = _typed(
        context, asr="asr_port asr_engine asr_model", tts="tts_port tts_engine tts_voice", llm="llm_port llm"
    )

    def run(out: Console) -> Coroutine[Any, Any, int]:
        elsewhere = read(ServerAddresses).used_by(bot, typed)
        wanted = commands.RunOptions(
            profile,
            llm,
            ports,
            asr_engine,
            tts_engine,
            asr_model,
            elsewhere=tuple(elsewhere.addresses),
            asr_options=asr_option or (),
            tts_options=tts_option or (),
        )
        wanted = with_models(out, wanted, tts_voice)
        return commands.demo(out, wanted, elsewhere, host, open_browser, verbose)

    _finish(run)


@app.command(
    epilog=examples(
        "nemotron talk question.wav -o answer.wav",
        "nemotron talk - -o - < question.wav | aplay",
        "nemotron talk question.wav --play --llm ~/models/nemotron.gguf",
    )
)
def talk(
    question: Annotated[
        str, typer.Argument(metavar="QUESTION.wav", help="A sound file; - reads standard input.")
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="ANSWER.wav", help="Keep the answer; - writes standard output."
        ),
    ] = None,
    play: Annotated[bool, typer.Option("--play", help="Play the answer.")] = False,
    profile: ProfileOption = "embedded",
    llm: ModelOption = None,
    asr_port: AsrPort = 8080,
    tts_port: TtsPort = 8001,
    llm_port: LlmPort = 8000,
    asr_engine: AsrEngine = None,
    tts_engine: TtsEngine = None,
    asr_option: AsrOption = None,
    tts_option: TtsOption = None,
    asr_model: AsrModel = None,
    tts_voice: TtsVoice = None,
    system: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every line the servers log.")
    ] = False,
) -> None:
    """Ask a recorded question, and get the spoken answer: no browser, no microphone.

    Servers that are not running are started for the question, and stopped after it.
    """
    from nemotron_speech.cli import up as commands
    from nemotron_speech.cli.model_choice import with_models
    from nemotron_speech.supervisor.profiles import Ports

    wanted = commands.RunOptions(
        profile,
        llm,
        Ports(asr_port, tts_port, llm_port),
        asr_engine,
        tts_engine,
        asr_model,
        asr_options=asr_option or (),
        tts_options=tts_option or (),
    )
    target = commands.TalkAnswer(output, play)
    _finish(
        lambda out: commands.talk(
            out, question, target, with_models(out, wanted, tts_voice), system, verbose
        ),
        stderr=output == "-",
    )


@app.command(
    epilog=examples(
        "nemotron up",
        "nemotron up -d && python -m pipecat_bots.bot_interleaved_streaming",
        "nemotron up --llm ~/models/nemotron.gguf --asr-port 8090",
        "nemotron up --profile gpu --model nvidia/parakeet_realtime_eou_120m-v1 --right-context 1",
    )
)
def up(
    profile: ProfileOption = "embedded",
    llm: ModelOption = None,
    asr_port: AsrPort = 8080,
    tts_port: TtsPort = 8001,
    llm_port: LlmPort = 8000,
    asr_engine: AsrEngine = None,
    tts_engine: TtsEngine = None,
    asr_option: AsrOption = None,
    tts_option: TtsOption = None,
    asr_model: AsrModel = None,
    tts_voice: TtsVoice = None,
    right_context: RightContext = None,
    host: Host = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when they are ready.")] = False,
    report_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the recogniser, the synthesiser and the language model until Ctrl-C, or `nemotron down`."""
    from nemotron_speech.cli import up as commands
    from nemotron_speech.cli.model_choice import with_models
    from nemotron_speech.supervisor.profiles import Ports

    ports = Ports(asr_port, tts_port, llm_port)
    wanted = commands.RunOptions(
        profile,
        llm,
        ports,
        asr_engine,
        tts_engine,
        asr_model,
        right_context,
        host=host,
        asr_options=asr_option or (),
        tts_options=tts_option or (),
    )
    if detach:
        _finish(lambda out: commands.up_detached(out, with_models(out, wanted, tts_voice)))
    else:
        _finish(lambda out: commands.up(out, with_models(out, wanted, tts_voice), report_fd))


@app.command(epilog=examples("nemotron down", "nemotron down demo", "nemotron down 4711"))
def down(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[up|demo|talk|...|PID]...", help="Which; all when none is named."),
    ] = None,
) -> None:
    """Stop what `up`, `demo`, `talk` and others run, from another shell."""
    from nemotron_speech.cli import status as inspect_runs

    _finish_now(lambda out: inspect_runs.down(out, names or []))


@app.command(epilog=examples("nemotron status", "nemotron status --json"))
def status(as_json: JsonOption = False) -> None:
    """Show the servers that run: state, port, pid, uptime, restarts, engine."""
    from nemotron_speech.cli import status as inspect_runs

    _finish_now(lambda out: inspect_runs.status(out, as_json=as_json))


@app.command(epilog=examples("nemotron logs", "nemotron logs asr tts -f", "nemotron logs bot -n 200"))
def logs(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[asr|tts|llm|bot|supervisor]...", help="Whose.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Last lines of each server.")] = 50,
) -> None:
    """Show what the servers wrote, now or in their last run."""
    from nemotron_speech.cli import status as inspect_runs

    _finish_now(lambda out: inspect_runs.logs(out, names or [], follow=follow, lines=lines))


@app.command(epilog=examples("nemotron doctor", "nemotron doctor --json"))
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine can run and what is missing, with the command that mends it."""
    from nemotron_speech.cli import doctor as checks

    _finish_now(lambda out: checks.main(out, as_json=as_json))


bench = typer.Typer(help="Measure servers that run.", no_args_is_help=True, rich_markup_mode="rich")
app.add_typer(bench, name="bench")


@bench.command(
    "asr",
    epilog=examples(
        "nemotron bench asr --file question.wav --print-partials",
        "nemotron bench asr --file question.wav --rtf 10 --full-text",
        "nemotron bench asr --file question.wav --n 128 --duration 60 --json bench.json --plot bench.png",
        "nemotron bench asr --file question.wav --n 20 --concurrency 5 --protocol 2 --url localhost:8090",
    ),
)
def bench_asr(
    file: Annotated[Path, typer.Option("--file", "-f", metavar="X.wav", help="What every caller says.")],
    n: Annotated[int, typer.Option("--n", "-n", help="How many calls.")] = 1,
    concurrency: Annotated[int | None, typer.Option(help="Calls at any one time; all when left out.")] = None,
    rtf: Annotated[float, typer.Option(help="Seconds of audio sent in a second.")] = 1.0,
    duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Repeat the file for this long on each call.")
    ] = None,
    url: Annotated[
        str, typer.Option("--url", "--server", help="Where the server listens.")
    ] = "ws://localhost:8080",
    protocol: Annotated[
        int, typer.Option(min=1, max=2, help="1: streaming recognition; 2: the many-caller protocol.")
    ] = 1,
    ref: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What is said in the file, for the word error rate.")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw the latencies.")] = None,
    print_partials: Annotated[
        bool, typer.Option("--print-partials", help="Print what arrives, as it arrives.")
    ] = False,
    full_text: Annotated[bool, typer.Option("--full-text", help="Print the finals.")] = False,
) -> None:
    """Call a recogniser in real time, many times at once: latency, lag, drift, refusals, word errors."""
    from nemotron_speech.bench import asr as benchmark

    wanted = benchmark.AsrBenchOptions(
        file, url, protocol, n, concurrency, rtf, duration, ref, json, plot, print_partials, full_text
    )
    _finish_now(lambda out: benchmark.run(out, wanted))


@bench.command(
    "tts",
    epilog=examples(
        "nemotron bench tts",
        "nemotron bench tts --n 1,8,32,64 --rounds 5 --json bench.json --plot bench.png",
        'nemotron bench tts --n 16 --mode stream --voice aria --text "What is to be said."',
    ),
)
def bench_tts(
    n: Annotated[
        str, typer.Option("--n", "-n", help="Callers at once; several numbers, one after the other.")
    ] = ("1,8,32,64"),
    rounds: Annotated[int, typer.Option(help="Utterances each caller asks for.")] = 3,
    text: Annotated[
        str | None, typer.Option(help="What each utterance says; its sentences are its segments.")
    ] = None,
    mode: Annotated[
        Literal["adaptive", "stream", "batch"],
        typer.Option(help="adaptive: whole where nobody waits for it, else streamed, as bots ask."),
    ] = "adaptive",
    voice: Annotated[str | None, typer.Option(help="Whose voice; the server's first.")] = None,
    language: Annotated[str | None, typer.Option(help="In which language; the server's first.")] = None,
    url: Annotated[
        str, typer.Option("--url", "--server", help="Where the server listens.")
    ] = "http://localhost:8001",
    buffer: Annotated[float, typer.Option(metavar="MS", help="Audio a player holds back at first.")] = 60.0,
    pause: Annotated[float, typer.Option(metavar="SECONDS", help="Between utterances of a caller.")] = 0.5,
    ramp: Annotated[
        float, typer.Option(metavar="SECONDS", help="Over which the callers begin; 0: all at once.")
    ] = 1.0,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw first audio and pace.")] = None,
) -> None:
    """Let many callers listen at once: first audio, gaps, real-time factor, underruns on a playout clock."""
    from nemotron_speech.bench import tts as benchmark

    wanted = benchmark.TtsBenchOptions(
        url, text or benchmark.TEXT, n, rounds, mode, voice, language, buffer, pause, ramp, json, plot
    )
    _finish_now(lambda out: benchmark.run(out, wanted))


# -------------------------------------------------------------------------------------- the one exit


def _typed(context: typer.Context, **parameters: str) -> set[str]:
    """Return the names any of whose parameters (separated by spaces) was typed as a flag."""

    def is_typed(parameter: str) -> bool:
        source = context.get_parameter_source(parameter)
        return source is not None and source.name == "COMMANDLINE"

    return {name for name, listed in parameters.items() if any(map(is_typed, listed.split()))}


def _finish(command: Callable[[Console], Coroutine[Any, Any, int]], *, stderr: bool = False) -> None:
    """Run an async command to its exit code."""
    _finish_now(lambda out: asyncio.run(command(out)), stderr=stderr)


def _finish_now(command: Callable[[Console], int], *, stderr: bool = False) -> None:
    """Run a command; every error of ours becomes one message and an exit code: 2 yours, 1 the servers'."""
    from nemotron_speech.cli.display import complain
    from nemotron_speech.supervisor.supervisor import StartFailed

    console = Console(stderr=stderr, highlight=False)
    errors = Console(stderr=True, highlight=False)
    try:
        code = command(console)
    except StartFailed as error:
        complain(errors, f"{error}; see all of it: {line(f'logs {error.name}')}", error.last_words)
        code = 1
    except (BadRequest, ConfigurationError) as error:
        complain(errors, str(error))
        code = 2
    except SpeechError as error:
        complain(errors, str(error))
        code = 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        code = 128 + signal.SIGPIPE
    except OSError as error:
        _discard_output()
        complain(errors, _describe(error))
        code = 1
    raise typer.Exit(code)


def _discard_output() -> None:
    """Keep the interpreter from failing again on what is left to be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _describe(error: OSError) -> str:
    """Say in one line what the system refused, and what to change."""
    reason = error.strerror or type(error).__name__
    if error.filename is None:
        return (
            f"cannot write the output: {reason}"
            if error.errno == errno.ENOSPC
            else f"the system says: {reason}"
        )
    return f"cannot use {error.filename}: {reason}; set NEMOTRON_STATE_DIR to a folder that can be written"


for group in (transcribe_command, say_command, chat_command, models_commands):
    group.add_to(app, _finish_now)


def main() -> None:
    """Entry point of the `nemotron` script."""
    _replace_what_terminals_cannot_show()
    _finish_setup()
    app()


def _finish_setup() -> None:
    """Read `.env` before the options are parsed; ends with exit code 2 where it is wrong."""
    from nemotron_speech import env_file

    try:
        env_file.load()
    except ConfigurationError as error:
        from nemotron_speech.cli.display import complain

        complain(Console(stderr=True, highlight=False), str(error))
        sys.exit(2)


def _replace_what_terminals_cannot_show() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    main()
