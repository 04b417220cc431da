"""wenmo as a scikit-learn classifier: a model that is fitted on texts and labels, for pipelines and searches.

The estimator holds no model code of its own. It is fitted by the training that `wenmo.train` is, kept as a model
folder, and answers by `wenmo.inference.predictor.Predictor`. Pickling carries the files of that folder, which are read
again as any model folder is; ``save`` and ``load`` need no pickle.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from wenmo.data.rows import Row
from wenmo.data.splits import split_rows
from wenmo.errors import InputError
from wenmo.files import write_json
from wenmo.folder import load_folder, save_folder
from wenmo.inference.predictor import Predictor
from wenmo.models.registry import presets
from wenmo.training.corpus import Corpus
from wenmo.training.recipe import Recipe
from wenmo.training.run import run

_ESTIMATOR = "sklearn.json"
"""Beside the model folder's own files: the parameters, and the classes with their type."""
_OF_THE_DATA = ("tokenizer", "vectors", "max_length", "long_texts", "window_overlap", "bucket")
"""Settings of the data that do not say where texts come from or how they are split."""
_DECIDED_HERE = {
    "task.labels": "y",
    "task.multi_label": "y, as a matrix of zeros and ones",
    "training.seed": "random_state",
}
_KINDS_SAVED = "biufU"


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A text classifier: ``fit(texts, labels)``, ``predict(more)``.

    Labels come back as they were given, whatever their type. Where ``y`` is a matrix of zeros and ones
    ``(texts, labels)``, a text may have any number of labels, and ``predict`` gives such a matrix.

    Args:
        model: a name from `wenmo.list_models`.
        learning_rate: None: the model's own; so are the next two.
        max_epochs: passes over the texts.
        batch_size: texts of a batch.
        settings: any other field of a recipe by its path, such as ``{"model.num_filters": 50, "task.loss": "focal"}``.
        validation_fraction: share of the texts that is kept from training, to stop at the best epoch; equal texts
            are never on both sides. 0: train for ``max_epochs`` on all texts.
        random_state: an int is the seed of ``wenmo train --seed`` and gives the same model again.
        device: such as ``cpu`` or ``cuda:1``; empty: the best there is.

    Attributes:
        classes_: the labels, sorted; for a matrix the numbers of its columns.
        predictor_: the fitted model, as `wenmo.load` gives it.
    """

    def __init__(
        self,
        model: str = "textcnn",
        *,
        learning_rate: float | None = None,
        max_epochs: float | None = None,
        batch_size: int | None = None,
        settings: Mapping[str, Any] | None = None,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        device: str = "",
    ) -> None:
        self.model = model
        self.learning_rate = learning_rate
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.settings = settings
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device

    def fit(self, X: Iterable[str], y: ArrayLike) -> Self:
        """Train the model.

        Args:
            X: the texts.
            y: ``(texts,)`` labels, or ``(texts, labels)`` zeros and ones.

        Raises:
            ValueError: texts or labels cannot be what they should be, or a parameter cannot work.
            JobError: the loss exploded.
        """
        texts = _checked_texts(X)
        classes, labels, several = _read_labels(y)
        check_consistent_length(texts, labels)
        names = [str(each) for each in classes.tolist()]
        recipe = self._recipe(names, several)
        rows = [Row(text, label, source=f"text {i}") for i, (text, label) in enumerate(zip(texts, labels, strict=True))]
        corpus = _split(rows, self.validation_fraction, recipe.training.seed)
        with TemporaryDirectory(prefix="wenmo-", ignore_cleanup_errors=True) as place:
            run(recipe, Path(place) / "model", corpus=corpus, device=self.device)
            self.predictor_ = Predictor(load_folder(Path(place) / "model"), device=self.device)
        self.classes_ = classes
        return self

    def predict(self, X: Iterable[str]) -> NDArray[Any]:
        """The label of each text, of the type that was given; or ``(texts, labels)`` zeros and ones."""
        check_is_fitted(self)
        column = {name: i for i, name in enumerate(self.predictor_.labels)}
        answers = self.predictor_.stream(_checked_texts(X))
        if not self._several:
            chosen: NDArray[Any] = self.classes_[[column[str(answer.label)] for answer in answers]]
            return chosen
        yes = [[column[name] for name in answer.label or ()] for answer in answers]
        matrix = np.zeros((len(yes), len(column)), np.int64)
        for row, columns in enumerate(yes):
            matrix[row, columns] = 1
        return matrix

    def predict_proba(self, X: Iterable[str]) -> NDArray[np.float64]:
        """``(texts, labels)``, in the order of ``classes_``; rows sum to 1 unless a text may have several labels."""
        check_is_fitted(self)
        found = self.predictor_.probabilities(_checked_texts(X)).astype(np.float64)
        return found if self._several else found / found.sum(axis=1, keepdims=True)

    def save(self, path: str | Path) -> None:
        """Write a model folder, which `wenmo.load` and the command line read too.

        Raises:
            InputError: labels or parameters are of a type that a file of values cannot hold.
            JobError: a file could not be written.
        """
        check_is_fitted(self)
        parameters = self.get_params(deep=False)
        if isinstance(self.random_state, np.random.RandomState):
            parameters["random_state"] = None  # a generator has no value to write down
        classes = {"dtype": self.classes_.dtype.str, "values": self.classes_.tolist()}
        if self.classes_.dtype.kind not in _KINDS_SAVED and not all(isinstance(c, str) for c in self.classes_):
            raise InputError(f"labels of type {self.classes_.dtype} cannot be saved; fit on strings or numbers")
        try:
            described = json.loads(json.dumps({"parameters": parameters, "classes": classes}))
        except TypeError as error:
            raise InputError(f"a parameter cannot be saved ({error}); give settings as plain values") from error
        save_folder(Path(path), self.predictor_.folder)
        write_json(Path(path) / _ESTIMATOR, described)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "") -> Self:
        """Read what `save` wrote, or any model folder; of another folder the labels are its strings.

        Raises:
            InputError: the folder is not a whole model, or one of pairs of texts.
        """
        predictor = Predictor(load_folder(Path(path)), device=device)
        if predictor.pair != "none":
            raise InputError(f"{path}: this model reads pairs, and an estimator single texts; use wenmo.load")
        described = Path(path) / _ESTIMATOR
        if described.exists():
            saved = json.loads(described.read_text(encoding="utf-8"))
            estimator = cls(**{**saved["parameters"], "device": device})
            classes = np.array(saved["classes"]["values"], dtype=np.dtype(saved["classes"]["dtype"]))
        else:
            estimator = cls(**_parameters_of(predictor.folder.recipe), device=device)
            classes = np.array(predictor.labels)
        estimator.predictor_, estimator.classes_ = predictor, classes
        return estimator

    @property
    def _several(self) -> bool:
        return self.predictor_.task.config.multi_label

    def _recipe(self, names: list[str], several: bool) -> Recipe:
        values = _nested(self.settings or {})
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        plain = {"learning_rate": self.learning_rate, "max_epochs": self.max_epochs, "batch_size": self.batch_size}
        given = {name: value for name, value in plain.items() if value is not None}
        values["training"] = {**values.get("training", {}), **given, "seed": int(seed)}
        values["task"] = {**values.get("task", {}), "labels": names, "multi_label": several}
        return Recipe.build(model=self.model, values=values)

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        assert tags.classifier_tags is not None
        tags.classifier_tags.multi_label = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        predictor = state.pop("predictor_", None)
        if predictor is not None:
            with TemporaryDirectory(prefix="wenmo-") as place:
                save_folder(Path(place), predictor.folder)
                state["files"] = {file.name: file.read_bytes() for file in Path(place).iterdir()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        files = state.get("files")
        super().__setstate__({name: value for name, value in state.items() if name != "files"})
        if files is not None:
            with TemporaryDirectory(prefix="wenmo-", ignore_cleanup_errors=True) as place:
                for name, content in files.items():
                    (Path(place) / Path(name).name).write_bytes(content)
                self.predictor_ = Predictor(load_folder(Path(place)), device=self.device)


def _checked_texts(X: Iterable[str]) -> list[str]:
    if isinstance(X, str):
        raise ValueError("X is one string; pass a list of texts, for example [text]")
    if getattr(X, "ndim", 1) != 1 or not isinstance(X, Iterable):
        raise ValueError(f"X has {getattr(X, 'ndim', 0)} dimensions, and texts stand in one; pass a list or one column")
    texts = list(X)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"X[{row}] is {text!r:.40}, a {type(text).__name__}; every text is a string")
    if not texts:
        raise ValueError("Found array with 0 sample(s), a minimum of 1 is required: X holds no text")
    return [str(text) for text in texts]  # NumPy's strings too


def _read_labels(y: ArrayLike) -> tuple[NDArray[Any], list[str | tuple[str, ...]], bool]:
    """The classes, the label or labels of each row under the names they have in the model, and whether several."""
    if y is None:
        raise ValueError("TextClassifier requires y to be passed, but the target y is None")
    if (place := _first_without_label(y)) is not None:
        raise ValueError(f"y has no label at place {place} (None); leave the text out, or give it a label")
    check_classification_targets(y)
    if type_of_target(y, input_name="y") == "multilabel-indicator":
        matrix = np.asarray(y.toarray() if hasattr(y, "toarray") else y)
        columns = np.arange(matrix.shape[1])
        return columns, [tuple(map(str, np.flatnonzero(row).tolist())) for row in matrix], True
    values = column_or_1d(y, warn=True)
    classes, places = np.unique(values, return_inverse=True)
    names = [str(each) for each in classes.tolist()]
    if len(classes) < 2:
        raise ValueError(f"y holds 1 class, {names[0]!r}; a classifier needs at least two classes")
    if len(set(names)) < len(names):
        raise ValueError("two labels of y are written the same; give labels of one type")
    return classes, [names[place] for place in places.tolist()], False


def _first_without_label(y: ArrayLike) -> int | None:
    values = np.asarray(y, dtype=object) if isinstance(y, list | tuple) else np.asarray(y)
    if values.ndim != 1 or values.dtype != object:
        return None
    return next((place for place, each in enumerate(values.tolist()) if each is None), None)


def _split(rows: list[Row], fraction: float, seed: int) -> Corpus:
    if not 0 <= fraction < 1:
        raise InputError(f"validation_fraction must be at least 0 and below 1; got {fraction}")
    if not fraction:
        return Corpus(train=rows)
    train, dev = split_rows(rows, [1 - fraction, fraction], seed=seed)
    return Corpus(train=[rows[i] for i in train], dev=[rows[i] for i in dev])


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by their paths as the nested values of a recipe.

    Raises:
        InputError: a field is decided by the arguments of ``fit`` or the parameters.
    """
    nested: dict[str, Any] = {}
    for path, value in settings.items():
        section, *names = path.split(".")
        if not names:
            raise InputError(f"settings[{path!r}]: name a field by its path, such as 'training.weight_decay'")
        decided_by = _DECIDED_HERE.get(path, "X and validation_fraction" if section == "data" else "")
        if decided_by and not (section == "data" and names[0] in _OF_THE_DATA):
            raise InputError(f"settings[{path!r}]: {decided_by} says this; leave it out")
        inner = nested.setdefault(section, {})
        for name in names[:-1]:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise InputError(f"settings[{path!r}] stands beside the whole of it; give every field by its own path")
        inner[names[-1]] = value
    return nested


def _parameters_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with which a model is fitted as that of a folder was."""
    model = recipe["model"]
    name = next(
        (
            preset.name
            for preset in presets().values()
            if preset.model_type == model["model_type"]
            and all(_plain(model.get(field)) == _plain(value) for field, value in preset.values.items())
        ),
        model["model_type"],
    )
    settings = {
        f"{section}.{field}": value
        for section in ("data", "model", "task", "training")
        for field, value in recipe[section].items()
        if (section != "data" or field in _OF_THE_DATA) and f"{section}.{field}" not in _DECIDED_HERE
    }
    for known in ("model.model_type", "model.vocab_size", "model.num_outputs", "task.task"):
        settings.pop(known, None)
    return {"model": name, "settings": settings, "random_state": recipe["training"].get("seed")}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
