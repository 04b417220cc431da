"""Data that cannot work, or works only after a word about it: the exit code, the one line, and what is left behind."""

import json
import shutil

import pytest

from wenmo.cli import main  # noqa: F401  (the fixtures run it)

HEADER = "label\ttext\n"


def good_rows(num_rows=60):
    words = ["day", "night", "rain", "road", "tree", "house", "song", "bread"]
    return "".join(
        f"{('pos', 'neg')[i % 2]}\t{('lovely', 'awful')[i % 2]} {words[i % 8]} {words[i // 8]}\n"
        for i in range(num_rows)
    )


REFUSED = {
    "an empty file": ("", "data.tsv is empty"),
    "a header only": (HEADER, "data.tsv has column names and no rows"),
    "commas instead of tabs": (HEADER.replace("\t", ",") + good_rows().replace("\t", ","), "data.tsv:1: tabs were"),
    "semicolons instead of tabs": (HEADER.replace("\t", ";") + good_rows().replace("\t", ";"), "data.tsv:1: tabs were"),
    "a tab too many": (HEADER + good_rows() + "pos\tlovely\tfilm\n", "data.tsv:62: 3 columns, but the header has 2"),
    "a NUL byte": (HEADER + good_rows() + "pos\tlove\0ly\n", "data.tsv:62: a NUL byte"),
    "mixed encodings": (
        (HEADER + good_rows() + "pos\t房间很干净，前台也热情\n").encode()
        + "neg\t房间太吵了，睡不着\n".encode("gb18030"),
        "is not UTF-8, and",
    ),
    "one class only": (HEADER + good_rows().replace("neg", "pos"), "data.tsv: every row has the label 'pos'"),
    "no labels at all": ("text\n" + "lovely\nawful\n" * 20, "data.tsv"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("verb", ["train", "compare"])
def test_data_that_cannot_work_is_a_wrong_call_that_leaves_nothing_behind(wenmo, tiny, tmp_path, case, verb):
    content, said = REFUSED[case]
    data = tmp_path / "data.tsv"
    data.write_bytes(content if isinstance(content, bytes) else content.encode())
    if verb == "compare":
        tiny = ["--models", "textcnn", *tiny[2:]]
    answer = wenmo(verb, data, *tiny, "--out", tmp_path / "out")
    assert (answer.code, answer.stdout) == (2, "")
    errors = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "out").exists()


def test_a_single_line_of_10_mb_is_read_cut_and_spoken_of(wenmo, tiny, tmp_path):
    data = tmp_path / "data.tsv"
    data.write_text(HEADER + good_rows() + "pos\t" + "lovely film " * 900_000 + "\n", encoding="utf-8")
    answer = wenmo("train", data, *tiny, "--out", tmp_path / "out", "--json")
    assert answer.code == 0
    notes = json.loads(answer.stdout)["notes"]
    assert any("data.tsv:62: a line of 10,800,004 characters" in note for note in notes)
    assert any("cut" in note for note in notes)


def test_gb18030_is_read_with_a_note(wenmo, tiny, tmp_path):
    data = tmp_path / "data.tsv"
    rows = "".join(
        f"{'好' if i % 2 else '差'}\t第{i}次入住，房间{'很干净' if i % 2 else '太吵了'}\n" for i in range(60)
    )
    data.write_bytes((HEADER + rows).encode("gb18030"))
    answer = wenmo("train", data, *tiny, "--out", tmp_path / "out")
    assert answer.code == 0
    assert "note: " in answer.stderr
    assert "read as GB18030" in answer.stderr


def test_an_encoding_that_is_not_found_can_be_named_to_every_verb(wenmo, tmp_path):
    data, answers = tmp_path / "data.tsv", tmp_path / "answers.tsv"
    rows = "".join(
        f"{'好' if i % 2 else '差'}\t第{i}次入住，房間{'很乾淨' if i % 2 else '太吵了'}\n" for i in range(60)
    )
    data.write_bytes((HEADER + rows).encode("big5"))
    for call in (
        ["check", data],
        ["train", data, "--model", "nbsvm", "--out", tmp_path / "model"],
        ["evaluate", tmp_path / "model", data],
        ["predict", tmp_path / "model", data, "--out", answers],
        ["embed", tmp_path / "model", data, "--out", tmp_path / "vectors.npy"],
    ):
        answer = wenmo(*call, "--encoding", "big5")
        assert answer.code == 0, answer.stderr
        assert "GB18030" not in answer.stdout + answer.stderr
    labels = [line.partition("\t")[0] for line in answers.read_text(encoding="utf-8").splitlines()]
    assert labels == ["label", *["差", "好"] * 30]


def test_rows_without_text_or_label_are_counted_and_named(wenmo, tiny, tmp_path):
    data = tmp_path / "data.tsv"
    data.write_text(HEADER + good_rows() + "\tno label\npos\t\n", encoding="utf-8")
    answer = wenmo("train", data, *tiny, "--out", tmp_path / "out")
    assert answer.code == 0
    assert "2 rows were left out; the first is" in answer.stderr
    assert "data.tsv:62: no label" in answer.stderr


def test_one_example_of_a_class_stays_in_training_and_is_spoken_of(wenmo, tiny, tmp_path):
    data = tmp_path / "data.tsv"
    data.write_text(HEADER + good_rows() + "other\ta strange one\n", encoding="utf-8")
    answer = wenmo("train", data, *tiny, "--out", tmp_path / "out")
    assert answer.code == 0
    assert "labels with a single text" in answer.stderr
    assert "other" in answer.stderr
    assert "other" in json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))["label2id"]


