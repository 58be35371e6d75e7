"""The seam between servers and speech models: what a recogniser or a synthesiser must offer."""

from nemotron_speech.engines.base import (
    AsrEngine,
    AsrInfo,
    AsrResult,
    AsrStream,
    AsrWork,
    CloneLimits,
    Flush,
    Segment,
    SynthesisMode,
    TtsEngine,
    TtsInfo,
    TtsResult,
    TtsStream,
    VoiceCloner,
    Word,
)

__all__ = [
    "AsrEngine",
    "AsrInfo",
    "AsrResult",
    "AsrStream",
    "AsrWork",
    "CloneLimits",
    "Flush",
    "Segment",
    "SynthesisMode",
    "TtsEngine",
    "TtsInfo",
    "TtsResult",
    "TtsStream",
    "VoiceCloner",
    "Word",
]
