"""Whether a checkpoint as we read it is what transformers makes of it: layer by layer, in float64, on random tokens.

transformers is no part of wenmo; it has to be installed where somebody wants this.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.errors import InputError
from wenmo.features import Features, TokenBatch
from wenmo.interchange.checkpoint import Checkpoint
from wenmo.interchange.huggingface import head_module, to_huggingface
from wenmo.models.registry import build_model
from wenmo.models.shapes import shapes_only
from wenmo.models.stack import StackConfig

_LENGTHS = (12, 7)
"""Tokens of the two texts, where the model reads as many."""
_TOLERANCE = 1e-8
"""Of a difference, beside the largest number of a layer: what is left of float64 behind some tens of layers."""


class CheckpointModel(nn.Module):
    """An extractor with all heads that its checkpoint has."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.config = checkpoint.config
        with shapes_only():
            self.extractor = build_model(checkpoint.config)
        # The tensors themselves, so that their precision stays as it is.
        self.extractor.load_state_dict(checkpoint.weights, assign=True)
        self.heads = nn.ModuleDict()
        for name in sorted({name.partition(".")[0] for name in checkpoint.heads}):
            weights = {k.removeprefix(f"{name}."): w for k, w in checkpoint.heads.items() if k.startswith(f"{name}.")}
            with shapes_only():
                head = head_module(name, checkpoint.config)
                if head is None:
                    num_outputs, size = weights["weight"].shape
                    head = nn.Linear(size, num_outputs, bias="bias" in weights)
            head.load_state_dict(weights, assign=True)
            self.heads[name] = head

    def logits(self, features: Features) -> dict[str, Tensor]:
        """What each head says; a language model whose output is the words' table says ``causal_lm`` without one."""
        states, pooled = features.last_hidden_state, features.pooler_output
        said: dict[str, Tensor] = {}
        for name, head in self.heads.items():
            if name == "masked_lm":
                said[name] = head(states, self.extractor.word_table())  # type: ignore[operator]
            else:
                said[name] = head(pooled if name in ("classifier", "next_sentence", "chooser") else states)
        if self.config.model_type == "gpt" and not said:
            said["causal_lm"] = F.linear(states, self.extractor.word_table())  # type: ignore[operator]
        return said


def logits_there(head: str, heads: Mapping[str, Any], said: Any) -> Tensor:
    """The logits of a head in what transformers said, where these heads stand together; of answers, one a row."""
    name = "logits"
    if {"masked_lm", "next_sentence"} <= heads.keys():
        name = {"masked_lm": "prediction_logits", "next_sentence": "seq_relationship_logits"}[head]
    if head == "chooser":
        found: Tensor = said.get("mc_logits", said["logits"])
        return found.view(-1, 1)
    logits: Tensor = said[name]
    return logits


def inputs_there(batch: TokenBatch, heads: Iterable[str]) -> dict[str, Tensor]:
    """A batch as transformers takes it; for a head that compares answers, all texts are answers to one question."""
    names = ("input_ids", "attention_mask", "token_type_ids", "task_type_ids")
    given: dict[str, Tensor] = {name: value for name in names if (value := getattr(batch, name)) is not None}
    if "chooser" not in heads:
        return given
    # Of tasks, it takes the rows as they are read.
    return {name: value if name == "task_type_ids" else value.unsqueeze(0) for name, value in given.items()}


def first_difference(checkpoint: Checkpoint, folder: Path) -> str:
    """Where our model first says something else than transformers' does, from the embeddings upwards; empty: nowhere.

    Args:
        checkpoint: as we read it.
        folder: from which transformers reads it.

    Raises:
        InputError: transformers is not installed, or cannot read the folder.
    """
    ours = CheckpointModel(checkpoint).double().eval()
    assert isinstance(checkpoint.config, StackConfig)
    state = checkpoint.weights | checkpoint.heads
    described, _ = to_huggingface(checkpoint.config, state, named=checkpoint.family)
    padding = int(checkpoint.described.get("pad_token_id") or 0)
    oracle = _open(described["architectures"][0], folder, padding)
    batch = _texts(checkpoint.config, padding)
    with torch.no_grad():
        features = ours.extractor(batch, output_hidden_states=True)
        inputs = inputs_there(batch, ours.heads)
        if checkpoint.config.model_type == "gpt" and "chooser" in ours.heads:
            inputs["mc_token_ids"] = batch.num_tokens.unsqueeze(0) - 1
            del inputs["attention_mask"]  # it takes none of several answers, and no token sees the padding behind it
        try:
            expected = oracle(output_hidden_states=True, **inputs)
        except RuntimeError as error:  # such as one that wants float32 inside
            raise InputError(f"{folder}: transformers cannot run it in float64: {error}; leave --verify out") from error
    for name, mine, theirs in _side_by_side(features, ours.logits(features), expected, batch.attention_mask.bool()):
        distance = (mine - theirs).abs().max() / theirs.abs().max().clamp(min=1)
        if not distance <= _TOLERANCE:  # also where it is no number
            return f"{name}: by {distance:.2g} of its largest number"
    return ""


def load_transformers() -> Any:
    """The package.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module("transformers")
    except ImportError:
        raise InputError(
            "--verify compares with transformers, which is not installed: pip install transformers, or leave it out"
        ) from None


def _side_by_side(
    features: Features, logits: Mapping[str, Tensor], expected: Any, text: Tensor
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """What both give, without the padding, in the order in which it is computed."""
    assert features.hidden_states is not None
    for i, (mine, theirs) in enumerate(zip(features.hidden_states, expected.hidden_states, strict=True)):
        yield (f"layer {i}" if i else "embeddings"), mine[text], theirs.flatten(0, -3)[text]
    if expected.get("pooler_output") is not None:
        yield "pooler", features.pooler_output, expected.pooler_output
    for name, mine in logits.items():
        theirs = logits_there(name, logits, expected)
        of_tokens = theirs.shape[:2] == text.shape
        yield f"head {name}", *((mine[text], theirs[text]) if of_tokens else (mine, theirs))


def _open(architecture: str, folder: Path, padding: int) -> Any:
    transformers = load_transformers()
    transformers.utils.logging.disable_progress_bar()
    try:
        opened = getattr(transformers, architecture).from_pretrained(
            folder, dtype=torch.float64, attn_implementation="eager", local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(f"{folder}: transformers cannot read it: {error}") from error
    opened.config.pad_token_id = padding  # a GPT that answers with labels looks for the last token by it
    return opened.double().eval()


def _texts(config: StackConfig, padding: int) -> TokenBatch:
    """Two texts of random tokens, the shorter one padded, with segments and tasks if the model has them."""
    lengths = torch.tensor([min(length, config.max_position_embeddings) for length in _LENGTHS])
    mask = (torch.arange(int(lengths.max())) < lengths.unsqueeze(1)).long()
    ids = torch.randint(0, config.vocab_size - 1, mask.shape, generator=torch.Generator().manual_seed(0))
    ids = torch.where(mask.bool(), ids + (ids >= padding), padding)  # no text has the padding's id
    batch = TokenBatch(input_ids=ids, attention_mask=mask)
    if getattr(config, "type_vocab_size", 0) > 1:
        batch = replace(batch, token_type_ids=mask * (torch.arange(mask.size(1)) > 3))
    if getattr(config, "task_type_vocab_size", 0) > 1:
        batch = replace(batch, task_type_ids=torch.ones_like(mask))
    return batch
