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
    AutoConfig,
    AutoModelForCausalLM,
    Gemma3Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    ReformerConfig,
    RobertaConfig,
)

TOKENS = {"A": 5, "C": 6, "G": 7, "T": 8, "N": 9}


_SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
_MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_d_state": 8, "mamba_chunk_size": 16}
_LINEAR = {"layer_types": ["linear_attention", "full_attention"]}
_DELTA = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
_LATENT = {"kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "num_key_value_heads": 4}
_CHUNKED = {"n_groups": 1, "chunk_size": 16}
_KDA = {"full_attn_layers": [2], "kda_layers": [1], "head_dim": 8, "num_heads": 4, "short_conv_kernel_size": 4}
FAMILIES: dict[str, dict[str, Any]] = {
    "mamba2": {"num_heads": 4, "head_dim": 16, "state_size": 8, **_CHUNKED},
    "zamba2": {
        "num_hidden_layers": 3,
        "layers_block_type": ["mamba", "hybrid", "mamba"],
        "hybrid_layer_ids": [1],
        "num_mem_blocks": 1,
        "adapter_rank": 4,
        "num_key_value_heads": 4,
        "mamba_d_state": 8,
        "mamba_headdim": 16,
        "mamba_ngroups": 1,
        "n_mamba_heads": 4,
        "chunk_size": 16,
    },
    "falcon_h1": {"mamba_d_ssm": 64, **_MAMBA},
    "nemotron_h": {
        "num_hidden_layers": 4,
        "layers_block_type": ["mlp", "mamba", "attention", "mamba"],
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "ssm_state_size": 8,
        "head_dim": 8,
        **_CHUNKED,
    },
    "granitemoehybrid": {
        "layer_types": ["mamba", "attention"],
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 32,
        **_MAMBA,
    },
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_experts": 4, "num_dense_layers": 1, **_EXPERTS},
    "qwen3_next": {
        "num_experts": 4,
        "shared_expert_intermediate_size": 16,
        "head_dim": 8,
        **_LINEAR,
        **_DELTA,
        **_EXPERTS,
    },
    "qwen3_5_text": {"head_dim": 8, **_LINEAR, **_DELTA},
    "olmo_hybrid": {**_LINEAR, **_DELTA, "linear_num_value_heads": 2},
    "kimi_linear": {"num_experts": 4, "linear_attn_config": _KDA, **_LINEAR, **_LATENT, **_EXPERTS},
    "inkling_text": {
        "layer_types": ["hybrid_sliding", "hybrid"],
        "sliding_window_size": 40,
        "mlp_layer_types": ["dense", "sparse"],
        "n_routed_experts": 4,
        "n_shared_experts": 1,
        "head_dim": 8,
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 2,
        "swa_head_dim": 8,
        "d_rel": 4,
        "rel_extent": 32,
        **_EXPERTS,
    },
    "mamba": {"state_size": 4},
    "falcon_mamba": {"state_size": 4},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8, "mamba_dt_rank": 4, "num_experts": 2},
    "minimax": {"num_local_experts": 4, "block_size": 16, "head_dim": 8, **_LINEAR},
    "bamba": {"attn_layer_indices": [1], **_MAMBA},
    "recurrent_gemma": {
        "num_hidden_layers": 3,
        "attention_window_size": 64,
        "lru_width": 32,
        "head_dim": 8,
        "num_key_value_heads": 1,
    },
    "xlstm": {"num_blocks": 2, "num_heads": 2},
    "deepseek_v32": {
        "q_lora_rank": 16,
        "index_n_heads": 2,
        "index_head_dim": 16,
        "n_routed_experts": 4,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "n_shared_experts": 1,
        **_LATENT,
        **_EXPERTS,
    },
    "mistral": {},
}
"""By type of model, a small one: with layers of each kind that the family has."""


def write_family(folder: Path, model_type: str, **changes: Any) -> Path:
    shape = {**_SHAPE, "num_key_value_heads": 2, "vocab_size": 12, "pad_token_id": 0, "max_position_embeddings": 1200}
    config = AutoConfig.for_model(model_type, **{**shape, **FAMILIES[model_type], **changes})
    return write_model(folder, config, raygen_tokens=TOKENS, max_position_embeddings=1200)


def write_model(folder: Path, config: Any, seed: int = 0, **settings: Any) -> Path:
    """Random weights of a seed; ``settings`` are added to config.json."""
    torch.manual_seed(seed)
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


def write_gemma3(folder: Path) -> Path:
    """Of text and images: what is known of the text stands in a configuration of its own."""
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**shape, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 32, "vocab_size": 12}
    seen = {**shape, "image_size": 28, "patch_size": 14}
    config = Gemma3Config(
        text_config={**text, "max_position_embeddings": 300}, vision_config=seen, mm_tokens_per_image=4
    )
    return write_model(folder, config, raygen_tokens=TOKENS)


def saturate_attention(folder: Path, factor: float = 20.0) -> None:
    """Queries and keys grow until each token attends to one other alone."""
    tensors = load_file(folder / "model.safetensors")
    for name in tensors:
        if "query" in name or "key" in name:
            tensors[name] *= factor
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


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
