"""PocketSphinx in worker processes, with an interpolated language model."""
