"""131,072 tokens through a narrow model, in memory that a laptop has."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MEASURE = """
import json, sys
from pathlib import Path
import torch
from tests.model.models import random_model, random_tokens, small_config

num_tokens, attention = int(sys.argv[1]), sys.argv[2] == "attention"
layers = {"attn_layer_idxs": [1], "hyena_layer_idxs": [0, 2]} if attention else \
         {"attn_layer_idxs": [], "hyena_layer_idxs": [0, 1, 2]}
model = random_model(small_config(max_seqlen=num_tokens, num_attention_heads=1, **layers))

def peak_mib():  # not ru_maxrss: a new program starts there with the peak of the one that started it
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024

with torch.inference_mode():
    model.hidden_states(random_tokens(1, 256), return_state=True)
    before = peak_mib()
    hidden, state = model.hidden_states(random_tokens(1, num_tokens), return_state=True)
    finite = bool(model.unembed(hidden[:, ::1024]).isfinite().all())
print(json.dumps({"grew_mib": peak_mib() - before, "finite": finite, "tokens": state.num_tokens}))
"""


def measured(attention: str) -> dict[str, float]:
    command = [sys.executable, "-c", MEASURE, "131072", attention]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def check_memory(found: dict[str, float]) -> None:
    """At width 32 with 4 poles one (channels × states × tokens) complex tensor alone is 128 MiB, the hidden states 16."""
    assert found["finite"] and found["tokens"] == 131_072
    assert found["grew_mib"] < 400


def test_long_hyena_model_runs_in_bounded_memory() -> None:
    check_memory(measured("none"))


@pytest.mark.slow
def test_long_model_with_attention_runs_in_bounded_memory() -> None:
    check_memory(measured("attention"))
