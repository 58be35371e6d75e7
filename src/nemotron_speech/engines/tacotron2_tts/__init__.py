"""Tacotron 2 with a windowed vocoder."""
