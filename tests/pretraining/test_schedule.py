"""The table of ERNIE 2.0's comparison, its other two arms, and which update is for what, counted."""

from collections import Counter

import numpy as np
import pytest

from wenmo.errors import InputError
from wenmo.pretraining.schedule import OF_SEQUENCES, Schedule, interleaved, shares_of, spread

FOUR = ("knowledge_masking", "capitalization", "token_document_relation", "sentence_reordering")
FIFTY = dict.fromkeys(FOUR, 50_000)


def counted(schedule: Schedule) -> dict[str, list[int]]:
    """What `Schedule.names` says, counted back into a table."""
    table = {name: [0] * schedule.num_stages for name in schedule.table}
    for update in range(schedule.total):
        for name in schedule.names(update):
            table[name][schedule.stage(update)] += 1
    return table


def test_the_rule_gives_the_table_of_the_paper():
    schedule = Schedule.of_rule("continual_multitask", FIFTY)
    assert schedule.table == {
        "knowledge_masking": (20_000, 10_000, 10_000, 10_000),
        "capitalization": (0, 30_000, 10_000, 10_000),
        "token_document_relation": (0, 0, 40_000, 10_000),
        "sentence_reordering": (0, 0, 0, 50_000),
    }
    assert schedule.lengths == (20_000, 30_000, 40_000, 50_000)


def test_the_other_two_arms_of_the_comparison():
    assert Schedule.of_rule("multitask", FIFTY).table == {name: (50_000,) for name in FOUR}
    continual = Schedule.of_rule("continual", FIFTY).table
    assert [continual[name] for name in FOUR] == [
        (50_000, 0, 0, 0), (0, 50_000, 0, 0), (0, 0, 50_000, 0), (0, 0, 0, 50_000),
    ]  # fmt: skip


def test_every_objective_has_its_updates_whatever_divides():
    updates = {"masked_lm": 101, "capitalization": 37, "next_sentence": 64, "sentence_distance": 59}
    for rule in ("continual_multitask", "multitask", "continual"):
        for one_at_a_time in (False, True):
            schedule = Schedule.of_rule(rule, updates, one_at_a_time)
            assert {name: sum(row) for name, row in schedule.table.items()} == updates
            assert counted(schedule) == {name: list(row) for name, row in schedule.table.items()}
            if one_at_a_time:
                assert schedule.total == sum(updates.values())


def test_an_update_is_for_something_and_for_one_sequence_objective_at_most():
    updates = {"knowledge_masking": 50, "capitalization": 70, "sentence_distance": 33, "sentence_reordering": 21,
               "dialogue_lm": 17}  # fmt: skip
    schedule = Schedule.of_rule("multitask", updates)
    assert schedule.total == 70 + 17
    for update in range(schedule.total):
        names = schedule.names(update)
        assert names and len(OF_SEQUENCES & set(names)) <= 1
        assert names == ("dialogue_lm",) or "dialogue_lm" not in names
    assert counted(schedule) == {name: [number] for name, number in updates.items()}


def test_updates_are_spread_evenly():
    schedule = Schedule(
        {
            "knowledge_masking": (1000,), "capitalization": (300,), "sentence_distance": (200,),
            "sentence_reordering": (100,),
        }
    )  # fmt: skip
    for name, row in schedule.table.items():
        places = [update for update in range(1000) if name in schedule.names(update)]
        # In any hundred updates there are as many as their share, but for those at the edges.
        for start in range(0, 1000, 100):
            inside = sum(start <= place < start + 100 for place in places)
            assert abs(inside - row[0] / 10) <= 2
    assert np.diff(spread(7, 100)).min() >= 14 and spread(5, 5).tolist() == [0, 1, 2, 3, 4]
    assert Counter(interleaved([3, 0, 6]).tolist()) == {0: 3, 2: 6}
    assert interleaved([2, 4]).tolist() in ([1, 0, 1, 1, 0, 1], [1, 1, 0, 1, 1, 0])


@pytest.mark.parametrize("total", [4, 17, 100, 1234, 140_000])
@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_a_table_scales_to_any_number_of_updates(total, one_at_a_time):
    updates = FIFTY | {"sentence_distance": 30_000, "dialogue_lm": 9_000}
    schedule = Schedule.of_rule("continual_multitask", updates, one_at_a_time)
    if total < schedule.num_stages:
        with pytest.raises(InputError, match="fewer than the 6 stages"):
            schedule.scaled(total)
        return
    scaled = schedule.scaled(total)
    assert scaled.total == total
    factor = total / schedule.total
    for name, row in schedule.table.items():
        for mine, theirs in zip(scaled.table[name], row, strict=True):
            assert abs(mine - theirs * factor) <= 2


def test_a_recipe_holds_a_table_or_a_rule_and_is_saved_resolved():
    rule = Schedule.from_dict({"rule": "continual_multitask", "updates": FIFTY})
    assert rule.to_dict()["knowledge_masking"] == [20_000, 10_000, 10_000, 10_000]
    assert Schedule.from_dict(rule.to_dict()) == rule
    one = Schedule.from_dict({"masked_lm": 100, "next_sentence": [100], "one_at_a_time": True})
    assert one.total == 200 and Schedule.from_dict(one.to_dict()) == one


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "each objective needs its updates"),
        ({"masked_lm": [1, 2], "capitalization": [1]}, "in every stage"),
        ({"masked_ml": [5]}, "there is no objective 'masked_ml'"),
        ({"masked_lm": [5, 0]}, "stage 2 has no updates"),
        ({"masked_lm": [-5]}, "updates are 0 or more"),
        ({"masked_lm": [5], "knowledge_masking": [5]}, "mask the same text twice"),
        ({"rule": "all", "updates": {"masked_lm": 9}}, "must be one of continual_multitask, multitask, continual"),
        ({"rule": "multitask", "masked_lm": [9]}, "a rule goes with updates"),
        ({"rule": "multitask", "updates": {"masked_lm": 1}}, "need more than 1 updates each"),
    ],
)
def test_what_is_no_schedule_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        Schedule.from_dict(values)


def test_there_is_nothing_behind_the_last_update():
    schedule = Schedule({"masked_lm": (3, 2)})
    assert [schedule.stage(update) for update in range(5)] == [0, 0, 0, 1, 1]
    with pytest.raises(IndexError):
        schedule.names(5)


def test_shares_are_whole_and_add_up():
    assert shares_of(10, [1, 1, 1]).tolist() == [4, 3, 3]
    assert shares_of(7, [0, 5]).tolist() == [0, 7] and shares_of(7, [0, 0]).tolist() == [0, 0]
