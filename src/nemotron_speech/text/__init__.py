"""Text on its way to a voice: chunks worth speaking, without markup, in words that can be spoken."""

from nemotron_speech.text.chunker import Budget, Chunker, ends_sentence
from nemotron_speech.text.markup import speakable
from nemotron_speech.text.spoken import Spoken, WordTime, say, warm_up

__all__ = ["Budget", "Chunker", "Spoken", "WordTime", "ends_sentence", "say", "speakable", "warm_up"]