@pytest.mark.parametrize("verb", ["train", "check"])
def test_labels_that_look_like_measurements_bring_up_regression(wenmo, tiny, tmp_path, verb):
    data = tmp_path / "data.tsv"
    rows = "".join(f"{(i % 7) / 2}\tnumber {i} is a {'lovely' if i % 7 > 3 else 'awful'} film\n" for i in range(70))
    data.write_text(HEADER + rows, encoding="utf-8")
    answer = wenmo(verb, data, *([*tiny, "--out", tmp_path / "out"] if verb == "train" else []))
    assert answer.code == 0
    assert "regression" in " ".join((answer.stdout + answer.stderr).split())


@pytest.mark.parametrize("part", ["--dev", "--test"])
def test_a_label_unseen_in_training_names_its_line(wenmo, tiny, train_file, tmp_path, part):
    other = tmp_path / "other.tsv"
    other.write_text(HEADER + good_rows(10) + "neutral\tso so\n", encoding="utf-8")
    answer = wenmo("train", train_file, part, other, *tiny, "--out", tmp_path / "out")
    assert (answer.code, answer.stdout) == (2, "")
    assert "other.tsv:12: the label 'neutral' was not seen in training" in answer.stderr
    assert "neg, pos" in answer.stderr


def test_a_text_of_unknown_words_is_answered_and_spoken_of(wenmo, trained, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("a lovely film\nxyzzy plugh\n", encoding="utf-8")
    answer = wenmo("predict", trained, texts, "--json")
    assert answer.code == 0
    assert len(answer.stdout.splitlines()) == 2
    assert "1 of 2 texts have no token that the model knows" in answer.stderr


def test_texts_shorter_than_a_filter_are_learnt_and_answered(wenmo, tiny, tmp_path):
    data = tmp_path / "data.tsv"
    good, bad = ["lovely", "great", "superb", "charming", "fine"], ["awful", "poor", "dull", "boring", "weak"]
    pairs = [
        (label, " ".join([word] * times))
        for times in range(1, 5)
        for label, words in (("pos", good), ("neg", bad))
        for word in words
    ]
    data.write_text(HEADER + "".join(f"{label}\t{word}\n" for label, word in pairs), encoding="utf-8")
    assert (
        wenmo(
            "train",
            data,
            *tiny,
            "-o",
            "model.kernel_sizes=[5]",
            "-o",
            "training.max_epochs=60",
            "--out",
            tmp_path / "out",
        ).code
        == 0
    )
    texts = tmp_path / "texts.txt"
    texts.write_text("lovely\nawful\n", encoding="utf-8")
    answer = wenmo("predict", tmp_path / "out", texts, "--json")
    assert [json.loads(line)["label"] for line in answer.stdout.splitlines()] == ["pos", "neg"]


def test_vectors_of_another_width_name_the_file_and_both_widths(wenmo, tiny, train_file, tmp_path):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("lovely 1 2 3 4 5\nawful 5 4 3 2 1\n", encoding="utf-8")
    answer = wenmo("train", train_file, "--vectors", vectors, *tiny, "--out", tmp_path / "out")
    assert (answer.code, answer.stdout) == (2, "")
    assert "vectors.txt: its vectors have 5 numbers, but model.embedding_size is 8" in answer.stderr


def test_a_vector_that_breaks_off_names_its_line(wenmo, tiny, train_file, tmp_path):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("2 5\nlovely 1 2 3 4 5\nawful 5 4 3\n", encoding="utf-8")
    answer = wenmo("train", train_file, "--vectors", vectors, *tiny, "--out", tmp_path / "out")
    assert answer.code == 2
    assert "vectors.txt:3: 3 values" in answer.stderr


MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "recipe.toml"]


@pytest.mark.parametrize("name", MODEL_FILES)
@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_a_damaged_model_folder_names_the_file(wenmo, trained, tmp_path, name, damage):
    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    whole = (folder / name).read_bytes()
    if damage == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
    answer = wenmo("predict", folder, trained.parent / "test.tsv")
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr.count("\n") == 1
    assert name in answer.stderr


def test_a_folder_that_is_no_model_is_a_wrong_call(wenmo, tmp_path):
    answer = wenmo("predict", tmp_path, tmp_path / "texts.txt")
    assert answer.code == 2
    assert "config.json" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "training.learning_rat=1"], "learning_rat"),
        (["-o", "training.learning_rate=fast"], "training.learning_rate"),
        (["-o", "training.learning_rate"], "path.to.field=value"),
        (["-o", "model.kernel_sizes=[]"], "kernel_sizes"),
        (["-o", "model.kernle_sizes=[3]"], "kernel_sizes"),
        (["-o", "training.batch_size=4", "-o", "training.batch_tokens=100", "--model", "textcnn"], None),
        (["--model", "textcn"], "textcnn"),
        (["--precision", "float8"], "training.precision"),
        (["--device", "quantum"], "quantum"),
        (["--text-column", "txt"], "did you mean 'text'"),
        (["--recipe", "nowhere.toml"], "nowhere.toml"),
        (["--from", "nowhere"], "nowhere"),
        (["--vectors", "nowhere.vec"], "nowhere.vec"),
    ],
)
def test_a_setting_that_cannot_work_is_named(wenmo, tiny, train_file, tmp_path, arguments, said):
    answer = wenmo("train", train_file, *tiny, *arguments, "--out", tmp_path / "out")
    if said is None:  # the later of two settings that exclude each other wins
        assert answer.code == 0, answer.stderr
        return
    assert (answer.code, answer.stdout) == (2, "")
    assert said in answer.stderr.splitlines()[-1]
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "out").exists()
