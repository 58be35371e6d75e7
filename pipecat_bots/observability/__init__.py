"""The client page, the figures of a turn, the recording, the log."""
