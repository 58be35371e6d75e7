"""NVIDIA NeMo cache-aware FastConformer, streaming and batched."""
