"""Layers treated by their depth while a model is fine-tuned: slower, later, or not at all.

What lies low in a trained model is of use for many texts and should move least. Howard and Ruder, ACL 2018
(https://arxiv.org/abs/1801.06146, section 3.2), give each layer a rate of its own, the lower the smaller, and let the
layers learn one after the other from the top; ELECTRA's rates (Clark et al., ICLR 2020, appendix A) fall by a constant
factor a layer. The extractor says which of its parts stand how deep (`wenmo.models.depths`); no model's name is known
here.
"""

from torch import nn

from wenmo.errors import InputError
from wenmo.models.depths import depths_of
from wenmo.training.settings import TrainingSettings

Groups = list[list[nn.Parameter]]


def groups_from_top(task: nn.Module) -> Groups:
    """The parameters of a task: first those of its head, then of the top layer, in the end those below all layers.

    The head is what no depth of the extractor names, its pooler among it; it may be empty. A module without an
    extractor is all head.
    """
    extractor = getattr(task, "extractor", None)
    depths = depths_of(extractor) if isinstance(extractor, nn.Module) else []
    layers = [[parameter for module in modules for parameter in module.parameters()] for modules in depths]
    held = {id(parameter) for layer in layers for parameter in layer}
    return [[p for p in task.parameters() if id(p) not in held], *reversed(layers)]


def learning_rates(task: nn.Module, settings: TrainingSettings) -> dict[int, float]:
    """The highest rate of each parameter, by its ``id``: the d-th layer from the top has the d-th power of
    ``layer_decay``, the head the whole rate or its own.

    Raises:
        InputError: the head is to have a rate of its own, and there is none.
    """
    head, *layers = groups_from_top(task)
    if settings.head_learning_rate and not head:
        raise InputError(
            f"training.head_learning_rate={settings.head_learning_rate:g}: this model has no head of its own, it "
            "foretells with the vectors of its words; leave it out"
        )
    rates = {id(parameter): settings.head_learning_rate or settings.learning_rate for parameter in head}
    for depth, layer in enumerate(layers, start=1):
        rate = settings.learning_rate * settings.layer_decay**depth
        rates |= {id(parameter): rate for parameter in layer}
    return rates


def freeze(task: nn.Module, settings: TrainingSettings) -> None:
    """Take from training what ``training.freeze`` names: it gets no gradient, and so neither updates nor decay.

    Raises:
        InputError: there are not so many layers, or nothing would be left to learn.
    """
    if settings.freeze == "none":
        return
    extractor = getattr(task, "extractor", None)
    depths = depths_of(extractor) if isinstance(extractor, nn.Module) else []
    num_layers = len(depths) - 1
    wanted = 0 if settings.freeze == "embeddings" else settings.freeze
    if num_layers < 1:
        raise InputError(f"training.freeze={settings.freeze}: this model does not tell its layers apart; leave it out")
    if wanted + settings.reinitialize_layers > num_layers:
        new = settings.reinitialize_layers
        besides = f", of which training.reinitialize_layers={new} start anew and have to learn" if new else ""
        raise InputError(f"training.freeze={settings.freeze}: the model has {num_layers} layers{besides}; freeze fewer")
    for module in (module for modules in depths[: wanted + 1] for module in modules):
        module.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in task.parameters()):
        raise InputError(f"training.freeze={settings.freeze}: nothing is left to learn; freeze fewer layers")


def hold_statistics(task: nn.Module) -> None:
    """Let batch norms that do not learn neither count what they see."""
    for module in task.modules():
        if isinstance(module, nn.BatchNorm1d) and not any(p.requires_grad for p in module.parameters()):
            module.eval()


class GradualUnfreezing:
    """The head learns at first, and every so many epochs one layer more, from the top (Howard and Ruder 2018, section
    3.3). What never learns stays as it is."""

    def __init__(self, task: nn.Module, epochs: int) -> None:
        trained = [[p for p in group if p.requires_grad] for group in groups_from_top(task)]
        self._groups = [group for group in trained if group]
        self._epochs = epochs

    def begin(self, epoch: int) -> None:
        """Let learn what learns in an epoch, counted from 0; a function of it alone, so that a run can be resumed."""
        learning = 1 + epoch // self._epochs
        for place, group in enumerate(self._groups):
            for parameter in group:
                parameter.requires_grad_(place < learning)
