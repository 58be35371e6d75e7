"""Connections that are kept: reconnection, outages, audio that is replayed."""
