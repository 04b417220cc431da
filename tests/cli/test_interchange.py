"""``wenmo import`` and ``wenmo export`` as a person meets them."""

import json


def test_import_says_what_it_did(wenmo, save_bert, tmp_path):
    save_bert(tmp_path / "bert")
    answer = wenmo("import", tmp_path / "bert", "--out", tmp_path / "new", "--verify")
    assert answer.code == 0, answer.stderr
    assert "every layer equals transformers'" in answer.stdout
    assert f"wenmo train DATA --model {tmp_path / 'new'} --out DIR" in answer.stdout


def test_import_prints_one_json_document(wenmo, save_bert, tmp_path):
    save_bert(tmp_path / "bert")
    told = json.loads(wenmo("import", tmp_path / "bert", "--out", tmp_path / "new", "--json").stdout)
    assert list(told) == ["model", "family", "weights", "left_out", "verified", "first_difference"]
    assert (told["family"], told["verified"], told["first_difference"]) == ("bert", None, None)


def test_the_first_layer_that_differs_is_printed_and_ends_with_1(wenmo, tmp_path, monkeypatch):
    # tests/parity has a checkpoint that differs; here is what the verb makes of one.
    facts = {"model": "new", "family": "bert", "weights": 3, "left_out": ["x: unread"], "verified": False}
    found = facts | {"first_difference": "layer 2: by 0.1"}
    monkeypatch.setattr("wenmo.import_checkpoint", lambda *_, **__: found)
    answer = wenmo("import", "old", "--out", "new", "--verify")
    assert answer.code == 1 and "verified  differs" in answer.stdout
    assert "left out: x: unread" in answer.stderr
    assert "old: not what transformers makes of it, first at layer 2: by 0.1" in answer.stderr


def test_a_checkpoint_that_is_none_ends_with_2(wenmo, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bret"}')
    answer = wenmo("import", tmp_path, "--out", tmp_path / "new")
    assert (answer.code, answer.stdout) == (2, "")
    assert "the nearest known is bert" in answer.stderr


def test_export_says_how_the_folder_is_opened(wenmo, tmp_path):
    rows = "".join(f"{word} film {i}\t{label}\n" for i in range(6) for word, label in (("good", "y"), ("bad", "n")))
    (tmp_path / "rows.tsv").write_text(f"text\tlabel\n{rows}")
    sizes = (
        "model.hidden_size=8",
        "model.num_attention_heads=2",
        "model.intermediate_size=12",
        "training.max_epochs=1",
    )
    overrides = [part for size in sizes for part in ("-o", size)]
    wenmo("train", tmp_path / "rows.tsv", "--model", "bert", "--out", tmp_path / "m", *overrides)
    answer = wenmo("export", tmp_path / "m", "--format", "huggingface", "--out", tmp_path / "out")
    assert answer.code == 0, answer.stderr
    assert "transformers.BertForSequenceClassification.from_pretrained(" in answer.stdout
    assert "which AutoTokenizer does not do" in answer.stderr
    told = json.loads(
        wenmo("export", tmp_path / "m", "--format", "huggingface", "--out", tmp_path / "b", "--json").stdout
    )
    assert list(told) == ["model", "format", "family", "architecture", "weights", "notes"]
    assert wenmo("export", tmp_path / "m", "--format", "onnx", "--out", tmp_path / "c").code == 2
