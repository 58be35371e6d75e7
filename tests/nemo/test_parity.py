"""A stream says what the model says of the whole recording; a batch says what each stream says alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.nemo import offline
from tests.nemo.conftest import MakeEngine
from tests.nemo.streams import recognise
from tests.nemo.tiny_models import babble

KINDS = [("rnnt", "rnnt"), ("hybrid", "rnnt"), ("hybrid", "ctc"), ("ctc", "ctc")]


@pytest.fixture(scope="module")
def reference(nemo_file: Callable[[str], Path]) -> Callable[[str, int], Any]:
    """The model itself at a look-ahead, loaded apart from any engine."""
    from nemotron_speech.engines.nemo_load import load_model, set_look_ahead

    models: dict[str, Any] = {}

    def get(kind: str, right: int) -> Any:
        if kind not in models:
            models[kind] = load_model(str(nemo_file(kind)), "cpu")
        set_look_ahead(models[kind], right, None)
        return models[kind]

    return get


@pytest.mark.parametrize("right", [0, 1, 6, 13])
@pytest.mark.parametrize(("kind", "decoder"), KINDS)
def test_a_stream_says_what_the_model_says_of_the_whole_recording(
    kind: str, decoder: str, right: int, make_engine: MakeEngine, reference: Callable[[str, int], Any]
) -> None:
    engine = make_engine(kind, decoder=decoder, right_context=right)
    for seed, seconds in enumerate((0.05, 0.4, 1.3, 2.9, 6.0)):
        audio = babble(seconds, seed)
        expected = offline.recognise(reference(kind, right), audio, decoder)
        assert recognise(engine, audio) == [expected]
