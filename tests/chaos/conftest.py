"""The fixtures of the conversations: these are conversations too."""

from tests.e2e.conftest import scripted_stack, speak

__all__ = ["scripted_stack", "speak"]
