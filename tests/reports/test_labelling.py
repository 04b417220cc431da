from itertools import combinations

from wenmo.reports.labelling import Box, place_labels, shortened, text_width

PLOT = Box(0, 0, 600, 400)


def test_a_lonely_label_stands_right_of_its_point() -> None:
    [box] = place_labels([(100.0, 100.0, 10.0)], ["textcnn"], PLOT, [])
    assert box.left == 113
    assert (box.top + box.bottom) / 2 == 100


def test_a_label_at_the_right_edge_turns_to_the_left() -> None:
    [box] = place_labels([(590.0, 100.0, 5.0)], ["textcnn"], PLOT, [])
    assert box.right < 590
    assert box.outside(PLOT) == 0


def test_labels_of_a_crowd_do_not_cover_each_other() -> None:
    points = [(200.0 + 14 * i, 150.0 + 9 * (i % 3), 6.0) for i in range(8)]
    boxes = place_labels(points, [f"model-{i}" for i in range(8)], PLOT, [])
    assert all(a.overlap(b) == 0 for a, b in combinations(boxes, 2))


def test_a_label_moves_away_from_a_line() -> None:
    line = Box(118, 0, 122, 400)
    [free] = place_labels([(100.0, 100.0, 10.0)], ["textcnn"], PLOT, [])
    [moved] = place_labels([(100.0, 100.0, 10.0)], ["textcnn"], PLOT, [line])
    assert free.overlap(line) > 0
    assert moved.overlap(line) == 0


def test_overlap_and_what_sticks_out_worked_by_hand() -> None:
    assert Box(0, 0, 4, 4).overlap(Box(3, 1, 9, 3)) == 2  # 1 wide, 2 high
    assert Box(0, 0, 4, 4).overlap(Box(4, 0, 9, 4)) == 0
    assert Box(-1, 2, 12, 5).outside(Box(0, 0, 10, 4)) == 4  # 1 left, 2 right, 1 below


def test_han_characters_are_wider_than_letters() -> None:
    assert text_width("模型") > text_width("cn")


def test_a_long_name_loses_its_end() -> None:
    assert shortened("abcdef", 4) == "abc\u2026"
    assert shortened("abcd", 4) == "abcd"
