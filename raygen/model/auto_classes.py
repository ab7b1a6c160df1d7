"""Evo 1 and Evo 2 for transformers: importing this registers them with ``AutoConfig`` and ``AutoModelForCausalLM``.

In: a folder that ``raygen.model.loading`` loads, too. Out: a model as transformers has them, which loads, saves and gives logits, without
code from the hub. Scoring does without it: it runs the networks of ``evo1`` and ``evo2`` themselves, whose parts these models hold
under the same names, and is spared the seconds that transformers takes to import.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from raygen.model.checkpoint import FAMILIES, check_checkpoint, extra_shapes, family_of, read_config
from raygen.model.checkpoint_files import PREFIX
from raygen.model.config_rules import EVO1, EVO2
from raygen.model.evo1 import Evo1Network
from raygen.model.evo2 import Evo2Network
from raygen.model.layers import TokenEmbedding
from raygen.model.network import check_rows, refuse_misfit
from raygen.model.striped_hyena import StripedHyenaConfig
from raygen.model.weights import UNSPLIT

_NOT_TAKEN = (
    "auto_map",  # code from the hub
    "transformers_weights",  # another file than the one that was checked and hashed
    "quantization_config",  # left over by a merge: quantised weights are no floating-point tensors and refused as such
    "attn_implementation",
    "_attn_implementation",
)


# Configurations -----------------------------------------------------------------------------------------------------


class StripedHyenaPreTrainedConfig(PreTrainedConfig):
    """The keys of a family's configuration, with its checks, beside what transformers keeps in any ``config.json``."""

    attribute_map = {"num_hidden_layers": "num_layers", "max_position_embeddings": "max_seqlen"}  # noqa: RUF012

    def __init__(self, **settings: Any) -> None:
        keys = FAMILIES[self.model_type].config(**settings).keys()
        others = {name: value for name, value in settings.items() if name not in keys}
        super().__init__(**{name: value for name, value in others.items() if not self._is_not_taken(name, value)})
        for name, value in keys.items():
            setattr(self, name, value)

    @classmethod
    def _is_not_taken(cls, name: str, value: Any) -> bool:
        """Keys that would change how transformers loads and nothing of the model, or be in the way of what is here."""
        if name in ("dtype", "torch_dtype"):
            return not isinstance(getattr(torch, str(value).removeprefix("torch."), None), torch.dtype)
        class_attribute = getattr(cls, name, None)
        return name in _NOT_TAKEN or callable(class_attribute) or isinstance(class_attribute, property)

    def of_network(self) -> StripedHyenaConfig:
        """The configuration that the network is built from."""
        return FAMILIES[self.model_type].config(**self.to_dict())


class Evo1PreTrainedConfig(StripedHyenaPreTrainedConfig):
    """A ``config.json`` of Evo 1."""

    model_type = EVO1

    def __init__(self, **settings: Any) -> None:  # written out: else transformers makes one of the annotations
        super().__init__(**settings)


class Evo2PreTrainedConfig(StripedHyenaPreTrainedConfig):
    """A ``config.json`` of Evo 2."""

    model_type = EVO2

    def __init__(self, **settings: Any) -> None:  # written out: else transformers makes one of the annotations
        super().__init__(**settings)


# Models -------------------------------------------------------------------------------------------------------------


class StripedHyenaForCausalLM(PreTrainedModel):
    """The backbone of a network, with transformers' ways of loading, saving and calling it."""

    base_model_prefix = "backbone"
    _supports_sdpa = True
    _no_split_modules = UNSPLIT

    def __init__(self, config: StripedHyenaPreTrainedConfig) -> None:
        super().__init__(config)
        own_config = config.of_network()
        network = family_of(own_config).network(own_config)
        # What transformers leaves on disk is read back in the type that it was made in.
        network.cast_weights(torch.get_default_dtype())
        self.backbone = network.backbone
        # A tied unembedding in a file is the embedding again (checked by raygen.model.checkpoint).
        unread = [name.removeprefix(PREFIX) for name in extra_shapes(own_config)]
        self._keys_to_ignore_on_load_unexpected = [f"{re.escape(name)}$" for name in unread]
        self.post_init()

    @classmethod
    def from_pretrained(cls, name: Any, *arguments: Any, output_loading_info: bool = False, **settings: Any) -> Any:
        """Load as any model of transformers, but nothing may be missing, left over or of another shape.

        transformers itself would leave a missing tensor as the memory was, and ignore a tied unembedding that differs.

        Raises:
            InputError: the checkpoint does not fit its configuration.
        """
        if Path(str(name)).is_dir() and not settings.get("subfolder"):
            config: Any = settings.get("config")
            is_given = isinstance(config, StripedHyenaPreTrainedConfig)
            check_checkpoint(Path(name), config.of_network() if is_given else read_config(Path(name)))
        model, info = super().from_pretrained(name, *arguments, output_loading_info=True, **settings)
        refuse_misfit(name, info)
        return (model, info) if output_loading_info else model

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: each layer draws its own weights when it is made, and a checkpoint replaces all of them."""

    def get_input_embeddings(self) -> TokenEmbedding:
        return self.backbone.embedding_layer

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> CausalLMOutput:
        """Logits for all tokens. Padding must come last, where it changes nothing before."""
        if attention_mask is not None and bool((attention_mask[:, 1:] > attention_mask[:, :-1]).any()):
            raise ValueError("padding on the left would be read as sequence: pad on the right")
        check_rows(input_ids, None)
        hidden_BTD, _ = self.backbone(input_ids, None, None)
        return CausalLMOutput(logits=self.backbone.logits(hidden_BTD))


class Evo1ForCausalLM(StripedHyenaForCausalLM):
    """Evo 1 as transformers loads it."""

    config_class = Evo1PreTrainedConfig
    _keep_in_fp32_modules_strict = Evo1Network.float32_parameters


class Evo2ForCausalLM(StripedHyenaForCausalLM):
    """Evo 2 as transformers loads it."""

    config_class = Evo2PreTrainedConfig
    _keep_in_fp32_modules_strict = Evo2Network.float32_parameters


for _model in (Evo1ForCausalLM, Evo2ForCausalLM):
    AutoConfig.register(_model.config_class.model_type, _model.config_class, exist_ok=True)
    AutoModelForCausalLM.register(_model.config_class, _model, exist_ok=True)
