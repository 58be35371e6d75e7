"""The page at /client: ours, in place of the one that Pipecat's runner brings."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from loguru import logger

CLIENT_DIR = Path(__file__).parents[1] / "client"


def mount_client(app: FastAPI, directory: Path = CLIENT_DIR) -> bool:
    """Serve the built page at /client; whether there is one. The first route mounted there wins."""
    if not (directory / "index.html").is_file():
        logger.warning(
            f"{directory} has no page; Pipecat's own is served, which needs the internet to connect"
        )
        return False
    app.mount("/client", StaticFiles(directory=directory, html=True), name="client")
    return True
