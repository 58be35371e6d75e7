"""llama.cpp and OpenAI-compatible language models."""
