"""Checkpoints of Hugging Face's transformers: read as ours, and ours written as theirs.

Everything is accounted for. What the extractor needs and is not there, what looks like the extractor's and has no place
in it, and what has another shape stops the reading, each named, with the likely reason; what belongs to a head that we
do not have is named in `Checkpoint.left_out`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wenmo.errors import InputError
from wenmo.files import read_json_object
from wenmo.interchange.checkpoint import Checkpoint
from wenmo.interchange.families import FAMILIES
from wenmo.interchange.family import Family, Head, Rule, extractor_rules, head_rules, layer_rules
from wenmo.interchange.huggingface_config import (
    config_from_huggingface,
    config_to_huggingface,
    family_named,
    family_of,
    fields_left_out,
    refuse_other_values,
    with_pooler,
)
from wenmo.interchange.weight_files import inside, read_weights
from wenmo.models.config import ModelConfig
from wenmo.models.pretraining_heads import MaskedLanguageModelHead, NextSentenceHead, ReplacedTokenHead
from wenmo.models.registry import build_model
from wenmo.models.shapes import shapes_only
from wenmo.models.stack import StackConfig

CONFIG = "config.json"
_OUTPUTS = ("classifier", "tagger", "chooser")
"""Heads that are the output of a task."""


def read_checkpoint(folder: Path) -> Checkpoint:
    """The model that transformers saved in a folder.

    Raises:
        InputError: a file is missing, cut short, unsafe or of another model, or the architecture is not one of ours.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; a checkpoint is a folder with {CONFIG} and weights")
    described = read_json_object(inside(folder, CONFIG))
    try:
        config_from_huggingface(described)  # before gigabytes are read
    except InputError as error:  # which begins with the file
        raise InputError(f"{folder}/{error}") from None
    return from_huggingface(described, read_weights(folder), str(folder))


def from_huggingface(described: Mapping[str, Any], weights: Mapping[str, Tensor], place: str = "") -> Checkpoint:
    """What `read_checkpoint` does, from values that are read already.

    Args:
        described: the ``config.json``.
        weights: under their names.
        place: where they came from, for messages.

    Raises:
        InputError: see `read_checkpoint`.
    """
    family = family_named(described.get("model_type"))
    config = config_from_huggingface(described)
    assert isinstance(config, StackConfig)
    if config.num_hidden_layers > len(weights):  # before so many are built
        raise InputError(
            f"{place}: {CONFIG} says {config.num_hidden_layers} layers, but there are {len(weights)} weights"
        )
    reading = _Reading(family, {name.removeprefix(family.prefix): tensor for name, tensor in weights.items()})
    reading.drop_buffers()
    tied = reading.drop_copies()
    heads, pooler = reading.find_heads(described, tied)
    settled = reading.without_absent_tasks(with_pooler(config, bool(pooler)))
    if family.model_type == "gpt":
        settled = replace(settled, tie_word_embeddings=tied)  # type: ignore[call-arg]
    for name in heads:
        _check_activation(name, settled, family)
        refuse_other_values(described, family.heads[name].required, family.heads[name].architecture)
    found = reading.take_extractor(settled, pooler)
    on_top = {name: tensor for each in heads for name, tensor in reading.take_head(each, settled).items()}
    if "classifier.weight" in on_top:  # GPT's has no bias there
        on_top.setdefault("classifier.bias", on_top["classifier.weight"].new_zeros(len(on_top["classifier.weight"])))
    reading.refuse(place, weights)
    return Checkpoint(
        config=settled,
        weights=found,
        heads=on_top,
        family=family.name,
        described=dict(described),
        left_out=fields_left_out(described, family) + reading.left_out,
    )


