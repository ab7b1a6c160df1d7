"""Small random models of transformers, written as folders: a Llama, a GPT-NeoX, and some that cannot be scored or forked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import BPE, WordLevel
from transformers import (
    AutoModelForCausalLM,
    Gemma3Config,
    GPTNeoXConfig,
    Lfm2Config,
    LlamaConfig,
    MambaConfig,
    PreTrainedTokenizerFast,
    ReformerConfig,
    RobertaConfig,
)

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


def write_roberta(folder: Path, tokens: Any = TOKENS, **changes: Any) -> Path:
    """A decoder with a table of 100 positions, the first of which are those of padding."""
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = RobertaConfig(**{**shape, "is_decoder": True, "vocab_size": 12, "max_position_embeddings": 100, **changes})
    return write_model(folder, config, raygen_tokens=tokens)


def write_reformer(folder: Path) -> Path:
    """Its attention hashes with vectors drawn anew in each call."""
    config = ReformerConfig(
        is_decoder=True,
        hidden_size=32,
        attention_head_size=8,
        num_attention_heads=4,
        attn_layers=["local", "lsh"],
        axial_pos_shape=[16, 25],
        axial_pos_embds_dim=[16, 16],
        local_attn_chunk_length=16,
        lsh_attn_chunk_length=16,
        feed_forward_size=48,
        max_position_embeddings=400,
        vocab_size=12,
    )
    return write_model(folder, config, raygen_tokens=TOKENS)


def write_lfm2(folder: Path) -> Path:
    """A layer of convolutions and one of attention."""
    config = Lfm2Config(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        layer_types=["conv", "full_attention"],
        block_auto_adjust_ff_dim=False,
        max_position_embeddings=300,
        vocab_size=12,
    )
    return write_model(folder, config, raygen_tokens=TOKENS)


def write_gemma3(folder: Path) -> Path:
    """Of text and images: what is known of the text stands in a configuration of its own."""
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**shape, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 32, "vocab_size": 12}
    seen = {**shape, "image_size": 28, "patch_size": 14}
    config = Gemma3Config(
        text_config={**text, "max_position_embeddings": 300}, vision_config=seen, mm_tokens_per_image=4
    )
    return write_model(folder, config, raygen_tokens=TOKENS)


def overflow_float16(folder: Path, factor: float = 400.0) -> None:
    """The gated products of a Llama grow until float16 cannot hold them; what they add stays about the same."""
    tensors = load_file(folder / "model.safetensors")
    for name in tensors:
        if "up_proj" in name or "gate_proj" in name:
            tensors[name] *= factor
        if "down_proj" in name:
            tensors[name] *= 1e-5
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def write_bpe_tokenizer(folder: Path, vocabulary: dict[str, int], merges: list[str]) -> None:
    """A token a letter, but for ``merges``: a token each of all letters but the last, and the last."""
    model = BPE(vocab=vocabulary, merges=[(merge[:-1], merge[-1]) for merge in merges], unk_token="[UNK]")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), unk_token="[UNK]", pad_token="[PAD]")
    tokenizer.save_pretrained(folder)


def write_tokenizer(
    folder: Path,
    vocabulary: dict[str, int],
    bos: str | None = None,
    split: str = "",
    unknown: str | None = "[UNK]",
) -> None:
    """A token a letter, or a word where ``split`` is a blank; ``bos`` is put before every sequence."""
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=unknown) if unknown else WordLevel(vocabulary))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(split, "isolated") if split == "" else pre_tokenizers.Whitespace()
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(f"{bos} $A", None, [(bos, vocabulary[bos])])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=unknown, pad_token="[PAD]").save_pretrained(folder)
