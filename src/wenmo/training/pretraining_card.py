"""The model card of a model that was pre-trained here."""

from collections.abc import Mapping
from typing import Any

from wenmo.folder import wenmo_version
from wenmo.pretraining.corpus import Corpus
from wenmo.pretraining.model import Pretraining
from wenmo.tasks.task import in_markdown
from wenmo.training.pretraining_recipe import PretrainingRecipe


def pretraining_card(
    recipe: PretrainingRecipe, corpus: Corpus, learner: Pretraining, metrics: Mapping[str, Any]
) -> str:
    """Markdown for the ``README.md`` of the folder."""
    name, objectives = recipe.model.model_type, ", ".join(learner.losses)
    sources = corpus.manifest["sources"]
    start = f"It went on from `{in_markdown(recipe.checkpoint)}`." if recipe.checkpoint else ""
    lines = [
        f"# {name}, pre-trained",
        "",
        f"Pre-trained with wenmo {wenmo_version()} on raw text: {objectives}; {metrics['steps']:,} updates; "
        f"{metrics['parameters']:,} parameters, those of the heads among them. {start}".rstrip(),
        "",
        "## Text",
        "",
        f"{corpus.documents:,} documents, {corpus.sentences:,} sentences, {corpus.tokens:,} tokens; fingerprint "
        f"`{corpus.fingerprint}`.",
        "",
        *[f"- `{in_markdown(source['path'])}`" for source in sources],
        *[f"- left out: {count:,} {in_markdown(reason)}" for reason, count in corpus.dropped.items()],
        "",
        "## On held-out text",
        "",
        "| metric | value | 95 % interval |",
        "|---|---|---|",
        *[
            f"| {metric} | {value['value']:.4f} | {value['low']:.4f} to {value['high']:.4f} |"
            for metric, value in metrics["dev"].items()
        ],
        "",
        "The best update was chosen on the same text, so these figures are a little too good.",
        "",
        "## Use",
        "",
        "```",
        "wenmo train DATA --model FOLDER --out RUN",
        "```",
        "",
        "## Limits",
        "",
        "- It knows its text and no other; what is wrong or unfair in it is in the model too.",
        f"- It was trained on texts of at most {recipe.corpus.longest:,} tokens.",
        "",
        "## Make it again",
        "",
        "```",
        "wenmo pretrain --recipe recipe.toml --out AGAIN",
        "```",
        "",
    ]
    return "\n".join(lines)
