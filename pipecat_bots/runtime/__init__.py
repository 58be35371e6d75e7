"""Cheaper replacements for parts of Pipecat and asyncio, and the collection of garbage after calls."""
