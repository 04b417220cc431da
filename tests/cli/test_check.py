"""``wenmo check`` from the command line."""

import json


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows), encoding="utf-8")
    return path


def rows(label, num, prefix):
    return [(label, f"{prefix} number {i}") for i in range(num)]


GOOD = [*rows("好", 20, "干净的房间"), *rows("差", 20, "太吵的房间")]


def test_findings_are_no_failure(wenmo, tmp_path):
    train = write(tmp_path / "train.tsv", [*GOOD, GOOD[0], ("差", GOOD[0][1])])
    answer = wenmo("check", train)
    assert (answer.code, answer.stderr) == (0, "")
    assert "different labels on the same text" in " ".join(answer.stdout.split())
    assert "train.tsv:2: 干净的房间 number 0" in answer.stdout
    assert "warning" in answer.stdout.splitlines()[-1]


def test_clean_data_is_said_to_be_clean(wenmo, tmp_path):
    answer = wenmo("check", write(tmp_path / "data.tsv", GOOD))
    assert "Nothing odd was found." in answer.stdout


def test_sizes_labels_and_lengths_in_tokens_are_shown(wenmo, tmp_path):
    answer = wenmo("check", write(tmp_path / "train.tsv", GOOD), write(tmp_path / "dev.tsv", GOOD[:3]))
    assert answer.code == 0
    sizes = [line.split() for line in answer.stdout.splitlines() if line.startswith(("train ", "dev "))]
    # 5 Chinese characters, "number" and the number
    assert sizes[0] == ["train", "40", "0", "2", "7", "7", "7", "14", "15", "15"]
    assert sizes[1][:4] == ["dev", "3", "0", "1"]
    shares = next(line.split() for line in answer.stdout.splitlines() if line.startswith("好 "))
    assert shares == ["好", "20", "50.0", "%", "3", "100.0", "%"]


def test_test_texts_in_train_are_found_with_their_lines(wenmo, tmp_path):
    train = write(tmp_path / "train.tsv", GOOD)
    test = write(tmp_path / "held_out.tsv", [*rows("好", 5, "别的"), GOOD[3]])
    answer = wenmo("check", "--train", train, "--test", test, "--json")
    report = json.loads(answer.stdout)
    assert answer.stdout.count("\n") == 1
    (overlap,) = [finding for finding in report["findings"] if finding["kind"] == "overlap"]
    assert overlap["count"] == 1
    assert overlap["examples"] == [f"{test}:7: {GOOD[3][1]}"]
    assert list(report["parts"]) == ["train", "test"]


def test_a_folder_of_parts_is_all_of_them(wenmo, tmp_path):
    for name in ("train", "dev", "test"):
        write(tmp_path / "data" / f"{name}.tsv", GOOD)
    report = json.loads(wenmo("check", tmp_path / "data", "--json").stdout)
    assert list(report["parts"]) == ["train", "dev", "test"]


def test_no_data_and_unreadable_data_are_wrong_calls(wenmo, tmp_path):
    nothing = wenmo("check")
    assert (nothing.code, nothing.stdout) == (2, "")
    assert "wenmo check train.tsv test.tsv" in nothing.stderr
    (tmp_path / "empty.tsv").touch()
    empty = wenmo("check", tmp_path / "empty.tsv")
    assert (empty.code, empty.stdout) == (2, "")


def test_a_label_that_would_command_the_terminal_is_shown_escaped(wenmo, tmp_path):
    answer = wenmo("check", write(tmp_path / "train.tsv", [*rows("\x1b[31mred", 20, "a"), *rows("[b]", 20, "b")]))
    assert "\x1b" not in answer.stdout
    assert r"\x1b[31mred" in answer.stdout
    assert "[b]" in answer.stdout


def test_the_published_overlap_of_chnsenticorp_is_found(wenmo, data_folder):
    report = json.loads(wenmo("check", data_folder / "chnsenticorp", "--json").stdout)
    overlaps = {
        f["message"].partition(":")[0]: f["count"]
        for f in report["findings"]
        if f["kind"] == "overlap" and "in train" in f["message"]
    }
    assert overlaps == {"dev": 335, "test": 330}
