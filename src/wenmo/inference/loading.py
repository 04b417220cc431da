"""A model folder for use: as the class that answers the task of its model."""

import importlib
from pathlib import Path
from typing import Any, Protocol

from wenmo.errors import InputError
from wenmo.folder import ModelFolder, open_any
from wenmo.inference.elmo_embedder import ElmoEmbedder
from wenmo.inference.embedder import Embedder
from wenmo.inference.predictor import Predictor
from wenmo.interchange.allennlp import holds_elmo
from wenmo.interchange.hub import place_of

_CLASSES = {
    "classify": ("wenmo.inference.predictor", "Predictor"),
    "tag": ("wenmo.inference.tagging", "Tagger"),
    "similarity": ("wenmo.inference.similarity", "SimilarityScorer"),
    "generate": ("wenmo.inference.generating", "TextGenerator"),
    "translate": ("wenmo.inference.translating", "Translator"),
    "choose": ("wenmo.inference.choosing", "Chooser"),
}
"""What answers each task, imported when a model of it is loaded."""


class Model(Protocol):
    """What every loaded model can do, whatever its task."""

    folder: ModelFolder

    def predict_file(
        self, source: str | Path, out: str | Path, *, file_format: str = "", **asked: Any
    ) -> dict[str, Any]:
        """Answer every text of a source and write the answers; ``-`` is standard output."""
        ...

    def evaluate(self, source: str | Path, **asked: Any) -> dict[str, Any]:
        """Answer a source whose answers are known: ``task``, ``rows``, ``metrics`` and what else the task tells."""
        ...


def load(path: str | Path, *, device: str = "", precision: str = "float32", runtime: str = "auto") -> Any:
    """Load a model folder for use.

    Args:
        path: what `wenmo.train` or `wenmo.compare` made, a folder of transformers, the ``options.json`` of an ELMo
            beside its weights, or ``owner/name`` of a model on the hub.
        device: such as ``cpu`` or ``cuda:1``; empty: a GPU where there is one.
        precision: ``float32`` or ``bfloat16``.
        runtime: what runs the model: ``torch``, ``packed`` (faster, for a TextCNN, a recurrent model or a Transformer
            on the CPU), or ``auto``, which takes the fastest that covers the model.

    Returns:
        For a classifier a `wenmo.inference.predictor.Predictor`, for a tagger a `wenmo.inference.tagging.Tagger`, for a
        translator a `wenmo.inference.translating.Translator`, for a language model a
        `wenmo.inference.generating.TextGenerator`, for one that chooses among answers a
        `wenmo.inference.choosing.Chooser`, for a model without a head a
        `wenmo.inference.embedder.Embedder`, for an ELMo a `wenmo.inference.elmo_embedder.ElmoEmbedder`.

    Raises:
        InputError: the folder is not a whole model, or one of the settings cannot work.
    """
    place = place_of(path, fetch_plain=False)
    if holds_elmo(place):
        return ElmoEmbedder.open(place, device=device, precision=precision, runtime=runtime)
    folder = open_any(place)
    if not isinstance(folder, ModelFolder):
        return Embedder.of_folder(folder, str(path), device=device, precision=precision, runtime=runtime)
    module, name = _CLASSES[folder.task.config.task]
    return getattr(importlib.import_module(module), name)(folder, device=device, precision=precision, runtime=runtime)


def loaded(
    model: Model | Predictor | Embedder | ElmoEmbedder | str | Path,
    *,
    device: str = "",
    precision: str = "float32",
    runtime: str = "auto",
) -> Any:
    """A model that may be loaded already, or else as `load` does it."""
    if not isinstance(model, str | Path):
        return model
    return load(model, device=device, precision=precision, runtime=runtime)


def loaded_classifier(
    model: Predictor | str | Path, *, device: str = "", precision: str = "float32", runtime: str = "auto"
) -> Predictor:
    """The same of a classifier.

    Raises:
        InputError: the model does something else.
    """
    found = loaded(model, device=device, precision=precision, runtime=runtime)
    refuse_headless(found)
    if not isinstance(found, Predictor):
        task = found.folder.task.config.task
        raise InputError(f"{found.folder.place}: this is for classifiers, and the model there was trained to {task}")
    return found


def refuse_headless(model: object) -> None:
    """Refuse a model that answers nothing, where answers are wanted.

    Raises:
        InputError: it has no head; the message says what it is for.
    """
    if isinstance(model, Embedder | ElmoEmbedder):
        model.predict(())


def loaded_embedder(model: Predictor | Embedder | ElmoEmbedder | str | Path) -> Embedder | ElmoEmbedder:
    """What gives texts vectors.

    Raises:
        InputError: the model was trained to do something else.
    """
    found = loaded(model)
    if isinstance(found, Embedder | ElmoEmbedder):
        return found
    of_its_own = getattr(found, "embedder", None)
    return of_its_own if isinstance(of_its_own, Embedder) else loaded_classifier(found).embedder
