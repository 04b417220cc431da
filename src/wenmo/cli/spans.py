"""Texts with their words, phrases and entities in a terminal."""

from itertools import cycle, groupby
from operator import itemgetter

from rich.text import Text

from wenmo.cli.output import results, visible
from wenmo.inference.annotating import AnnotatedText, annotated_source
from wenmo.text.spans import ENTITY, PHRASE, WORD, Annotator

_COLORS = ("green", "cyan", "magenta", "yellow", "blue", "red")
_PHRASE = "underline"
_BETWEEN_WORDS = "·"


def print_annotated(source: str, annotator: Annotator, *, text_column: str | None, encoding: str | None) -> None:
    """Show every text of a source, and at the end what the colours mean.

    Raises:
        InputError: the source cannot be read.
    """
    colors: dict[str, str] = {}
    free = cycle(_COLORS)
    for annotated in annotated_source(source, annotator, text_column=text_column, encoding=encoding):
        for unit in annotated.units:
            if unit.level == ENTITY and unit.kind not in colors:
                colors[unit.kind] = next(free)
        results().print(colored(annotated, colors), soft_wrap=True)
    results().print(_legend(colors), soft_wrap=True)


def colored(annotated: AnnotatedText, colors: dict[str, str]) -> Text:
    """A text with its entities in the colour of their kind, its phrases underlined, and a dot between words that touch.

    Args:
        annotated: the text with its units.
        colors: of each kind of entities.
    """
    text, units = annotated.text, annotated.units
    styles = [""] * len(text)
    for unit in units:
        style = {PHRASE: _PHRASE, ENTITY: f"bold {colors.get(unit.kind, '')}"}.get(unit.level, "")
        for place in range(unit.start, unit.end):
            styles[place] = f"{styles[place]} {style}".strip()
    ends = {unit.end for unit in units if unit.level == WORD}
    cuts = {unit.start for unit in units if unit.level == WORD and unit.start in ends}
    pieces: list[tuple[str, str]] = []
    for place, character in enumerate(text):
        if place in cuts:
            pieces.append((_BETWEEN_WORDS, "dim"))
        pieces.append((" " if character.isspace() else visible(character), styles[place]))
    shown = Text()
    for style, run in groupby(pieces, itemgetter(1)):
        shown.append("".join(shown_character for shown_character, _ in run), style)
    return shown


def _legend(colors: dict[str, str]) -> Text:
    legend = Text()
    for kind, color in colors.items():
        legend.append(kind or "entity", f"bold {color}").append("  ")
    return legend.append("phrase", _PHRASE).append(f"  {_BETWEEN_WORDS} between words", "dim")
