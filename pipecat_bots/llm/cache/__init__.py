"""Prefix cache of the language model's server: its kind, and the slot of a conversation."""
