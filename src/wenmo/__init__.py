"""Text into features, features into answers: the public names of wenmo.

Each name is imported from its room when it is first used, so ``import wenmo`` costs nothing and needs no optional part.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wenmo.data.parts import check as check
    from wenmo.inference.annotating import annotate as annotate
    from wenmo.inference.calibrating import calibrate as calibrate
    from wenmo.inference.evaluation import evaluate as evaluate
    from wenmo.inference.exchange import export_model as export_model
    from wenmo.inference.exchange import import_checkpoint as import_checkpoint
    from wenmo.inference.loading import load as load
    from wenmo.models.registry import list_models as list_models
    from wenmo.reports.compare import compare as compare
    from wenmo.reports.pretrain import pretrain as pretrain
    from wenmo.training.recipe import Recipe as Recipe
    from wenmo.training.run import train as train

__version__ = "0.1.0"

# Type checkers read the imports above, Python reads this table; a test holds the two together.
_ROOMS = {
    "Recipe": "wenmo.training.recipe",
    "annotate": "wenmo.inference.annotating",
    "calibrate": "wenmo.inference.calibrating",
    "check": "wenmo.data.parts",
    "compare": "wenmo.reports.compare",
    "evaluate": "wenmo.inference.evaluation",
    "export_model": "wenmo.inference.exchange",
    "import_checkpoint": "wenmo.inference.exchange",
    "list_models": "wenmo.models.registry",
    "load": "wenmo.inference.loading",
    "pretrain": "wenmo.reports.pretrain",
    "train": "wenmo.training.run",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module 'wenmo' has no attribute {name!r}; it has {', '.join(_ROOMS)}")
    value: object = getattr(import_module(_ROOMS[name]), name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__() -> list[str]:
    return sorted([*_ROOMS, "__version__"])
