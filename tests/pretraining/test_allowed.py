"""Which of the seven objectives a corpus allows."""

from dataclasses import replace

from wenmo.pretraining.allowed import TextFacts, reasons_against

ENGLISH = TextFacts(
    language="en", columns=("input_ids", "spans", "capitals", "connective"), num_documents=9, most_sentences=5
)
CHINESE = TextFacts(
    language="zh",
    columns=("input_ids", "spans", "connective", "kind"),
    kind="titles",
    num_documents=9,
    most_sentences=5,
)


def learnt(facts: TextFacts) -> list[str]:
    return [name for name, reason in reasons_against(facts).items() if not reason]


def test_the_released_models_learnt_these():
    assert learnt(ENGLISH) == [
        "knowledge_masking", "capitalization", "token_document_relation", "sentence_reordering", "discourse_relation",
    ]  # fmt: skip
    assert learnt(CHINESE) == [
        "knowledge_masking", "sentence_reordering", "sentence_distance", "discourse_relation", "ir_relevance",
    ]  # fmt: skip


def test_what_is_missing_is_said():
    plain = reasons_against(replace(CHINESE, columns=("input_ids",), kind=""))
    assert "words, phrases or entities" in plain["knowledge_masking"]
    assert plain["capitalization"] == "Chinese has no capitals"
    assert "titles" in plain["ir_relevance"] and "joining word" in plain["discourse_relation"]
    assert "from English alone" in plain["token_document_relation"]
    assert "titles" in reasons_against(replace(CHINESE, kind="dialogues"))["ir_relevance"]
    lines = reasons_against(replace(CHINESE, most_sentences=1))
    assert "needs several" in lines["sentence_reordering"] and "needs several" in lines["sentence_distance"]
    assert "needs texts of others" in reasons_against(replace(CHINESE, num_documents=1))["sentence_distance"]
