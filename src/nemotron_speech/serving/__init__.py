"""Shells around a conversation: sockets, HTTP, limits, metrics, and the life of a server process."""
