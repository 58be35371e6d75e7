"""espeak-ng, by ctypes."""
