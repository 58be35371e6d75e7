"""What can be loaded, and what is said when it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from nemotron_speech.engines.nemo_asr.engine import NemoAsrEngine
from nemotron_speech.engines.registry import asr_engine
from nemotron_speech.errors import BadRequest, ConfigurationError
from tests.engines.nemo_asr import offline
from tests.engines.nemo_asr.conftest import MakeEngine
from tests.engines.nemo_asr.streams import Caller, recognise, step
from tests.engines.nemo_asr.tiny_models import babble, make_model


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    heard: list[str] = []
    sink = logger.add(lambda message: heard.append(str(message)), level="WARNING")
    yield heard
    logger.remove(sink)


@pytest.fixture
def infos() -> Iterator[list[str]]:
    heard: list[str] = []
    sink = logger.add(lambda message: heard.append(message.record["message"]), level="INFO")
    yield heard
    logger.remove(sink)


def refusal(engine: NemoAsrEngine) -> str:
    with pytest.raises(ConfigurationError) as caught:
        engine.load()
    return str(caught.value)


def test_the_engine_is_found_by_name() -> None:
    assert isinstance(asr_engine("nemo", model="a.nemo", right_context=1), NemoAsrEngine)


def test_a_file_that_is_not_there_is_named() -> None:
    assert "nowhere/model.nemo" in refusal(NemoAsrEngine("nowhere/model.nemo", device="cpu"))


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.nemo"
    path.write_bytes(b"not an archive")
    assert "broken.nemo is not a NeMo speech recognition model" in refusal(NemoAsrEngine(str(path)))


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (
            "nemo.collections.asr.models.ASRModel.restore_from",
            "rnnt.nemo does not fit into the memory of cpu",
        ),
        ("nemotron_speech.engines.nemo_asr.engine.Arena", "capacity: 9 streams of 0.04 MB each do not fit"),
    ],
)
def test_what_does_not_fit_into_memory_is_named(
    what: str, says: str, monkeypatch: pytest.MonkeyPatch, nemo_file: Callable[[str], Path]
) -> None:
    import torch

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    path = str(nemo_file("rnnt"))
    monkeypatch.setattr(what, full)
    assert says in refusal(NemoAsrEngine(path, device="cpu", capacity=9))


def test_a_hub_name_without_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = refusal(NemoAsrEngine("somebody/some-model", device="cpu"))
    assert said.startswith("model: somebody/some-model is not on this machine and cannot be downloaded")
    assert "type: hf download somebody/some-model --local-dir some-model" in said


def test_what_was_downloaded_once_is_loaded_without_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nemo_file: Callable[[str], Path]
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    kept = tmp_path / "models--somebody--some-model"
    snapshot = kept / "snapshots" / ("0" * 40)
    for folder in (kept / "refs", snapshot):
        folder.mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    (snapshot / "some-model.nemo").symlink_to(nemo_file("rnnt"))
    engine = NemoAsrEngine("somebody/some-model", device="cpu", right_context=1, capacity=1)
    engine.load()
    assert engine.step_ms == 160


def test_a_download_shows_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nemo_file: Callable[[str], Path], infos: list[str]
) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def hub(
        repository: str, *, allow_patterns: list[str], local_files_only: bool = False, **options: Any
    ) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        assert allow_patterns == ["*.nemo"]
        with options["tqdm_class"](total=4_000_000, unit="B", name="x") as bar:
            for _ in range(4):
                bar.update(1_000_000)
                bar.refresh()
        (tmp_path / "some-model.nemo").symlink_to(nemo_file("rnnt"))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    NemoAsrEngine("somebody/some-model", device="cpu", right_context=1, capacity=1).load()
    shown = [line.split(": ", 1)[1].strip() for line in infos if " % of " in line]
    assert shown == [f"{share} % of 4 MB" for share in (20, 50, 70, 100)]


@pytest.mark.parametrize("options", [{"right_context": 2}, {"att_ctx": "70,5"}, {"att_ctx": "56,1"}])
def test_a_look_ahead_the_model_was_not_trained_with_is_refused_with_those_it_was(
    options: dict[str, Any], nemo_file: Callable[[str], Path]
) -> None:
    said = refusal(NemoAsrEngine(str(nemo_file("rnnt")), device="cpu", **options))
    for supported in ("70,13 (1040 ms)", "70,6 (480 ms)", "70,1 (80 ms)", "70,0 (0 ms)"):
        assert supported in said


@pytest.mark.parametrize(
    ("written", "meant", "warned"), [("70,16", 6, 1), ("70,33", 13, 1), ("[70, 6]", 6, 0)]
)
def test_look_aheads_by_their_usual_wrong_names_are_understood_with_a_warning(
    written: str, meant: int, warned: int, make_engine: MakeEngine, warnings: list[str]
) -> None:
    engine = make_engine("rnnt", att_ctx=written)
    assert engine.step_ms == 80 * (meant + 1)
    assert len(warnings) == warned


def test_words_come_every_160_ms_unless_the_model_was_trained_otherwise(
    make_engine: MakeEngine, tokenizer: Path, tmp_path: Path
) -> None:
    assert make_engine("rnnt").step_ms == 160
    path = tmp_path / "patient.nemo"
    make_model(tokenizer, "rnnt", att_context_size=[[70, 13], [70, 6]]).save_to(str(path))
    engine = NemoAsrEngine(str(path), device="cpu", capacity=1)
    engine.load()
    assert engine.step_ms == 80 * 14


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"precision": "fp8"}, "fp32, bf16, fp16"),
        ({"decoder": "ctc"}, "no CTC decoder"),
        ({"att_ctx": "many"}, "such as 70,1"),
        ({"device": "cuda:7"}, "sees no GPU"),
        ({"cuda_graphs": True}, "there are none on cpu"),
    ],
)
def test_options_that_do_not_fit_are_named(
    options: dict[str, Any], named: str, nemo_file: Callable[[str], Path]
) -> None:
    import torch

    if "device" in options and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert named in refusal(NemoAsrEngine(str(nemo_file("rnnt")), **{"device": "cpu", **options}))


def test_compiling_without_a_compiler_is_refused_with_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, nemo_file: Callable[[str], Path]
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "which", lambda name: None)
    said = refusal(NemoAsrEngine(str(nemo_file("rnnt")), device="cpu", compile=True))
    assert "C++ compiler" in said


def test_a_compiled_step_takes_batches_of_any_size_and_says_the_same(
    monkeypatch: pytest.MonkeyPatch, make_engine: MakeEngine
) -> None:
    """The compiler is left out: it takes minutes and proves nothing about our part."""
    import torch

    sizes: list[int] = []

    def compile_nothing(step: Any, **_: Any) -> Any:
        def noting(**inputs: Any) -> Any:
            sizes.append(len(inputs["processed_signal"]))
            return step(**inputs)

        return noting

    audio = [babble(1.5, seed) for seed in range(5)]
    plain = make_engine("rnnt", right_context=1)
    expected = [recognise(plain, each)[0] for each in audio]
    monkeypatch.setattr(torch, "compile", compile_nothing)
    engine = make_engine("rnnt", right_context=1, compile=True, capacity=5, max_batch=5)
    assert set(sizes) == {1, 2, 4, 8}, "all are compiled before the first caller"
    callers = [Caller(engine, [each]) for each in audio]
    while step(engine, callers):
        pass
    assert [offline.spaced(caller.finals[0].text) for caller in callers] == expected


def test_impossible_options_are_refused_before_anything_is_loaded() -> None:
    with pytest.raises(ConfigurationError, match="rnnt, ctc"):
        NemoAsrEngine("a.nemo", decoder="attention")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="at least 1"):
        NemoAsrEngine("a.nemo", capacity=0)


def test_a_model_that_needs_the_whole_recording_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    path = tmp_path / "whole.nemo"
    whole = {"att_context_size": [-1, -1], "att_context_style": "regular", "conv_context_size": None}
    make_model(tokenizer, "ctc", causal_downsampling=False, **whole).save_to(str(path))
    said = refusal(NemoAsrEngine(str(path), device="cpu"))
    assert "not a cache-aware streaming model" in said
    assert "no chunked attention" in said


def test_a_language_the_model_does_not_know_is_refused(make_engine: MakeEngine) -> None:
    engine = make_engine("rnnt")
    with pytest.raises(BadRequest, match="allowed: en"):
        engine.open("tlh")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_says_nearly_the_same(precision: str, make_engine: MakeEngine) -> None:
    """Random models decide by a hair, so their words are a harsh measure: most must still be the same."""
    from difflib import SequenceMatcher

    full, half = (make_engine("rnnt", right_context=1, precision=p) for p in ("fp32", precision))
    audio = [babble(3, seed) for seed in range(6)]
    texts = [[recognise(engine, each)[0] for each in audio] for engine in (full, half)]
    alike = [SequenceMatcher(None, a, b, autojunk=False).ratio() for a, b in zip(*texts, strict=True)]
    print(f"{precision}: text alike {min(alike):.2f} at least, {sum(alike) / len(alike):.2f} on average")
    assert sum(alike) / len(alike) > 0.8


def test_languages_are_told_to_the_model_caller_by_caller(tokenizer: Path, tmp_path: Path) -> None:
    path = tmp_path / "prompted.nemo"
    make_model(tokenizer, "prompted").save_to(str(path))
    engine = NemoAsrEngine(str(path), right_context=1, device="cpu", language="en", capacity=4)
    engine.load()
    assert set(engine.info.languages) == {"auto", "en-US", "de-DE"}
    assert engine.info.languages[0] == "en-US"
    audio = babble(2, 4)
    streams = [engine.open(language) for language in (None, "de", "en", "auto")]
    from nemotron_speech.engines.base import AsrResult, AsrWork, Flush

    outcomes = engine.step([AsrWork(stream, audio.tobytes(), Flush.HARD) for stream in streams])
    texts = [offline.spaced(o.text) for o in outcomes if isinstance(o, AsrResult)]
    model = offline.load(path, 1)
    expected = {
        name: offline.recognise(model, audio, prompt=i) for name, i in (("auto", 0), ("en", 1), ("de", 2))
    }
    assert texts == [expected["en"], expected["de"], expected["en"], expected["auto"]]
    assert len(set(texts)) == 3
