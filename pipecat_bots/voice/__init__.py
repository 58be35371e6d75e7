"""Requests of the bot to its voice, and its reaction when nothing comes."""
