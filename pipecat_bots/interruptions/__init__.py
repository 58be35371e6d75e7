"""Interruptions: voices heard while the bot speaks, and their effect on its speech."""
