"""What is known of a model, in plain values: one record for a plan, a fingerprint, a manifest and the network in memory.

Nothing is read here, and torch is not imported: a run is planned with this record where no model can run. Its fields in their
order are what a manifest says under ``model``. A run is planned before the files of a checkpoint are fetched, so what only they
tell may be missing; that is one record with gaps rather than two records that declare the same fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raygen.model.cards import DEMO


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """A model: complete as ``load_network`` and ``describe_network`` give it, with gaps as ``model_on_paper`` does.

    Attributes:
        name: as it was asked for. revision: of the hub (the model card's where none was asked for), None for a folder.
        weights_hash: of the weights and the architecture (see ``raygen.model.evo_facts.evo_facts``); empty for a model on paper.
        dtype: of the matrix products, one of ``raygen.model.precision.DTYPES``; norms, filters, states and logits are float32.
            ``auto`` until it is chosen.
        device: ``cuda`` or ``cpu``, or one device by number.
        context_length: tokens the model was trained to read at once.
        bos_id: token that is read before the first base; None for a model without.
        pad_id, vocab_size, hidden_size, num_layers, filter_storage: None for a model on paper.
        dtype_because: why this dtype.
        domains: what the model was trained on, by its card; None where it has none.
        remarks: sentences to show to who runs it.
        fork_refusal: why the method ``fork`` cannot be used, as far as it can be told without the weights; None where it can.
        unvalidated: its published numbers need what is not done here; every score is flagged.
    """

    name: str
    revision: str | None = None
    weights_hash: str = ""
    dtype: str = "auto"
    device: str = "auto"
    context_length: int
    bos_id: int | None
    pad_id: int | None = None
    vocab_size: int | None = None
    hidden_size: int | None = None
    num_layers: int | None = None
    num_parameters: int
    filter_storage: str | None = None
    dtype_because: str = ""
    domains: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()
    fork_refusal: str | None = None
    unvalidated: bool = False

    @property
    def key(self) -> str:
        """The name under which measured speeds are kept: a hub id with its revision, or a folder's whole path."""
        model_name = str(Path(self.name).resolve()) if self.name != DEMO and Path(self.name).is_dir() else self.name
        return f"{model_name}@{self.revision}" if self.revision else model_name
