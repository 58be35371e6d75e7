"""Streaming recognition behind every protocol: one service, one stream per caller."""