def to_huggingface(
    config: ModelConfig, state: Mapping[str, Tensor], *, named: str = ""
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A model of ours as transformers keeps it: the values of ``config.json``, and the weights under their names there.

    Args:
        config: of the extractor.
        state: the extractor's weights under its own names, and those of heads as in `Checkpoint.heads`. Which heads are
            there decides which class of transformers opens the result.
        named: what the family is called, where it has several names; empty: by the first of them.

    Raises:
        InputError: transformers has no such model, or no such head on it.
    """
    described = config_to_huggingface(config)
    family = family_of(config)
    if named in FAMILIES and FAMILIES[named].alias_of == family.name:
        family = FAMILIES[named]
        described["model_type"] = family.name
    assert isinstance(config, StackConfig)
    heads = [name for name in family.heads if any(each.startswith(f"{name}.") for each in state)]
    described["architectures"] = [_architecture(family, heads)]
    pooler = _place_of_pooler(family, heads, config)
    rules = list(extractor_rules(family, config.num_hidden_layers, pooler))
    # What is below a head, be it GPT's that shares the words' table, stands behind the prefix.
    prefix = family.prefix if heads or family.model_type == "gpt" else ""
    left = dict(state)
    theirs: dict[str, Tensor] = {}
    for rule in rules:
        outside = pooler not in ("", family.pooler) and rule.ours.startswith("pooler.")
        theirs |= _renamed(rule, left, "" if outside else prefix)
    for rule in (rule for name in heads for rule in head_rules(family.heads[name])):
        theirs |= _renamed(rule, left, "")
    if family.model_type == "gpt":
        described["tie_word_embeddings"] = "causal_lm" not in heads
        _drop_zero_bias(left)
    if left:
        raise InputError(
            f"{family.name} of transformers has no place for {_few(sorted(left))}; "
            f"this model can be kept in wenmo's own format alone"
        )
    for name in {"classifier", "tagger"} & set(heads):
        described["id2label"] = {str(i): f"LABEL_{i}" for i in range(len(state[f"{name}.weight"]))}
        described["label2id"] = {label: int(i) for i, label in described["id2label"].items()}
    return described, theirs


def head_module(name: str, config: ModelConfig) -> nn.Module | None:
    """The head of pre-training that ``Checkpoint.heads`` names, for a model of these settings; None: it is no module of
    ours but the output of a task."""
    assert isinstance(config, StackConfig)
    if name == "masked_lm":
        return MaskedLanguageModelHead(
            config.hidden_size,
            config.vocab_size,
            embedding_size=getattr(config, "embedding_size", 0),
            hidden_act=config.hidden_act,
            layer_norm_eps=config.layer_norm_eps,
        )
    if name == "next_sentence":
        return NextSentenceHead(config.hidden_size)
    return ReplacedTokenHead(config.hidden_size, config.hidden_act) if name == "replaced_token" else None


@dataclass
class _Reading:
    """The tensors of a checkpoint that are not accounted for yet, and what was noticed on the way."""

    family: Family
    theirs: dict[str, Tensor]
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def drop_buffers(self) -> None:
        """Numbers that older files hold and that are no weights."""
        for name in [name for name in self.theirs if name.endswith(self.family.buffers)]:
            del self.theirs[name]

    def drop_copies(self) -> bool:
        """Tensors that repeat others; one that stands alone takes the other's place. Whether all of them do repeat."""
        tied = True
        for copy, original in self.family.copies.items():
            if copy in self.theirs and original not in self.theirs:
                self.theirs[original] = self.theirs.pop(copy)
            elif copy in self.theirs and torch.equal(self.theirs[copy], self.theirs[original]):
                del self.theirs[copy]
            elif copy in self.theirs:
                tied = False
        return tied

    def find_heads(self, described: Mapping[str, Any], tied: bool) -> tuple[list[str], str]:
        """The names of the heads that are there, and where the pooler stands; empty: nowhere."""
        present = [name for name, head in self.family.heads.items() if self._has(head)]
        poolers = [self.family.heads[name].takes_pooler for name in present] + [self.family.pooler]
        pooler = next((name for name in poolers if name and f"{name}.weight" in self.theirs), "")
        if "chooser" in present and {"classifier", "tagger"} & set(present):  # all under one name
            chooses = "ForMultipleChoice" in str(described.get("architectures"))
            present = [name for name in present if (name == "chooser") == chooses or name not in _OUTPUTS]
        if {"classifier", "tagger"} <= set(present):
            present.remove("classifier" if self._labels_tokens(described, pooler) else "tagger")
        if pooler and pooler != self.family.pooler:
            self._leave_out(self.family.pooler, "the classification head has a pooler of its own")
        if not tied and "masked_lm" in present:
            present.remove("masked_lm")
            for rule in head_rules(self.family.heads["masked_lm"]):
                self._leave_out(rule.theirs[0], "the head for masked words has a matrix of its own, not the words'")
            for copy in self.family.copies:
                self._leave_out(copy, "as the head it belongs to")
        return present, pooler

    def without_absent_tasks(self, config: ModelConfig) -> ModelConfig:
        """The settings without vectors of tasks where the weights have none: those of the released ERNIE 2.0 do not."""
        if (
            not getattr(config, "task_type_vocab_size", 0)
            or f"{self.family.tables['embeddings.tasks']}.weight" in self.theirs
        ):
            return config
        self.left_out.append(f"{CONFIG}: use_task_id, because the weights hold no vectors of tasks")
        return replace(config, task_type_vocab_size=0)  # type: ignore[call-arg]

    def take_extractor(self, config: ModelConfig, pooler: str) -> dict[str, Tensor]:
        """The weights of our extractor under its names."""
        with shapes_only():
            wanted = {name: weight.shape for name, weight in build_model(config).state_dict().items()}
        assert isinstance(config, StackConfig)
        rules = extractor_rules(self.family, config.num_hidden_layers, pooler)
        return self._take([rule for rule in rules if rule.ours in wanted], wanted)

    def take_head(self, name: str, config: ModelConfig) -> dict[str, Tensor]:
        """The weights of a head under our names."""
        with shapes_only():
            module = head_module(name, config)
        rules = list(head_rules(self.family.heads[name]))
        if module is not None:
            return self._take(rules, {f"{name}.{each}": weight.shape for each, weight in module.state_dict().items()})
        outputs = [len(tensor) for rule in rules[:1] if (tensor := self.theirs.get(rule.theirs[0])) is not None]
        num_outputs = 1 if name == "chooser" else outputs[0] if outputs else 0
        shapes = {"weight": torch.Size([num_outputs, config.hidden_size]), "bias": torch.Size([num_outputs])}
        return self._take(rules, {rule.ours: shapes[rule.ours.rpartition(".")[2]] for rule in rules})

    def refuse(self, place: str, weights: Mapping[str, Tensor]) -> None:
        """Say what is wrong with the checkpoint, if anything is."""
        ours = {rule.theirs[0].split(".")[0] for rule in extractor_rules(self.family, 1, self.family.pooler)}
        extra = sorted(name for name in self.theirs if name.split(".")[0] in ours)
        self.left_out += sorted(f"{name}: of a head that wenmo does not have" for name in self.theirs.keys() - extra)
        if not (self.missing or extra or self.misshapen):
            return
        said = [
            f"{what} {_few(names)}"
            for what, names in (
                ("it lacks", self.missing),
                ("has besides", extra),
                ("of another shape are", self.misshapen),
            )
            if names
        ]
        raise InputError(
            f"{place}: not the {self.family.name} of its {CONFIG}: {'; '.join(said)}. {self._why(weights)}"
        )

    def _why(self, weights: Mapping[str, Tensor]) -> str:
        """The likely reason."""
        kin = [each.name for each in FAMILIES.values() if not each.alias_of and _looks_like(each, weights)]
        if kin and (self.family.alias_of or self.family.name) not in kin:
            return f"The weights are those of a {' or '.join(kin)}; bring its {CONFIG}"
        if len(self.missing) > len(weights) / 2:
            first = next(iter(weights), "")
            return f"The weights are of another architecture, or behind a prefix; the first is called {first!r}"
        if self.misshapen:
            return f"{CONFIG} and the weights are of different models; copy both from one place"
        return (
            f"{CONFIG} describes another number of layers or other parts than were saved; copy the whole folder again"
        )

    def _take(self, rules: list[Rule], wanted: Mapping[str, torch.Size]) -> dict[str, Tensor]:
        found = {}
        for rule in rules:
            absent = [name for name in rule.theirs if name not in self.theirs]
            self.missing += absent
            if absent:
                for name in rule.theirs:
                    self.theirs.pop(name, None)
                continue
            shape = wanted[rule.ours]
            part = torch.Size([shape[0] // len(rule.theirs), *shape[1:]])
            parts = [self.theirs.pop(name) for name in rule.theirs]
            parts = [tensor.t() if rule.transposed and tensor.dim() == 2 else tensor for tensor in parts]
            wrong = [i for i, x in enumerate(parts) if x.shape != part or not x.is_floating_point()]
            self.misshapen += [f"{rule.theirs[i]} {_kind(parts[i])} for {tuple(part)}" for i in wrong]
            if not wrong:
                found[rule.ours] = (torch.cat(parts) if len(parts) > 1 else parts[0]).contiguous()
        return found

    def _has(self, head: Head) -> bool:
        return any(name in self.theirs for rule in head_rules(head) for name in rule.theirs)

    def _labels_tokens(self, described: Mapping[str, Any], pooler: str) -> bool:
        """Whether the labels are those of tokens, where both heads have the same names."""
        said = str(described.get("architectures"))
        return "ForTokenClassification" in said or (not pooler and "ForSequenceClassification" not in said)

    def _leave_out(self, stem: str, reason: str) -> None:
        for name in [name for name in self.theirs if stem and (name == stem or name.startswith(f"{stem}."))]:
            del self.theirs[name]
            self.left_out.append(f"{name}: {reason}")


def _looks_like(family: Family, weights: Mapping[str, Tensor]) -> bool:
    """Whether words and a first layer stand there under the names of a family, behind its prefix or without."""
    names = [f"{family.tables['embeddings.words.words']}.weight"]
    names += [name for rule in layer_rules(family, 0) for name in rule.theirs]
    return any(weights.keys() >= {prefix + name for name in names} for prefix in (family.prefix, ""))


def _architecture(family: Family, heads: list[str]) -> str:
    """The class of transformers that has these heads.

    Raises:
        InputError: none has them all.
    """
    if set(heads) == {"next_sentence", "masked_lm"}:
        return family.heads["masked_lm"].architecture.replace("MaskedLM", "PreTraining")
    if len(heads) > 1:
        raise InputError(f"transformers has no {family.name} with {' and '.join(heads)} at once; write one of them")
    return family.heads[heads[0]].architecture if heads else family.architecture


def _place_of_pooler(family: Family, heads: list[str], config: StackConfig) -> str:
    """Where transformers has the pooler; empty: the model has none.

    Raises:
        InputError: it has none and the head wants one.
    """
    place = next((family.heads[name].takes_pooler for name in heads if family.heads[name].takes_pooler), family.pooler)
    if getattr(config, "pooler", "") == "dense":
        return place
    wants = {"next_sentence", *(["classifier", "chooser"] if place else [])} & set(heads)
    if wants:
        raise InputError(
            f"{family.heads[min(wants)].architecture} of transformers has a layer over the first token, and this model "
            f"has model.pooler='first'; train it with model.pooler='dense'"
        )
    return ""


def _drop_zero_bias(left: dict[str, Tensor]) -> None:
    """GPT's classifier there has no bias.

    Raises:
        InputError: ours has one that matters.
    """
    bias = left.pop("classifier.bias", None)
    if bias is not None and bias.any():
        raise InputError(
            "the classifier has a bias, and GPT's in transformers has none; keep this model in wenmo's own format"
        )


def _renamed(rule: Rule, left: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """One tensor of ours as theirs, taken out of what is left; nothing where the model has no such tensor."""
    if rule.ours not in left:
        return {}
    parts = left.pop(rule.ours).detach().chunk(len(rule.theirs))
    parts = tuple(part.t() if rule.transposed and part.dim() == 2 else part for part in parts)
    # Copies: files of weights hold no two names for one memory.
    return {prefix + name: part.clone().contiguous() for name, part in zip(rule.theirs, parts, strict=True)}


def _check_activation(head: str, config: ModelConfig, family: Family) -> None:
    act = getattr(config, "hidden_act", "")
    if head == "masked_lm" and family.masked_lm_act not in ("", act):
        raise InputError(
            f"{CONFIG}: the head for masked words of {family.name} has {family.masked_lm_act} and its layers {act}; "
            f"wenmo has one for both"
        )


def _kind(tensor: Tensor) -> str:
    """Its shape, and what it holds if it is no weight."""
    return f"{tuple(tensor.shape)}{'' if tensor.is_floating_point() else f' of {tensor.dtype}'}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
