"""Whisper (CTranslate2) as a streaming recogniser."""
