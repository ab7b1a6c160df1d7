"""Small random models of transformers, written as folders: a Llama, a GPT-NeoX, and some that cannot be scored or forked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig, MambaConfig, PreTrainedTokenizerFast

TOKENS = {"A": 5, "C": 6, "G": 7, "T": 8, "N": 9}


def write_model(folder: Path, config: Any, **settings: Any) -> Path:
    """Random weights of a seed; ``settings`` are added to config.json."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data *= 5  # so that logits spread by about a nat
    model.save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**written, **settings}))
    return folder


def write_llama(folder: Path, tokens: Any = TOKENS, **changes: Any) -> Path:
    """Two layers with grouped queries, tokens named in config.json."""
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        **{**shape, "num_key_value_heads": 2, "vocab_size": 12, "max_position_embeddings": 1200, **changes}
    )
    return write_model(folder, config, **({} if tokens is None else {"raygen_tokens": tokens}))


def write_neox(folder: Path, **changes: Any) -> Path:
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = GPTNeoXConfig(**{**shape, "vocab_size": 12, "max_position_embeddings": 900, **changes})
    return write_model(folder, config)


def write_mamba(folder: Path) -> Path:
    config = MambaConfig(hidden_size=16, num_hidden_layers=2, vocab_size=12, state_size=4)
    return write_model(folder, config, raygen_tokens=TOKENS, max_position_embeddings=1000)


def write_tokenizer(folder: Path, vocabulary: dict[str, int], bos: str | None = None, split: str = "") -> None:
    """A token a letter, or a word where ``split`` is a blank; ``bos`` is put before every sequence."""
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(split, "isolated") if split == "" else pre_tokenizers.Whitespace()
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(f"{bos} $A", None, [(bos, vocabulary[bos])])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)
