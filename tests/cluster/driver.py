"""A run in a process of its own, to be killed: ``python -m tests.cluster.driver INPUTS.json OUT SECONDS_A_ROW``.

Prints ``start`` when it begins to work and the counts as JSON at its end.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from raygen.pipeline.run import run_score
from tests.cluster.builders import settings
from tests.pipeline.faults import faulty_scorer

if __name__ == "__main__":
    inputs, out, seconds = sys.argv[1:]
    chosen = settings(json.loads(Path(inputs).read_text()), out, **{"cluster.actors": 1})
    print("start", flush=True)
    result = run_score(chosen, say=lambda line: None, make_scorer=partial(faulty_scorer, seconds_a_row=float(seconds)))
    print(json.dumps(asdict(result.counts)), flush=True)
