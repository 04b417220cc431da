"""The settings of Hugging Face's ``config.json`` as ours, and ours as theirs."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wenmo.errors import InputError
from wenmo.interchange.families import FAMILIES, IGNORED
from wenmo.interchange.family import Family
from wenmo.models.config import ModelConfig
from wenmo.models.registry import config_class

_GPT_WIDENING = 4
"""GPT's feed-forward networks are so many times as wide as its layers; GPT-2's unless it says otherwise."""


def config_from_huggingface(values: Mapping[str, Any]) -> ModelConfig:
    """Our settings of the model that a ``config.json`` describes, its pooler a layer over the first token.

    Raises:
        InputError: the architecture is not one of ours, or a field has a value that we do not compute.
    """
    family = family_named(values.get("model_type"))
    refuse_other_values(values, family.required, family.name)
    ours = {mine: values.get(name, default) for name, (mine, default) in family.fields.items()} | dict(family.fixed)
    for name, (mine, default) in family.fields.items():
        if not _is_like(ours[mine], default):
            raise InputError(
                f"config.json: {name} is {ours[mine]!r}, and has to be a value like {default}; copy it again"
            )
    if ours["hidden_act"] not in family.activations:
        known = ", ".join(family.activations)
        raise InputError(f"config.json: the activation {ours['hidden_act']!r} is not one that wenmo has: {known}")
    ours["hidden_act"] = family.activations[ours["hidden_act"]]
    try:
        if family.model_type == "gpt":
            ours["intermediate_size"] = ours.get("intermediate_size") or _GPT_WIDENING * ours["hidden_size"]
        if family.positions_behind_padding:
            ours["position_offset"] = values.get("pad_token_id", 1) + 1
            ours["max_position_embeddings"] -= ours["position_offset"]
        if family.name == "ernie" and not values.get("use_task_id", False):
            ours["task_type_vocab_size"] = 0
        return config_class(family.model_type).from_dict(ours)
    except (TypeError, ValueError) as error:
        raise InputError(f"config.json: not the description of a {family.name} ({error}); copy it again") from error


def refuse_other_values(values: Mapping[str, Any], required: Mapping[str, Any], kind: str) -> None:
    """Refuse a ``config.json`` that asks for what we do not compute; what is not written has the required value.

    Raises:
        InputError: it does.
    """
    for name, value in required.items():
        if values.get(name, value) != value:
            raise InputError(
                f"config.json: {name} is {values[name]!r}, and of {kind} wenmo reads only those with {value!r}"
            )


def _is_like(value: object, default: object) -> bool:
    """Whether a value has the type of the one that stands for it where it is not written; None: an integer or none."""
    if isinstance(default, str):
        return isinstance(value, str)
    if value is None:
        return default is None
    return isinstance(value, (int, float) if isinstance(default, float) else int) and not isinstance(value, bool)


def fields_left_out(values: Mapping[str, Any], family: Family) -> list[str]:
    """What a ``config.json`` says and we do not read, each with the reason."""
    unknown = [name for name in values if not (name in IGNORED or name in family.fields or name in family.required)]
    said = [f"config.json: {name}, which wenmo does not know" for name in unknown]
    of_layers = values.get("resid_pdrop", 0.1)
    if values.get("embd_pdrop", of_layers) != of_layers:
        said.append(f"config.json: embd_pdrop; the dropout of the embeddings is that of the layers here, {of_layers}")
    return said


def config_to_huggingface(config: ModelConfig) -> dict[str, Any]:
    """The fields of a ``config.json`` for a model of ours.

    Raises:
        InputError: no architecture of transformers is like it.
    """
    family = family_of(config)
    ours = config.to_dict()
    for name, value in family.fixed.items():
        if ours[name] != value:
            raise InputError(
                f"model.{name} is {ours[name]!r}, and {family.name} of transformers has only {value!r}; "
                f"this model can be kept in wenmo's own format alone"
            )
    values: dict[str, Any] = {"model_type": family.name}
    values |= {name: ours[mine] for name, (mine, _) in family.fields.items()}
    act = next(name for name, (mine, _) in family.fields.items() if mine == "hidden_act")
    theirs = [name for name, mine in family.activations.items() if mine == values[act]]
    if not theirs:
        raise InputError(f"model.hidden_act is {values[act]!r}, which {family.name} of transformers does not have")
    values[act] = theirs[0]
    if family.name == "openai-gpt" and ours["intermediate_size"] != _GPT_WIDENING * config.hidden_size:
        raise InputError("openai-gpt of transformers has model.intermediate_size = 4 * model.hidden_size alone")
    if "resid_pdrop" in values:
        values["embd_pdrop"] = values["resid_pdrop"]
    if family.name == "electra":
        values["embedding_size"] = values["embedding_size"] or config.hidden_size
    if family.name == "ernie":
        values["use_task_id"] = bool(values["task_type_vocab_size"])
        values["task_type_vocab_size"] = values["task_type_vocab_size"] or family.fields["task_type_vocab_size"][1]
    if family.positions_behind_padding:
        offset = ours["position_offset"]
        values["pad_token_id"] = offset - 1
        values["max_position_embeddings"] += offset
    return values


def family_named(model_type: object) -> Family:
    """The family that a ``config.json`` names.

    Raises:
        InputError: it is none of ours; the message has the nearest.
    """
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        near = difflib.get_close_matches(str(model_type), FAMILIES, n=1, cutoff=0.4)
        hint = f"the nearest known is {near[0]}; " if near else ""
        raise InputError(f"config.json: model_type is {model_type!r}; {hint}known are {', '.join(FAMILIES)}")
    return FAMILIES[model_type]


def family_of(config: ModelConfig) -> Family:
    """The architecture of transformers that has these settings, told by the fields in which families differ.

    Raises:
        InputError: the model has no counterpart there.
    """
    values = config.to_dict()
    kinds = {
        "bert": "roberta" if values.get("position_offset")
        else "distilbert" if not values.get("type_vocab_size")
        else "electra" if values.get("embedding_size") or values.get("pooler_act") == "gelu"
        else "bert",
        "ernie": "ernie",
        "gpt": "gpt2" if values.get("norm_first") else "openai-gpt",
    }  # fmt: skip
    if config.model_type not in kinds:
        raise InputError(
            f"{config.model_type} has no counterpart in transformers; models that have one are {', '.join(kinds)}"
        )
    return FAMILIES[kinds[config.model_type]]


def with_pooler(config: ModelConfig, found: bool) -> ModelConfig:
    """The settings of a model whose pooler was found, or was not; GPT has none to find."""
    if not hasattr(config, "pooler"):
        return config
    return replace(config, pooler="dense" if found else "first")  # type: ignore[call-arg]
