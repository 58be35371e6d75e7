"""Place a call of streamdouble's; print what came of it: streamdouble_call.py SCENARIO URL LOSS."""

import json
import sys

from streamdouble.api import run_scenario_sync
from streamdouble.chaos import Impairments
from streamdouble.session import SessionConfig


def main(scenario: str, url: str, loss: str) -> None:
    impairments = Impairments(loss=float(loss), jitter_ms=20 if float(loss) else 0)
    report = run_scenario_sync(url, scenario, config=SessionConfig(impairments=impairments))
    print(json.dumps(report.to_dict()))


main(*sys.argv[1:])
