"""Streaming synthesis: which segment is stepped next, and speech over HTTP."""
