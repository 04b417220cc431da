"""Options that several verbs share, each written once.

A flag has an empty ``metavar``, or its help would say ``<bool>`` where nothing is to be typed.
"""

from typing import Annotated

import typer

DATA, _SETTINGS, _RARE, _RUN = "Data", "Settings", "Loss and rare labels", "Running"

# ---- where things come from and go to --------------------------------------------------------------------------------

ModelFolder = Annotated[str, typer.Argument(metavar="MODEL", help="The folder of a trained model.")]
OutFolder = Annotated[str, typer.Option(metavar="DIR", help="The folder to make.")]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print the result as JSON, and nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", metavar="", help="Show where an error came from.")]

# ---- data ------------------------------------------------------------------------------------------------------------

Dev = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Texts to choose the best by; else a share of TRAIN.", rich_help_panel=DATA),
]
Test = Annotated[
    str | None, typer.Option(metavar="FILE", help="Texts to score once, at the very end.", rich_help_panel=DATA)
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Translation: what the lines of the texts shall become, line by line.",
        rich_help_panel=DATA,
    ),
]
DevTarget = Annotated[
    str | None, typer.Option("--dev-target", metavar="FILE", help="The same for --dev.", rich_help_panel=DATA)
]
TestTarget = Annotated[
    str | None, typer.Option("--test-target", metavar="FILE", help="The same for --test.", rich_help_panel=DATA)
]
Task = Annotated[
    str | None,
    typer.Option(
        metavar="classify|tag|similarity|translate|generate",
        help="What to learn, where the data does not tell.",
        rich_help_panel=DATA,
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The column of the texts, where its name does not tell.", rich_help_panel=DATA),
]
TextBColumn = Annotated[
    str | None,
    typer.Option(
        "--text-b-column", metavar="NAME", help="The column of the second texts of pairs.", rich_help_panel=DATA
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The column of the labels, where its name does not tell.", rich_help_panel=DATA),
]
LabelSeparator = Annotated[
    str | None,
    typer.Option(metavar="CHARS", help="What stands between several labels in one cell.", rich_help_panel=DATA),
]
Repair = Annotated[
    bool,
    typer.Option(
        "--repair", metavar="", help="Write tags that break their scheme as it wants them.", rich_help_panel=DATA
    ),
]
HierarchySeparator = Annotated[
    str | None,
    typer.Option(
        metavar="CHARS", help="What stands between the levels of a label, as in sport/football.", rich_help_panel=DATA
    ),
]
GroupColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Rows with the same value stay on one side of a split.", rich_help_panel=DATA),
]
TimeColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Split by time: the latest rows are dev.", rich_help_panel=DATA),
]

Encoding = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Of a text file, such as big5; else found: UTF-8, UTF-16, GB18030.", rich_help_panel=DATA
    ),
]

# ---- trust -----------------------------------------------------------------------------------------------------------

Abstain = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Answer only so much that at most this share is wrong, such as 0.02."),
]
Confidence = Annotated[
    float | None, typer.Option(metavar="SHARE", help="With which the promise of --abstain holds; else 0.95.")
]

# ---- settings --------------------------------------------------------------------------------------------------------

RecipeFile = Annotated[
    str | None,
    typer.Option(metavar="FILE.toml", help="Settings from a file; the command line wins.", rich_help_panel=_SETTINGS),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--override",
        "-o",
        metavar="FIELD=VALUE",
        help="Any field of the recipe, such as training.max_epochs=5; may be repeated.",
        rich_help_panel=_SETTINGS,
    ),
]
Vectors = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Word vectors: word2vec, GloVe or fastText.", rich_help_panel=_SETTINGS),
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", help="Of everything random in the training.", rich_help_panel=_SETTINGS)
]

# ---- loss and rare labels --------------------------------------------------------------------------------------------

ClassWeights = Annotated[
    str | None,
    typer.Option(metavar="balanced", help="Let every label count the same, however rare.", rich_help_panel=_RARE),
]
Sampling = Annotated[
    str | None,
    typer.Option(metavar="balanced", help="Draw every label equally often, however rare.", rich_help_panel=_RARE),
]
Loss = Annotated[
    str | None,
    typer.Option(
        metavar="cross_entropy|focal", help="focal: make little of texts answered well already.", rich_help_panel=_RARE
    ),
]
LabelSmoothing = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Spread this much of each label over all.", rich_help_panel=_RARE),
]

# ---- running ---------------------------------------------------------------------------------------------------------

Resume = Annotated[
    bool,
    typer.Option("--resume", metavar="", help="Go on with what stopped in --out.", rich_help_panel=_RUN),
]
Device = Annotated[
    str, typer.Option(metavar="NAME", help="Such as cpu or cuda:1; else the best there is.", rich_help_panel=_RUN)
]
Precision = Annotated[
    str | None,
    typer.Option(metavar="float32|bfloat16", help="Of the arithmetic; else float32.", rich_help_panel=_RUN),
]
Runtime = Annotated[
    str,
    typer.Option(
        metavar="auto|torch|packed", help="What runs the model; else the fastest there is.", rich_help_panel=_RUN
    ),
]
