"""Kokoro on onnxruntime."""
