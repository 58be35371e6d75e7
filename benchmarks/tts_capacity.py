"""Number of listeners that one synthesis server holds without a gap: `python -m benchmarks.tts_capacity`.

The engine is the scripted one with the pace of a GPU (a step of 10 ms makes 46 ms of audio for everybody, the
first of an utterance after 40 ms), so what is measured is the server: sockets, queues, scheduling, one core.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.stack import Process, free_port
from nemotron_speech.bench import tts as bench_tts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--n", default="1,8,32,64", help="callers at once, one number after the other")
    parser.add_argument("--rounds", type=int, default=3, help="utterances of each caller")
    parser.add_argument("--step-ms", type=float, default=10.0, help="time of one engine step")
    parser.add_argument("--first-audio-ms", type=float, default=40.0, help="time before the first audio")
    parser.add_argument("--mode", default="adaptive", choices=("adaptive", "stream", "batch"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = _server(args.step_ms, args.first_audio_ms, Path(folder))
        server.start()
        try:
            server.wait_ready()
            wanted = bench_tts.TtsBenchOptions(
                url=server.url,
                levels=args.n,
                rounds=args.rounds,
                mode=args.mode,
                json=args.json,
                plot=args.plot,
            )
            code = bench_tts.run(Console(highlight=False), wanted)
        finally:
            server.kill(signal.SIGTERM)
    sys.exit(code)


def _server(step_ms: float, first_audio_ms: float, folder: Path) -> Process:
    script = folder / "script.json"
    tts = {"step_ms": step_ms, "first_audio_ms": first_audio_ms, "capacity": 1024, "max_batch": 1024}
    script.write_text(json.dumps({"tts": tts}))
    port = free_port()
    arguments = ["-m", "nemotron_speech.tts_server", "--port", str(port), "--engine", "scripted"]
    return Process("synthesiser", [*arguments, "--option", f"script={script}"], port, folder / "server.log")


if __name__ == "__main__":
    main()
