"""The one table of tasks: what ``task.task`` stands for."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wenmo.data.choices import holds_choices
from wenmo.data.conll import ENDINGS as CONLL_ENDINGS
from wenmo.data.parallel import is_parallel
from wenmo.data.peoples_daily import is_peoples_daily
from wenmo.data.readers import PACKED
from wenmo.errors import InputError
from wenmo.tasks.task import TaskConfig

_CONFIGS = {
    "classify": ("wenmo.tasks.classification", "ClassificationConfig"),
    "tag": ("wenmo.tasks.tagging", "TaggingConfig"),
    "similarity": ("wenmo.tasks.similarity", "SimilarityConfig"),
    "generate": ("wenmo.tasks.generation", "GenerationConfig"),
    "translate": ("wenmo.tasks.translation", "TranslationConfig"),
    "choose": ("wenmo.tasks.choosing", "ChoosingConfig"),
}


_ENDINGS = {**dict.fromkeys(CONLL_ENDINGS, "tag"), ".txt": "generate"}
"""Of files that hold nothing else."""


def task_of_source(source: str) -> str:
    """What data is for: tagged words, a text to go on with, texts with their translation, contexts with answers to
    choose from, or else labelled texts."""
    if is_peoples_daily(source):
        return "tag"
    path = Path(source)
    unpacked = path.with_suffix("") if path.suffix.lower() in PACKED else path
    if (task := _ENDINGS.get(unpacked.suffix.lower())) and path.is_file():
        return task
    if is_parallel(source):
        return "translate"
    return "choose" if holds_choices(source) else "classify"


def task_config_class(task: object) -> type[TaskConfig]:
    """The class of the settings of a task.

    Raises:
        InputError: there is no such task; the message lists those there are.
    """
    if not isinstance(task, str) or task not in _CONFIGS:
        raise InputError(f"there is no task {task!r}; the tasks are {', '.join(_CONFIGS)}")
    module, name = _CONFIGS[task]
    found: type[TaskConfig] = getattr(importlib.import_module(module), name)
    return found


def task_config_from_dict(values: Mapping[str, Any]) -> TaskConfig:
    """Build the settings of the task that ``task`` names; without a name it is classification.

    Raises:
        InputError: there is no such task.
        ValueError: a field is unknown or its value cannot work.
    """
    return task_config_class(values.get("task", "classify")).from_dict(values)
