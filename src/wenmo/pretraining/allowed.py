"""Which of ERNIE 2.0's seven objectives a corpus allows, and of the others why not.

Languages are those of the table in https://github.com/PaddlePaddle/ERNIE that says what the released models learnt.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from wenmo.pretraining.shards import CAPITALS, CONNECTIVE, KIND, SPANS

ERNIE2 = (
    "knowledge_masking", "capitalization", "token_document_relation", "sentence_reordering", "sentence_distance",
    "discourse_relation", "ir_relevance",
)  # fmt: skip
"""In the order in which they arrive."""
_LANGUAGES = {
    "capitalization": "en",
    "token_document_relation": "en",
    "sentence_distance": "zh",
    "ir_relevance": "zh",
}
"""Those that a released model of one language alone has learnt."""
_NAMED = {"en": "English", "zh": "Chinese"}


@dataclass(frozen=True, kw_only=True)
class TextFacts:
    """What is known of a corpus."""

    language: Literal["en", "zh"]
    columns: Collection[str]
    """Of its shards."""
    kind: Literal["", "dialogues", "titles"] = ""
    """What the column ``kind`` tells: who speaks, or whether a title was clicked."""
    num_documents: int
    most_sentences: int
    """Of one document."""


def reasons_against(facts: TextFacts) -> dict[str, str]:
    """Of each objective why it is left out, in words; empty: it is learnt."""
    return {name: _reason(name, facts) for name in ERNIE2}


def _reason(name: str, facts: TextFacts) -> str:
    language = _LANGUAGES.get(name, facts.language)
    several = f"its longest document is one sentence; {name} needs several"
    if name == "knowledge_masking":
        return "" if SPANS in facts.columns else "no words, phrases or entities are marked in it"
    if name == "capitalization" and CAPITALS not in facts.columns:
        return (
            "capital letters were not noted when it was made" if facts.language == "en" else "Chinese has no capitals"
        )
    if name == "ir_relevance" and (KIND not in facts.columns or facts.kind != "titles"):
        return "it has no queries with titles that were clicked or not"
    if name == "discourse_relation" and CONNECTIVE not in facts.columns:
        return "sentences that begin with a joining word were not looked for when it was made"
    if language != facts.language:
        return f"ERNIE 2.0 learns it from {_NAMED[language]} alone; name it in the schedule to learn it all the same"
    if name in ("sentence_reordering", "sentence_distance") and facts.most_sentences < 2:
        return several
    if name in ("sentence_distance", "ir_relevance") and facts.num_documents < 2:
        return f"it is one document; {name} needs texts of others"
    return ""
