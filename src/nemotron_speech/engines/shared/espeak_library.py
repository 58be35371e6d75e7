"""Synthesise one clause with the espeak-ng C library, through ctypes.

The library is one global state machine: it is initialised once per process, and `speak` sets the voice, rate
and pitch and runs to the end under a lock, so callers may interleave clauses of different voices freely.
"""

from __future__ import annotations

import ctypes
import threading
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_void_p
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from nemotron_speech.errors import ConfigurationError, EngineError

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_PHONEMES_IPA = 0x02
_POSITION_CHARACTER = 1
_EVENT_LIST_TERMINATED, _EVENT_WORD = 0, 1
_RATE, _VOLUME, _PITCH = 1, 2, 3
_BUFFER_MS = 60


class _EventId(ctypes.Union):
    _fields_ = (("number", c_int), ("name", c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _fields_ = (
        ("type", c_int),
        ("unique_identifier", c_uint),
        ("text_position", c_int),
        ("length", c_int),
        ("audio_position", c_int),
        ("sample", c_int),
        ("user_data", c_void_p),
        ("id", _EventId),
    )


class _Voice(ctypes.Structure):
    """`espeak_VOICE` of speak_lib.h."""

    _fields_ = (
        ("name", c_char_p),
        ("languages", POINTER(ctypes.c_char)),
        ("identifier", c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", c_int),
        ("spare", c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(c_int, c_void_p, c_int, POINTER(_Event))


@dataclass(frozen=True, slots=True)
class Delivery:
    """Voice, rate and pitch of a clause."""

    voice: str
    """A voice and variant of espeak-ng, such as `gmw/en-US+f3`."""
    rate: int
    """Words per minute, 80 to 450."""
    pitch: int
    """0 to 99."""
    volume: int
    """0 to 200; 100 is the library's usual."""


@dataclass(slots=True)
class Clause:
    """Audio and words of one call."""

    pcm: bytearray = field(default_factory=bytearray)
    words: list[tuple[int, int, int]] = field(default_factory=list)
    """First character, number of characters, first sample of each word."""


class EspeakLibrary:
    """The library of this process. Get it with `espeak_library()`."""

    def __init__(self) -> None:
        self._lib = _open_library()
        self.sample_rate = _initialise(self._lib)
        self.version = self._lib.espeak_Info(None).decode()
        self.languages = self._list_languages()
        """Language tag, in lower case, to the identifier of its voice."""
        self._lock = threading.Lock()
        self._clause = Clause()
        self._callback = _Callback(self._collect)
        self._lib.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, delivery: Delivery) -> Clause:
        """Return the whole audio of `text`, and where its words begin. Raises EngineError."""
        encoded = text.encode(errors="ignore")  # a lone surrogate has no sound
        with self._lock:
            self._clause = Clause()
            self._apply(delivery)
            status = self._lib.espeak_Synth(
                encoded, len(encoded) + 1, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None
            )
            if status != 0:
                raise EngineError(f"espeak-ng failed to speak (status {status})")
            return self._clause

    def phonemes(self, text: str, voice: str) -> str:
        """Return the IPA that a voice speaks `text` with, clauses joined by spaces. Raises EngineError."""
        rest = c_char_p(text.encode(errors="ignore"))
        clauses = []
        with self._lock:
            self._choose(voice)
            while rest.value is not None:
                written = self._lib.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, _PHONEMES_IPA)
                clauses.append((written or b"").decode(errors="replace"))
        return " ".join(clause for clause in clauses if clause)

    def _choose(self, voice: str) -> None:
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise EngineError(f"espeak-ng has no voice {voice!r}")

    def _apply(self, delivery: Delivery) -> None:
        self._choose(delivery.voice)
        for parameter, value in (
            (_RATE, delivery.rate),
            (_PITCH, delivery.pitch),
            (_VOLUME, delivery.volume),
        ):
            self._lib.espeak_SetParameter(parameter, value, 0)

    def _collect(self, samples: int | None, count: int, events: Any) -> int:
        clause = self._clause
        if samples and count > 0:
            clause.pcm += ctypes.string_at(samples, 2 * count)
        for event in events:
            if event.type == _EVENT_LIST_TERMINATED:
                break
            if event.type == _EVENT_WORD:
                clause.words.append((event.text_position - 1, event.length, event.sample))
        return 0

    def _list_languages(self) -> dict[str, str]:
        ranked: dict[str, tuple[int, str]] = {}
        for voice in self._lib.espeak_ListVoices(None):
            if not voice:
                break
            identifier = voice.contents.identifier.decode()
            for rank, tag in _ranked_tags(voice.contents):
                ranked[tag] = min(ranked.get(tag, (rank, identifier)), (rank, identifier))
        return {tag: identifier for tag, (_, identifier) in ranked.items()}


def _ranked_tags(voice: _Voice) -> list[tuple[int, str]]:
    """Return the language tags of a voice, each with how well it fits (less is better)."""
    address = ctypes.cast(voice.languages, c_void_p).value or 0
    tags: list[tuple[int, str]] = []
    while rank := ctypes.string_at(address, 1)[0]:
        name = ctypes.string_at(address + 1)
        tags.append((rank, name.decode()))
        address += len(name) + 2
    return tags


@cache
def espeak_library() -> EspeakLibrary:
    """Return the process's library, initialised on first use. Raises ConfigurationError."""
    return EspeakLibrary()


def _open_library() -> ctypes.CDLL:
    try:
        import espeakng_loader

        lib = ctypes.CDLL(espeakng_loader.get_library_path())
    except (ImportError, OSError) as error:
        raise ConfigurationError(f"the espeak engine needs the package espeakng-loader: {error}") from error
    lib.espeak_Initialize.argtypes = [c_int, c_int, c_char_p, c_int]
    lib.espeak_Info.argtypes, lib.espeak_Info.restype = [c_void_p], c_char_p
    lib.espeak_ListVoices.argtypes, lib.espeak_ListVoices.restype = [c_void_p], POINTER(POINTER(_Voice))
    lib.espeak_SetVoiceByName.argtypes = [c_char_p]
    lib.espeak_SetParameter.argtypes = [c_int, c_int, c_int]
    lib.espeak_SetSynthCallback.argtypes = [_Callback]
    lib.espeak_TextToPhonemes.argtypes = [POINTER(c_char_p), c_int, c_int]
    lib.espeak_TextToPhonemes.restype = c_char_p
    lib.espeak_Synth.argtypes = [c_char_p, c_size_t, c_uint, c_int, c_uint, c_uint, c_void_p, c_void_p]
    return lib


def _initialise(lib: ctypes.CDLL) -> int:
    import espeakng_loader

    data = espeakng_loader.get_data_path()
    rate = lib.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, data.encode(), _INITIALIZE_DONT_EXIT)
    if rate <= 0:
        raise ConfigurationError(f"espeak-ng found no usable data in {data}")
    return rate
