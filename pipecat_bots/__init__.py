"""The bots."""

from loguru import logger

# Pipecat logs while it is imported. It is heard when a process has set its log up (observability/log.py).
logger.disable("pipecat")
