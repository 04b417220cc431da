"""What there is to know about a model: sizes, settings with their meaning, and what it does to a text step by step."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from rich.text import Text

from wenmo.cli.output import plain_table, results, visible
from wenmo.data.batching import token_batch
from wenmo.errors import InputError
from wenmo.models.config import Config, ModelConfig
from wenmo.models.registry import Preset, build_model, num_parameters, preset, with_sizes
from wenmo.models.tracing import trace
from wenmo.reports import quantities
from wenmo.text.loading import train_tokenizer
from wenmo.text.word_bytes import word_byte_ids
from wenmo.training.recipe import Recipe

SHOWN_VOCABULARY, SHOWN_LABELS = 10_000, 2
_WIDEST_VALUE = 20
"""Of a setting, in columns of a terminal; a longer one goes on below."""


def describe(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """A model with every setting: its value and what it means.

    Raises:
        InputError: there is no such model, or a setting cannot work.
    """
    chosen, config = preset(name), Recipe.build(model=name, overrides=overrides).model
    meanings, types = field_meanings(type(config)), get_type_hints(type(config))
    settings = [
        {
            "field": f"model.{field}",
            "value": value,
            "choices": list(get_args(types[field])) if get_origin(types[field]) is Literal else None,
            "meaning": meanings.get(field, ""),
        }
        for field, value in config.to_dict().items()
        if field != "model_type"
    ]
    return {
        **_in_short(chosen, config),
        "settings": settings,
        "tokenizer": dict(chosen.tokenizer),
        "training": dict(chosen.training),
    }


def trace_text(name: str, text: str, overrides: Sequence[str]) -> dict[str, Any]:
    """What a freshly started model does to one text: its tokens, and the shape behind each step.

    Raises:
        InputError: there is no such model, a setting cannot work, or the text has no token.
    """
    recipe = Recipe.build(model=name, overrides=overrides)
    # The vocabulary is that of this text alone, so every token has to be kept.
    settings = replace(recipe.data.tokenizer, min_frequency=1, word_bytes=recipe.model.reads_bytes)
    tokenizer = train_tokenizer([text], settings)
    tokens = tokenizer.tokenize(text)
    if not tokens:
        raise InputError(f"--trace {text!r}: there is no word in it; give a text, such as --trace 'not bad at all'")
    model = build_model(with_sizes(recipe.model, tokenizer.vocab_size, SHOWN_LABELS))
    model.initialize(torch.Generator().manual_seed(recipe.training.seed))  # type: ignore[operator]
    reads = getattr(model.eval(), "start", model)  # a model that writes starts by reading
    batch = token_batch(tokenizer.encode_batch([text]))
    if recipe.model.reads_bytes:
        batch = replace(batch, character_ids=torch.from_numpy(word_byte_ids(tokens)).long().unsqueeze(0))
    with torch.no_grad(), trace() as steps:
        reads(batch)
    return {
        "model": name,
        "text": text,
        "tokens": tokens,
        "steps": [{"step": step.name, "axes": list(step.axes), "shape": list(step.shape)} for step in steps],
    }


def field_meanings(config_class: type[Config]) -> dict[str, str]:
    """The string under each field of a settings class, on one line."""
    meanings: dict[str, str] = {}
    for each in reversed(config_class.__mro__):
        if issubclass(each, Config) and each is not Config:
            meanings |= dict(_strings_under_fields(each))
    return meanings


def print_models(models: Sequence[dict[str, Any]]) -> None:
    """A line for each model."""
    table = plain_table()
    table.add_column("model", no_wrap=True, style="bold")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("paper")
    table.add_column("use")
    for model in models:
        table.add_row(model["name"], quantities.large(model["parameters"]), model["paper"], model["use"])
    results().print(table)
    results().print(
        f"Parameters are those with {SHOWN_VOCABULARY:,} tokens in the vocabulary and {SHOWN_LABELS} labels. "
        "`wenmo models NAME` shows the settings of one.",
        style="dim",
    )


def print_description(model: dict[str, Any]) -> None:
    """One model and all its settings."""
    results().print(Text.assemble((model["name"], "bold"), f"  {model['paper']}"))
    results().print(f"{model['use']}.\n")
    table = plain_table()
    table.add_column("setting (-o)", no_wrap=True)
    table.add_column("value", max_width=_WIDEST_VALUE, overflow="fold")
    table.add_column("meaning")
    for setting in model["settings"]:
        choices = f"{' | '.join(map(_as_typed, setting['choices']))}. " if setting["choices"] else ""
        table.add_row(setting["field"], Text(_as_typed(setting["value"]), "bold"), choices + setting["meaning"])
    for section in ("tokenizer", "training"):
        prefix = "data.tokenizer" if section == "tokenizer" else section
        for field, value in model[section].items():
            table.add_row(f"{prefix}.{field}", Text(_as_typed(value), "bold"), "what this model wants, unless you say")
    results().print(table)
    results().print(
        f"{quantities.large(model['parameters'])} parameters with {SHOWN_VOCABULARY:,} tokens in the vocabulary and "
        f"{SHOWN_LABELS} labels; each further token adds {model['parameters_per_token']:,}.",
        style="dim",
    )


def print_trace(traced: dict[str, Any]) -> None:
    """The tokens, then the steps below each other."""
    results().print(Text.assemble((f"{len(traced['tokens'])} tokens  ", "dim"), visible(" | ".join(traced["tokens"]))))
    table = plain_table()
    table.add_column("step")
    table.add_column("axes")
    table.add_column("shape", no_wrap=True)
    for step in traced["steps"]:
        axes = f"({', '.join(step['axes'])})"
        table.add_row(step["step"], Text(axes, "dim"), Text(str(tuple(step["shape"])), "bold"))
    results().print(table)


def _in_short(chosen: Preset, config: ModelConfig) -> dict[str, Any]:
    parameters, with_one_more = (
        num_parameters(with_sizes(config, size, SHOWN_LABELS)) for size in (SHOWN_VOCABULARY, SHOWN_VOCABULARY + 1)
    )
    return {
        "name": chosen.name,
        "parameters": parameters,
        "parameters_per_token": with_one_more - parameters,
        "paper": chosen.paper,
        "use": chosen.use,
    }


def _strings_under_fields(config_class: type[Config]) -> Iterator[tuple[str, str]]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(config_class))).body
    assert isinstance(tree, ast.ClassDef)
    field = ""
    for statement in tree.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)):
                field = name
            case ast.Expr(value=ast.Constant(value=str(meaning))) if field:
                yield field, " ".join(meaning.replace("``", "").split())
            case _:
                field = ""


def _as_typed(value: Any) -> str:
    """A value as it is written behind ``-o field=``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_as_typed, value))}]"
    return str(value) if value != "" else '""'
