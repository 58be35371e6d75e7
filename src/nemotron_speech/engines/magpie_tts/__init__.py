"""NVIDIA Magpie synthesis with a batched decoder loop."""
