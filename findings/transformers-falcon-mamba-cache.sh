#!/usr/bin/env bash
# The cache of FalconMamba (and of Mamba) in transformers, gone on with by several tokens at once, gives other logits than the whole
# sequence does, without an error or a warning that says so; one token at a time is right to rounding, so generation never
# shows it. What scores continuations of a shared prefix (log-likelihoods of many suffixes) does. Mamba-2's cache is exact.
# Seen with transformers 5.23.0 and torch 2.13.0 on a CPU, Python 3.11, random weights, float32. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import torch
import transformers
from transformers import FalconMambaConfig, FalconMambaForCausalLM, Mamba2Config, Mamba2ForCausalLM

warnings.simplefilter("ignore")
transformers.logging.set_verbosity_error()
torch.manual_seed(0)
small = {"vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
mamba2 = {"num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 4}
models = {
    "FalconMamba": FalconMambaForCausalLM(FalconMambaConfig(**small)),
    "Mamba2": Mamba2ForCausalLM(Mamba2Config(**small, **mamba2)),
}


def continued(model, tokens, step):
    """Logits of the second half, read from the cache of the first, `step` tokens at a time."""
    output = model(tokens[:, :6], use_cache=True)
    logits = []
    for start in range(6, 12, step):
        output = model(tokens[:, start : start + step], use_cache=True, cache_params=output.cache_params)
        logits.append(output.logits)
    return torch.cat(logits, 1)


off = {}
for name, model in models.items():
    torch.nn.init.normal_(model.get_input_embeddings().weight)
    model.eval()
    tokens = torch.randint(0, 20, (1, 12))
    with torch.no_grad():
        whole = model(tokens).logits[:, 6:]
        off[name] = {step: float((continued(model, tokens, step) - whole).abs().max()) for step in (1, 6)}
    print(f"transformers {transformers.__version__}, {name}: largest difference of a logit {off[name][1]:.1e} by single tokens, {off[name][6]:.1e} by six")
right = [off["FalconMamba"][1], off["Mamba2"][1], off["Mamba2"][6]]
sys.exit(not (max(right) < 1e-4 < 1e-2 < off["FalconMamba"][6]))
PYTHON
