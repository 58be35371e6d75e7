"""Prefix cache of the language model's server: slots, warm-up, kinds of cache."""
