"""Layers by their depth: rates, freezing, unfreezing, new weights; each exactly, and each resumed bit for bit."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import wenmo
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.folder import load_folder
from wenmo.interchange.huggingface import read_checkpoint
from wenmo.models.bert import Bert, BertConfig
from wenmo.models.gpt import Gpt, GptConfig
from wenmo.models.recurrent import Recurrent, RecurrentConfig
from wenmo.models.textcnn import TextCnn, TextCnnConfig
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.tasks.generation import Generation, GenerationConfig
from wenmo.training.layers import groups_from_top
from wenmo.training.loop import Loop
from wenmo.training.optimization import build_optimizers
from wenmo.training.progress import Silent
from wenmo.training.recipe import Recipe
from wenmo.training.settings import TrainingSettings
from wenmo.training.sources import LabelledRows

SIZES: dict[str, Any] = {
    "vocab_size": 10,
    "hidden_size": 4,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 6,
    "max_position_embeddings": 8,
}
ROWS, GOLD = [[2, 3, 4], [5, 6], [2, 2, 7], [9, 8]], [[0], [1], [0], [1]]
DEPTHS = ("head", "layers.1", "layers.0", "embeddings")
"""From the top."""


def make_task() -> Classification:
    config = BertConfig(**SIZES)
    task = Classification(Bert(config), config, ClassificationConfig(labels=("a", "b"), dropout_prob=0.1))
    task.initialize(torch.Generator().manual_seed(0))
    torch.nn.init.normal_(task.classifier.weight, generator=torch.Generator().manual_seed(1))
    return task


def make_language_model() -> Generation:
    config = GptConfig(**SIZES)
    task = Generation(Gpt(config), config, GenerationConfig(unit="stream"))
    task.initialize(torch.Generator().manual_seed(0))
    return task


def make_loop(folder: Path, task: Classification, watching: Sequence[Silent] = (), **settings: object) -> Loop:
    store = TokenStore.from_rows(input_ids=ROWS, labels=GOLD)
    folder.mkdir(exist_ok=True)
    values = {"learning_rate": 0.01, "batch_size": 2, "max_epochs": 4, "patience": 0, **settings}
    training, cpu = TrainingSettings.model_validate(values), torch.device("cpu")
    source = LabelledRows(task, store, training, 0)
    return Loop(task, source, None, training, folder=folder, device=cpu, observers=watching)


def depth_of(name: str) -> str:
    return next((depth for depth in DEPTHS[1:] if depth in name), "head")


class WhatMoved(Silent):
    """Which depths moved in each update."""

    def __init__(self, task: Classification) -> None:
        self.moved: list[set[str]] = []
        self._task = task
        self._before = self._weights()

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().clone() for name, p in self._task.named_parameters()}

    def stepped(self, step: int, loss: float) -> None:
        after = self._weights()
        self.moved.append({depth_of(n) for n in after if not after[n].equal(self._before[n])})
        self._before = after


def test_every_parameter_is_in_one_group() -> None:
    task = make_task()
    groups = groups_from_top(task)
    names = {id(p): depth_of(name) for name, p in task.named_parameters()}
    assert [{names[id(p)] for p in group} for group in groups] == [{depth} for depth in DEPTHS]
    assert sum(map(len, groups)) == len(names)


@pytest.mark.parametrize("decay", ["all", "matrices"])
def test_each_layer_has_a_share_of_the_rate_of_the_one_above_it(decay: str) -> None:
    task = make_task()
    settings = TrainingSettings(optimizer="sgd", beta1=0.0, learning_rate=1.0, layer_decay=0.5, decay=decay)  # type: ignore[arg-type]
    before = {name: p.detach().clone() for name, p in task.named_parameters()}
    for parameter in task.parameters():
        parameter.grad = torch.ones_like(parameter)
    for optimizer in build_optimizers(task, settings, lazy_rows=False):
        optimizer.step()
    wanted = {"head": 1.0, "layers.1": 0.5, "layers.0": 0.25, "embeddings": 0.125}
    for name, parameter in task.named_parameters():
        assert torch.equal(parameter.detach(), before[name] - wanted[depth_of(name)]), name


def test_the_head_may_have_a_rate_of_its_own_and_tables_of_rows_have_that_of_their_depth() -> None:
    settings = TrainingSettings(learning_rate=1.0, head_learning_rate=8.0, layer_decay=0.5)
    optimizers = build_optimizers(make_task(), settings, lazy_rows=True)
    assert [[group["peak_rate"] for group in each.param_groups] for each in optimizers] == [
        [8, 0.5, 0.25, 0.125],
        [0.125],
    ]
    config = TextCnnConfig(vocab_size=10, embedding_size=4, num_filters=2)
    other = Classification(TextCnn(config), config, ClassificationConfig(labels=("a", "b")))
    optimizers = build_optimizers(other, settings, lazy_rows=True)
    assert [[group["peak_rate"] for group in each.param_groups] for each in optimizers] == [[8, 0.5], [0.5]]


def test_rates_rise_and_fall_together(tmp_path: Path) -> None:
    loop = make_loop(tmp_path, make_task(), schedule="linear", warmup_steps=6, layer_decay=0.5, max_steps=3)
    loop.run()
    rates = [group["lr"] for optimizer in loop.optimizers for group in optimizer.param_groups]
    assert rates == [0.01 * share * 0.5 for share in (1, 0.5, 0.25, 0.125, 0.125)]
    assert '"learning_rate": 0.005' in (tmp_path / "training.jsonl").read_text()


@pytest.mark.parametrize(
    ("frozen", "learning"),
    [("none", 4), ("embeddings", 3), (1, 2), (2, 1)],
)
def test_what_is_frozen_has_no_gradient_and_does_not_decay(frozen: object, learning: int, tmp_path: Path) -> None:
    task = make_task()
    seen = WhatMoved(task)
    loop = make_loop(tmp_path, task, [seen], freeze=frozen, weight_decay=0.1)
    loop.run()
    assert seen.moved == [set(DEPTHS[:learning])] * 8
    held = [p for optimizer in loop.optimizers for group in optimizer.param_groups for p in group["params"]]
    assert all(p.requires_grad for p in held)
    assert len(held) == sum(p.requires_grad for p in task.parameters())


def test_layers_begin_to_learn_one_after_the_other_from_the_top(tmp_path: Path) -> None:
    task = make_task()
    seen = WhatMoved(task)
    make_loop(tmp_path, task, [seen], unfreeze_epochs=2, max_epochs=10, weight_decay=0.1).run()
    wanted = [set(DEPTHS[: 1 + min(3, epoch // 2)]) for epoch in range(10)]
    assert seen.moved == [each for each in wanted for _ in range(2)]  # two updates an epoch


def test_what_never_learns_is_not_unfrozen(tmp_path: Path) -> None:
    task = make_task()
    seen = WhatMoved(task)
    task.classifier.bias.requires_grad_(False)
    make_loop(tmp_path, task, [seen], unfreeze_epochs=1, freeze=1, max_epochs=3).run()
    assert seen.moved == [{"head"}] * 2 + [{"head", "layers.1"}] * 4
    assert not task.classifier.bias.requires_grad


@pytest.mark.parametrize(("settings", "held"), [({}, 0), ({"freeze": 1}, 1), ({"unfreeze_epochs": 4}, 2)])
def test_batch_norms_that_do_not_learn_count_nothing(settings: dict[str, object], held: int, tmp_path: Path) -> None:
    config = RecurrentConfig(vocab_size=10, embedding_size=4, num_units=3, num_hidden_layers=2, normalization="batch")
    task = Classification(Recurrent(config), config, ClassificationConfig(labels=("a", "b")))
    task.initialize(torch.Generator().manual_seed(0))
    make_loop(tmp_path, task, **settings).run()
    counted = [int(x) for name, x in task.state_dict().items() if name.endswith("num_batches_tracked")]
    assert counted == [0] * held + [8] * (2 - held)


def test_a_model_without_a_head_begins_at_its_top_layer() -> None:
    from wenmo.training.layers import GradualUnfreezing

    task = make_language_model()
    GradualUnfreezing(task, 1).begin(0)
    assert {depth_of(name) for name, p in task.named_parameters() if p.requires_grad} == {"layers.1"}
    with pytest.raises(InputError, match=r"head_learning_rate=0\.1: this model has no head"):
        build_optimizers(task, TrainingSettings(head_learning_rate=0.1), lazy_rows=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze": 3}, "the model has 2 layers; freeze fewer"),
        ({"freeze": 1, "reinitialize_layers": 2}, "reinitialize_layers=2 start anew and have to learn"),
    ],
)
def test_more_layers_than_there_are_cannot_be_frozen(settings: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        make_loop(tmp_path, make_task(), **settings)


def test_something_is_left_to_learn(tmp_path: Path) -> None:
    from wenmo.training.layers import freeze

    with pytest.raises(InputError, match="nothing is left to learn"):
        freeze(make_language_model(), TrainingSettings(freeze=2))
    config = TextCnnConfig(vocab_size=10, embedding_size=4, num_filters=2)
    flat = Classification(TextCnn(config), config, ClassificationConfig(labels=("a", "b")))
    with pytest.raises(InputError, match="does not tell its layers apart"):
        freeze(flat, TrainingSettings(freeze="embeddings"))


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ("training.layer_decay=0", "layer_decay"),
        ("training.layer_decay=1.1", "layer_decay"),
        ("training.freeze=0", "freeze"),
        ("training.freeze=top", "freeze"),
        ("training.unfreeze_epochs=-1", "unfreeze_epochs"),
        ("training.head_learning_rate=-1", "head_learning_rate"),
        ("training.reinitialize_layers=-1", "reinitialize_layers"),
    ],
)
def test_values_that_mean_nothing_are_refused(override: str, field: str) -> None:
    with pytest.raises(InputError, match=f"training.{field}"):
        Recipe.build(model="bert", overrides=[override])


# ---- from a checkpoint -----------------------------------------------------------------------------------------------


@pytest.fixture
def bert(tmp_path: Path, save_bert: Callable[..., Any]) -> Path:
    save_bert(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.tsv"
    path.write_text("text\tlabel\n" + "".join(f"good {i}\tyes\nbad {i}\tno\n" for i in "bcdefgh"))
    return path


@pytest.mark.parametrize(("number", "kept"), [(1, ("layers.0", "embeddings")), (2, ("embeddings",))])
def test_top_layers_and_the_pooler_start_anew(
    number: int, kept: tuple[str, ...], bert: Path, texts: Path, tmp_path: Path
) -> None:
    overrides = ["training.learning_rate=0.0", "training.max_epochs=1", f"training.reinitialize_layers={number}"]
    wenmo.train(texts, model=f"bert:{bert}", out=tmp_path / "out", overrides=overrides)
    started = load_folder(tmp_path / "out").task.extractor.state_dict()
    for name, weight in read_checkpoint(bert).weights.items():
        assert started[name].equal(weight) == (depth_of(name) in kept), name
        if "norm.weight" not in name and depth_of(name) not in kept and name.endswith("weight"):
            assert 0.01 < started[name].std() < 0.03, name  # normal(0, 0.02), not the checkpoint's 0.3
    wenmo.train(texts, start=tmp_path / "out", out=tmp_path / "on", overrides=["training.max_epochs=1"])
    assert load_folder(tmp_path / "on").recipe["training"]["reinitialize_layers"] == 0


def test_only_a_checkpoint_has_layers_to_start_anew(bert: Path, texts: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name one, as --model bert:FOLDER"):
        wenmo.train(texts, model="bert", out=tmp_path / "out", overrides=["training.reinitialize_layers=1"])
    with pytest.raises(InputError, match="the model has 2 layers; ask for fewer"):
        wenmo.train(texts, model=str(bert), out=tmp_path / "out", overrides=["training.reinitialize_layers=3"])


class StopsAt(Silent):
    """As Ctrl-C, but at a known step."""

    def stepped(self, step: int, loss: float) -> None:
        if step == 7:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "settings",
    [
        ["layer_decay=0.5", "head_learning_rate=0.03"],
        ["freeze=1", "reinitialize_layers=1"],
        ["unfreeze_epochs=1", "decay=matrices", "weight_decay=0.1"],
        ["unfreeze_epochs=1", "optimizer=adadelta", "layer_decay=0.5"],
    ],
)
def test_a_stopped_run_goes_on_bit_for_bit(settings: list[str], bert: Path, texts: Path, tmp_path: Path) -> None:
    quick = ["learning_rate=0.01", "max_epochs=4", "batch_size=5", "save_steps=2", "patience=0", *settings]
    overrides = [f"training.{each}" for each in quick]
    wenmo.train(texts, model=f"bert:{bert}", out=tmp_path / "whole", overrides=overrides)
    with pytest.raises(KeyboardInterrupt):
        wenmo.train(texts, model=f"bert:{bert}", out=tmp_path / "stopped", overrides=overrides, observers=[StopsAt()])
    wenmo.train(texts, model=f"bert:{bert}", out=tmp_path / "stopped", overrides=overrides, resume=True)
    whole, stopped = (load_folder(tmp_path / name).task.state_dict() for name in ("whole", "stopped"))
    assert all(whole[name].equal(stopped[name]) for name in whole)
