"""Windows of shards: every sequence once a pass, the same on any number of processes, as the schedule says."""

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import IGNORED_LABEL
from wenmo.pretraining.catalogue import CorpusFacts, ObjectivesConfig, work_for
from wenmo.pretraining.objectives import MaskedLm
from wenmo.pretraining.schedule import Schedule
from wenmo.pretraining.sequences import Frame
from wenmo.pretraining.shards import Shard
from wenmo.pretraining.source import (
    CorpusSource,
    Lengths,
    Planned,
    PretrainingTask,
    Reading,
    example_of,
    held_out_batches,
    streams,
)

FRAME = Frame(before=(1,), between=(2,), behind=(2,), num_types=2)
FACTS = CorpusFacts(mask_id=3, random_ids=np.arange(10, 100, dtype=np.int32))


def make_shards(number: int, documents: int = 6, sentences: int = 4) -> list[Shard]:
    """Each token tells its shard by its hundreds."""
    shards = []
    for shard in range(number):
        rng = np.random.default_rng(shard)
        total = documents * sentences
        ids = [100 * (shard + 1) + rng.integers(10, 100, rng.integers(5, 9)) for _ in range(total)]
        shards.append(Shard(TokenStore.from_rows(input_ids=ids, document=[[i // sentences] for i in range(total)])))
    return shards


def make_source(
    table: dict[str, tuple[int, ...]],
    shards: Sequence[Shard],
    settings: ObjectivesConfig = ObjectivesConfig(),  # noqa: B008 - frozen
    **reading: object,
) -> CorpusSource:
    schedule = Schedule(table)
    together = {(schedule.stage(update), schedule.names(update)) for update in range(schedule.total)}
    tasks = {
        (stage, names): PretrainingTask("+".join(names), *work_for(names, settings, FACTS, stage), shards)
        for stage, names in together
    }
    return CorpusSource(tasks, schedule, make_reading(**reading))


def make_reading(**reading: object) -> Reading:
    values: dict[str, object] = {"batch_size": 4, "batch_tokens": None, "bucket": 2, "seed": 7, "window": 2}
    lengths = Lengths(length=16, long_length=32, long_share=0.0)
    return Reading(**{"frame": FRAME, "lengths": lengths, **values, **reading})  # type: ignore[arg-type]


def rows_of(batches: Sequence[tuple[Planned, bool]]) -> list[tuple[int, int, int]]:
    return [(each.draws.shard, each.draws.number, int(row)) for each, counts in batches if counts for row in each.rows]


def test_a_pass_is_every_sequence_once_and_the_next_one_is_in_another_order() -> None:
    shards = make_shards(5)
    source = make_source({"masked_lm": (10_000,)}, shards)
    passes = []
    for number in (0, 1):
        epochs = [rows_of(source.batches(3 * number + window, 0, 0, 1)) for window in range(3)]  # 2 + 2 + 1 shards
        assert [len({shard for shard, _, _ in epoch}) for epoch in epochs] == [2, 2, 1]
        passes.append([row for epoch in epochs for row in epoch])
        assert {pass_number for _, pass_number, _ in passes[-1]} == {number}
    seen = [Counter((shard, row) for shard, _, row in each) for each in passes]
    cuts = {shard: len(source.batches(0, 0, 0, 1)) for shard in range(5)}
    assert seen[0] == seen[1] and set(seen[0].values()) == {1} and len({shard for shard, _ in seen[0]}) == len(cuts)
    assert [row[0] for row in passes[0]] != [row[0] for row in passes[1]]


def test_processes_share_every_batch_and_one_without_a_row_repeats_it_uncounted() -> None:
    source = make_source({"masked_lm": (100,)}, make_shards(3))
    alone = source.batches(0, 0, 0, 1)
    shared = [source.batches(0, 0, rank, 5) for rank in range(5)]
    assert {len(each) for each in shared} == {len(alone)}
    for i, (whole, _) in enumerate(alone):
        parts = [each[i] for each in shared]
        assert sorted(row for part, counts in parts if counts for row in part.rows) == sorted(whole.rows)
        assert not parts[4][1] and parts[4][0].rows.tolist() == whole.rows.tolist()
    first, half = alone[0][0], shared[0][0][0]
    whole_example, part = (example_of(each, make_reading()) for each in (first, half))
    place = first.rows.tolist().index(half.rows[0])
    length = part.labels["masked_lm"].size(1)
    assert part.labels["masked_lm"][0].tolist() == whole_example.labels["masked_lm"][place, :length].tolist()


def test_an_epoch_is_a_function_of_its_number_and_its_first_update() -> None:
    table = {"masked_lm": (30, 20), "sentence_reordering": (0, 30)}
    sources = [make_source(table, make_shards(4)) for _ in range(2)]
    sources[0].batches(0, 0, 0, 1)  # which one of them has seen before
    for epoch, step in ((3, 25), (1, 40), (3, 25)):
        assert len({str(rows_of(source.batches(epoch, step, 0, 1))) for source in sources}) == 1


def test_updates_are_of_the_tasks_that_the_schedule_names() -> None:
    table = {"masked_lm": (4, 3), "sentence_distance": (0, 6)}
    source, schedule = make_source(table, make_shards(4), accumulation_steps=2), Schedule(table)
    step, epoch = 0, 0
    while step < schedule.total:
        batches = source.batches(epoch, step, 0, 1)
        for i in range(0, len(batches), 2):
            names = {each.task.name for each, _ in batches[i : i + 2]}
            assert names == {"+".join(schedule.names(step))}, step
            step += 1
        epoch += 1
    assert step == schedule.total == 4 + 6


def test_a_stage_masks_the_units_that_it_is_for() -> None:
    settings = ObjectivesConfig(knowledge_units=("token", "phrase", "entity"))
    source = make_source({"knowledge_masking": (5, 7, 6)}, make_shards(4), settings)
    units: list[str] = []
    for epoch in range(20):
        for each, _ in source.batches(epoch, len(units), 0, 1):
            (objective,) = each.task.objectives
            assert isinstance(objective, MaskedLm)
            units.append(objective.masking.unit)
    assert units == ["token"] * 5 + ["phrase"] * 7 + ["entity"] * 6


def test_long_sequences_come_last_and_begin_an_epoch_of_their_own() -> None:
    lengths = Lengths(length=16, long_length=32, long_share=0.25)
    assert [lengths.at(update, 8) for update in range(8)] == [16] * 6 + [32] * 2
    source = make_source({"masked_lm": (8,)}, make_shards(3), lengths=lengths, window=3)
    first = source.batches(0, 0, 0, 1)
    assert len(first) == 6 and max(each.cut.lengths.max() for each, _ in first) <= 16
    assert 16 < max(each.cut.lengths.max() for each, _ in source.batches(1, 6, 0, 1)) <= 32


def test_a_task_with_little_text_reads_it_again_while_another_goes_through_its_window() -> None:
    shards = make_shards(4)
    bare = {name: shards[0].store[name] for name in ("input_ids", "document")}
    rare = [Shard(TokenStore({name: column for name, column in bare.items()}))]
    schedule = Schedule({"masked_lm": (60,), "sentence_reordering": (30,)}, one_at_a_time=True)
    tasks = {
        (0, ("masked_lm",)): PretrainingTask("masked_lm", *work_for(["masked_lm"], ObjectivesConfig(), FACTS), shards),
        (0, ("sentence_reordering",)): PretrainingTask(
            "sentence_reordering", *work_for(["sentence_reordering"], ObjectivesConfig(), FACTS), rare
        ),
    }
    source = CorpusSource(tasks, schedule, make_reading(window=4))
    batches = [each for each, _ in source.batches(0, 0, 0, 1)]
    common = [(p.draws.shard, int(row)) for p in batches if p.task.name == "masked_lm" for row in p.rows]
    assert (
        len(common)
        == len(set(common))
        == sum(len(p.cut) for p in {p.cut: p for p in batches if p.task.name == "masked_lm"}.values())
    )
    assert len({p.draws.number for p in batches if p.task.name == "sentence_reordering"}) > 1


def test_streams_go_on_row_by_row_and_miss_nothing() -> None:
    batches = streams(11, 3)
    assert [batch.tolist() for batch in batches] == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7]]
    assert streams(2, 5)[0].tolist() == [0, 1] and streams(0, 3) == []


def test_rows_that_go_on_are_read_in_the_order_of_the_text() -> None:
    facts = CorpusFacts(vocab_size=300, begin_id=0, end_id=1)
    work = work_for(["bidirectional_lm"], ObjectivesConfig(streams=5), facts)
    task = PretrainingTask("bidirectional_lm", *work, make_shards(3))
    schedule = Schedule({"bidirectional_lm": (1000,)})
    source = CorpusSource({(0, ("bidirectional_lm",)): task}, schedule, make_reading(frame=Frame(), window=3))
    batches = [each for each, _ in source.batches(0, 0, 0, 1)]
    assert sum(each.begins for each in batches) == 3
    for before, behind in itertools.pairwise(batches):
        if behind.begins:
            assert before.draws.shard != behind.draws.shard
        else:
            assert (behind.rows == before.rows[: len(behind.rows)] + 1).all()
    assert sorted((each.draws.shard, row) for each in batches for row in each.rows.tolist()) == [
        (shard, row) for shard in range(3) for row in range(24)
    ]
    assert example_of(batches[0], make_reading(frame=Frame())).begins


def test_what_no_shard_allows_is_said_with_the_reason() -> None:
    single = make_shards(2, documents=3, sentences=1)
    with pytest.raises(InputError, match=r"next_sentence: .*one sentence"):
        make_source({"next_sentence": (5,)}, single).batches(0, 0, 0, 1)


def test_held_out_sequences_are_always_the_same_with_the_same_masks() -> None:
    (shard,) = make_shards(1, documents=20)
    reading = make_reading()
    task = PretrainingTask("masked_lm", *work_for(["masked_lm"], ObjectivesConfig(), FACTS), [shard])
    looks = [held_out_batches(task, shard, reading, 10) for _ in range(2)]
    assert sum(len(each.rows) for each in looks[0]) == 10
    for one, other in zip(*looks, strict=True):
        labels = [example_of(each, reading).labels["masked_lm"] for each in (one, other)]
        assert labels[0].equal(labels[1]) and (labels[0] != IGNORED_LABEL).any()
