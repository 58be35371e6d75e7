"""What profiles start, and what they say is missing."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nemotron_speech.engines.requirements import Machine, mends, voices
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.supervisor.profiles import (
    PROFILES,
    Ports,
    ProfileUnavailable,
    bot_server,
    missing,
    profile_named,
    servers,
    with_engines,
)

EVERYTHING = (("pocketsphinx", "moonshine", "whisper", "nemo"), ("espeak", "piper", "magpie"))


def machine(
    engines: tuple[tuple[str, ...], tuple[str, ...]] = EVERYTHING,
    absent: tuple[str, ...] = (),
    extras: tuple[str, ...] = ("whisper", "piper", "nemo"),
    programs: tuple[str, ...] = ("nvidia-smi",),
) -> Machine:
    return Machine(
        engines=lambda: engines,
        importable=lambda module: module not in absent,
        extras=lambda: extras,
        program=lambda name: name if name in programs else None,
        has_model=lambda name: True,
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF")
    return path


def test_embedded_is_the_three_servers_on_their_ports() -> None:
    asr, tts, llm = servers(PROFILES["embedded"], machine=machine())
    assert [(s.name, s.port, s.engine) for s in (asr, tts, llm)] == [
        ("asr", 8080, "pocketsphinx"),
        ("tts", 8001, "espeak"),
        ("llm", 8000, "responder"),
    ]
    assert asr.argv[:3] == (sys.executable, "-m", "nemotron_speech.server")
    assert tts.health_url == "http://127.0.0.1:8001/health"


def test_a_model_replaces_the_responder_in_every_profile(model: Path) -> None:
    for profile in PROFILES.values():
        llm = servers(profile, model=model, machine=machine())[-1]
        assert "nemotron_speech.llama_server" in llm.argv
        assert str(model) in llm.argv
        assert llm.engine == "tiny.gguf"


def test_ports_are_passed_on_to_servers_and_bot() -> None:
    ports = Ports(asr=1, tts=2, llm=3, bot=4)
    assert [s.port for s in servers(PROFILES["embedded"], ports, machine=machine())] == [1, 2, 3]
    bot = bot_server("interleaved", ports)
    assert bot.env["NVIDIA_ASR_URL"] == "ws://127.0.0.1:1"
    assert bot.env["NVIDIA_TTS_URL"] == "http://127.0.0.1:2"
    assert bot.env["NVIDIA_LLM_URL"] == "http://127.0.0.1:3/v1"
    assert bot.argv[-2:] == ("--port", "4")


def test_the_bot_stops_before_the_servers_it_calls() -> None:
    assert all(
        bot_server("vllm", Ports()).stage > s.stage for s in servers(PROFILES["embedded"], machine=machine())
    )


def test_an_engine_this_version_does_not_have_is_said() -> None:
    embedded_only = machine(engines=(("pocketsphinx",), ("espeak",)))
    with pytest.raises(ProfileUnavailable, match="no recogniser called whisper") as error:
        servers(PROFILES["cpu"], machine=embedded_only)
    assert "nemotron demo --profile embedded" in str(error.value)
    assert "--llm" in str(error.value)


def test_a_module_that_is_missing_is_mended_by_its_extra(model: Path) -> None:
    lacks = missing(PROFILES["cpu"], model, machine(absent=("piper",)))
    assert [item.mend for item in lacks] == ["install it: uv sync --extra piper --inexact"]


def test_what_several_extras_mend_is_one_command() -> None:
    lacks = missing(PROFILES["cpu"], None, machine(absent=("piper", "faster_whisper")))
    assert mends(lacks)[0] == "install it: uv sync --extra piper --extra whisper --inexact"


def test_an_extra_that_does_not_exist_is_not_recommended(model: Path) -> None:
    lacks = missing(PROFILES["cpu"], model, machine(absent=("piper",), extras=()))
    assert "--extra" not in lacks[0].mend


def test_gpu_needs_a_driver(model: Path) -> None:
    assert missing(PROFILES["gpu"], model, machine()) == []
    lacks = missing(PROFILES["gpu"], model, machine(programs=()))
    assert any("nvidia-smi" in item.what for item in lacks)


def test_a_model_that_is_not_there_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ProfileUnavailable, match=r"no\.gguf is not there"):
        servers(PROFILES["embedded"], model=tmp_path / "no.gguf", machine=machine())


def test_engines_can_be_chosen_by_name() -> None:
    chosen = with_engines(PROFILES["embedded"], asr="whisper")
    assert [s.engine for s in servers(chosen, machine=machine())] == ["whisper", "espeak", "responder"]
    with pytest.raises(ProfileUnavailable, match="no recogniser called nonsense"):
        servers(with_engines(PROFILES["embedded"], asr="nonsense"), machine=machine())


def test_an_engine_chosen_by_name_is_mended_by_its_extra_or_its_script() -> None:
    here = machine(
        (("pocketsphinx",), ("kokoro", "chatterbox")), absent=("onnxruntime", "torch"), extras=("kokoro",)
    )
    mends = [
        [lack.mend for lack in missing(with_engines(PROFILES["embedded"], tts=name), machine=here)]
        for name in ("kokoro", "chatterbox")
    ]
    assert mends == [
        ["install it: uv sync --extra kokoro --inexact"],
        ["make its environment: scripts/chatterbox_env"],
    ]


def test_a_recogniser_whose_model_is_not_here_is_mended_by_fetching_it() -> None:
    here, chosen = machine((("moonshine",), ("espeak",))), with_engines(PROFILES["embedded"], asr="moonshine")
    absent, present = (replace(here, has_model=lambda _, there=there: there) for there in (False, True))
    (lack,) = missing(chosen, machine=absent)
    assert lack.what == "moonshine has no moonshine-tiny-en"
    assert lack.mend.endswith("models pull moonshine-tiny-en")
    assert missing(chosen, machine=present) == []


def test_voices_are_the_synthesisers_with_what_each_lacks() -> None:
    here = machine(((), ("espeak", "piper", "scripted", "theirs")), absent=("piper",))
    assert {name: [lack.mend for lack in lacks] for name, lacks in voices(here).items()} == {
        "espeak": [],
        "piper": ["install it: uv sync --extra piper --inexact"],
        "theirs": [],
    }


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"embedded\|local\|cpu\|gpu"):
        profile_named("quantum")
    with pytest.raises(ConfigurationError, match="interleaved"):
        bot_server("quantum", Ports())
