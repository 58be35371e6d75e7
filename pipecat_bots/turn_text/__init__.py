"""Endpointing by words: is an utterance complete, in eight languages."""
