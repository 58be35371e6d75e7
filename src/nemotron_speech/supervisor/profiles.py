"""Profiles: the engines that each starts, and what this machine lacks for them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from nemotron_speech.engines.requirements import (
    USE_EMBEDDED,
    Machine,
    Missing,
    engine_missing,
    files_missing,
    mends,
)
from nemotron_speech.engines.spec import EngineSpec, spec_of
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.invocation import install
from nemotron_speech.supervisor.supervisor import ServerSpec

HOST = "127.0.0.1"
BOTS = {
    "interleaved": "bot_interleaved_streaming",
    "simple-vad": "bot_simple_vad",
    "vllm": "bot_vllm",
}
RESPONDER = "responder"
_DOWNLOAD_TIMEOUT_S = 3600.0
"""Longest start, in seconds, of a server that may have to fetch gigabytes first."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Port of each server."""

    asr: int = 8080
    tts: int = 8001
    llm: int = 8000
    bot: int = 7860

    def check_different(self) -> None:
        """Raise ConfigurationError where two servers have the same port."""
        taken: dict[int, str] = {}
        for name, port in asdict(self).items():
            if port in taken:
                raise ConfigurationError(
                    f"--{taken[port]}-port and --{name}-port are both {port}; each server needs its own"
                )
            taken[port] = name


@dataclass(frozen=True, slots=True)
class Hosts:
    """Addresses that the servers listen on."""

    asr: str = HOST
    tts: str = HOST
    llm: str = HOST


def reachable(host: str) -> str:
    """Return where a server that listens on `host` is reached from this machine, as URLs write it."""
    host = {"0.0.0.0": HOST, "::": "::1", "": HOST}.get(host, host)
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class Profile:
    """A set of engines behind the same protocols and ports."""

    name: str
    summary: str
    asr: EngineSpec
    tts: EngineSpec
    responder: bool = False
    """True if the built-in responder answers when no model is given."""
    needs_gpu: bool = False
    asr_model: str = ""
    """Model of the catalogue for the recogniser, fetched before the start; the engine's own if empty."""
    tts_voice: str = ""
    """Voice of the catalogue."""
    llms: tuple[str, ...] = ()
    """Language models of the catalogue, smallest first: the largest that this machine runs is taken."""


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "embedded",
            "PocketSphinx, eSpeak NG and the built-in responder: any CPU, nothing downloaded",
            spec_of("asr", "pocketsphinx"),
            spec_of("tts", "espeak"),
            responder=True,
        ),
        Profile(
            "local",
            "Moonshine, Piper and a small language model on the CPU, fetched at the first start",
            spec_of("asr", "moonshine"),
            spec_of("tts", "piper"),
            asr_model="moonshine-tiny-en",
            tts_voice="joe",
            llms=("qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"),
        ),
        Profile(
            "cpu",
            "Whisper, Piper and a small GGUF model on the CPU",
            spec_of("asr", "whisper"),
            spec_of("tts", "piper"),
        ),
        Profile(
            "gpu",
            "NeMo streaming ASR, Magpie TTS and a GGUF model on an NVIDIA GPU",
            spec_of("asr", "nemo"),
            spec_of("tts", "magpie"),
            needs_gpu=True,
        ),
    )
}


class ProfileUnavailable(ConfigurationError):
    """Lack of a profile's requirements; the message lists each, with the command that mends it."""

    def __init__(self, profile: str, missing: Sequence[Missing]) -> None:
        what = "".join(f"\n  - {item.what}" for item in missing)
        mend = "".join(f"\n  → {line}" for line in mends(missing))
        super().__init__(f"the profile {profile} cannot run here:{what}{mend}")
        self.missing = tuple(missing)


# ------------------------------------------------------------------------------------ what is missing


def profile_named(name: str) -> Profile:
    """Return a profile. Raises ConfigurationError with the names there are."""
    if name not in PROFILES:
        raise ConfigurationError(f"no profile is called {name!r}; choose --profile {'|'.join(PROFILES)}")
    return PROFILES[name]


def with_engines(profile: Profile, asr: str | None = None, tts: str | None = None) -> Profile:
    """Return the profile with other engines, by their registered names."""
    return replace(
        profile,
        asr=spec_of("asr", asr) if asr else profile.asr,
        tts=spec_of("tts", tts) if tts else profile.tts,
    )


def missing(
    profile: Profile,
    model: Path | None = None,
    machine: Machine | None = None,
    elsewhere: Collection[str] = (),
) -> list[Missing]:
    """List what this machine lacks to run `profile`, less the servers that run elsewhere."""
    machine = machine or Machine()
    asr_names, tts_names = machine.engines()
    lacks: list[Missing] = []
    if "asr" not in elsewhere:
        lacks += engine_missing(profile.asr, asr_names, machine)
        lacks += files_missing(profile.asr, machine)
    if "tts" not in elsewhere:
        lacks += engine_missing(profile.tts, tts_names, machine)
    if profile.needs_gpu and not machine.program("nvidia-smi"):
        lacks.append(Missing("no NVIDIA driver answers (nvidia-smi is not there)", USE_EMBEDDED))
    if "llm" not in elsewhere:
        lacks += _model_missing(profile, model, machine)
    return list(dict.fromkeys(lacks))


