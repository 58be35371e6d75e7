"""What every recogniser promises, on a random model: all but what needs one that understands speech."""

from __future__ import annotations

import pytest

from nemotron_speech.engines.nemo_asr.engine import NemoAsrEngine
from tests.contract import test_recognisers as contract
from tests.engines.nemo_asr.conftest import MakeEngine

UNDERSTANDS = {"silence_is_an_empty_transcript", "speech_is_heard_and_the_next_utterance_begins_afresh"}
PROMISES = sorted(
    name.removeprefix("test_")
    for name in vars(contract)
    if name.startswith("test_") and name.removeprefix("test_") not in UNDERSTANDS
)


@pytest.fixture(params=["rnnt", "ctc"])
def engine(request: pytest.FixtureRequest, make_engine: MakeEngine) -> NemoAsrEngine:
    return make_engine(request.param, right_context=1)


@pytest.mark.parametrize("promise", PROMISES)
def test_it_keeps_the_promise_that(promise: str, engine: NemoAsrEngine) -> None:
    getattr(contract, f"test_{promise}")(engine)
