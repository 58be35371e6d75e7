"""Requests to the language model, its replies, its caches and slots, and tools."""