_SMALL_MODEL = "qwen2.5-coder-0.5b"
"""Model of the catalogue that every machine can run, and fetch."""


def _model_missing(profile: Profile, model: Path | None, machine: Machine) -> list[Missing]:
    if model is None:
        if profile.responder or profile.llms:
            return []
        return [Missing("no language model", f"give one: --profile {profile.name} --llm {_SMALL_MODEL}")]
    lacks = []
    if not model.is_file():
        lacks.append(
            Missing(f"the model {model} is not there", f"give a GGUF file, or a name: --llm {_SMALL_MODEL}")
        )
    if not machine.program("llama-server") and not machine.importable("xllamacpp"):
        lacks.append(Missing("no llama.cpp server (llama-server or xllamacpp)", f"install it: {install()}"))
    return lacks


# --------------------------------------------------------------------------------- what is started


def servers(
    profile: Profile,
    ports: Ports | None = None,
    model: Path | None = None,
    machine: Machine | None = None,
    asr_arguments: Sequence[str] = (),
    tts_arguments: Sequence[str] = (),
    elsewhere: Collection[str] = (),
    hosts: Hosts | None = None,
) -> list[ServerSpec]:
    """Return the servers of a profile, but those that run elsewhere.

    Raises ProfileUnavailable rather than half of it.
    """
    lacks = missing(profile, model, machine, elsewhere)
    if lacks:
        raise ProfileUnavailable(profile.name, lacks)
    ports, hosts = ports or Ports(), hosts or Hosts()
    asr, tts, llm = (_Address(*pair) for pair in zip(astuple(hosts), astuple(ports), strict=False))
    recogniser = _speech_server("asr", "nemotron_speech.server", profile.asr, asr, *asr_arguments)
    voice = _speech_server("tts", "nemotron_speech.tts_server", profile.tts, tts, *tts_arguments)
    return [spec for spec in (recogniser, voice, _llm_server(llm, model)) if spec.name not in elsewhere]


class _Address(NamedTuple):
    """Address of a server: what it listens on."""

    host: str
    port: int

    @property
    def arguments(self) -> tuple[str, ...]:
        return "--host", self.host, "--port", str(self.port)

    @property
    def health_url(self) -> str:
        return f"http://{reachable(self.host)}:{self.port}/health"


def _speech_server(
    name: str, module: str, engine: EngineSpec, address: _Address, *arguments: str
) -> ServerSpec:
    flags = ("--engine", engine.name, *arguments)
    timeout = _DOWNLOAD_TIMEOUT_S if engine.extra else 300.0
    return _server(name, address, module, *flags, engine=engine.name, ready_timeout=timeout)


def _llm_server(address: _Address, model: Path | None) -> ServerSpec:
    if model is None:
        return _server("llm", address, "nemotron_speech.responder", engine=RESPONDER)
    path = str(model.resolve())
    module = "nemotron_speech.llama_server"
    return _server("llm", address, module, "--model", path, engine=model.name, ready_timeout=600.0)


def _server(
    name: str, address: _Address, module: str, *arguments: str, engine: str, ready_timeout: float = 60.0
) -> ServerSpec:
    argv = (sys.executable, "-m", module, *address.arguments, *arguments)
    return ServerSpec(
        name,
        argv,
        address.port,
        address.health_url,
        host=address.host,
        engine=engine,
        ready_timeout=ready_timeout,
    )


def bot_server(
    bot: str,
    ports: Ports,
    arguments: Sequence[str] = (),
    elsewhere: Collection[str] = (),
    host: str = HOST,
) -> ServerSpec:
    """Return the bot, told where the servers are; those elsewhere it finds in its own settings.

    Raises ConfigurationError for an unknown one.
    """
    if bot not in BOTS:
        raise ConfigurationError(f"no bot is called {bot!r}; choose --bot {'|'.join(BOTS)}")
    address = _Address(host, ports.bot)
    argv = (sys.executable, "-m", f"pipecat_bots.{BOTS[bot]}", *address.arguments)
    return ServerSpec(
        "bot",
        (*argv, *arguments),
        ports.bot,
        address.health_url,
        host=host,
        engine=BOTS[bot],
        ready_timeout=120.0,
        stop_timeout=6.0,
        stage=1,
        env={
            variable: url
            for name, variable, url in (
                ("asr", "NVIDIA_ASR_URL", f"ws://{HOST}:{ports.asr}"),
                ("tts", "NVIDIA_TTS_URL", f"http://{HOST}:{ports.tts}"),
                ("llm", "NVIDIA_LLAMA_CPP_URL", f"http://{HOST}:{ports.llm}"),
                ("llm", "NVIDIA_LLM_URL", f"http://{HOST}:{ports.llm}/v1"),
            )
            if name not in elsewhere
        },
    )
