"""Windows of long texts: where they stand, that their mean is the text's vector, that company changes nothing."""

import numpy as np
import pytest
import torch
from torch import Tensor

from wenmo.data.batching import token_batch
from wenmo.features import TokenBatch
from wenmo.models import windows as module
from wenmo.models.registry import build_model
from wenmo.models.textcnn import TextCnnConfig
from wenmo.models.windows import Windows, windows_of

SIZE = 4
WINDOWS = Windows(size=SIZE, overlap=0.25)
LENGTHS = [11, 2, 4, 0, 5, 23]


def texts(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(2, 20, length).astype(np.int32) for length in LENGTHS]


def reader(training: bool = False) -> tuple[torch.nn.Module, object]:
    model = build_model(TextCnnConfig(vocab_size=20, embedding_size=5, num_filters=3, kernel_sizes=(2, 3))).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)

    def read(batch: TokenBatch) -> Tensor:
        assert batch.attention_mask.size(1) <= SIZE or batch.attention_mask.size(1) == 1
        vectors: Tensor = model(batch).pooler_output
        return vectors

    return model.train(training), read


@pytest.mark.parametrize(
    ("size", "overlap", "length", "starts"),
    [
        (4, 0.25, 4, [0]),
        (4, 0.25, 0, [0]),
        (4, 0.25, 5, [0, 1]),
        (4, 0.25, 11, [0, 3, 6, 7]),  # a step is 3; the last window ends with the text
        (4, 0.25, 10, [0, 3, 6]),
        (4, 0.0, 9, [0, 4, 5]),
        (2, 0.99, 5, [0, 1, 2, 3]),  # a step is never 0
    ],
)
def test_where_windows_begin(size: int, overlap: float, length: int, starts: list[int]) -> None:
    windows = Windows(size=size, overlap=overlap)
    assert windows.starts(length) == starts
    covered = {place for start in starts for place in range(start, min(start + size, length))}
    assert covered == set(range(length)), "a token is in no window"


def test_the_vector_of_a_text_is_the_mean_of_its_windows_read_one_by_one() -> None:
    _, read = reader()
    together = WINDOWS.vectors(token_batch(texts()), read)  # type: ignore[arg-type]
    for row, text in enumerate(texts()):
        parts = [text[start : start + SIZE] for start in WINDOWS.starts(len(text))]
        alone = torch.cat([read(token_batch([part])) for part in parts]).mean(dim=0)  # type: ignore[operator]
        torch.testing.assert_close(together[row], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("at_once", [1, 9, 1 << 16])
def test_how_many_windows_are_read_at_once_changes_neither_vector_nor_gradient(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vectors_and_gradients() -> list[Tensor]:
        model, read = reader(training=True)
        vectors = WINDOWS.vectors(token_batch(texts()), read)  # type: ignore[arg-type]
        (vectors * torch.arange(vectors.size(1))).sum().backward()
        return [vectors, *(p.grad for p in model.parameters() if p.grad is not None)]

    expected = vectors_and_gradients()
    monkeypatch.setattr(module, "_PLACES_AT_ONCE", at_once)
    found = vectors_and_gradients()
    assert len(found) == len(expected) > 3
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_activations_are_kept_of_some_windows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What autograd keeps of a text ten times as long is ten times its ids and vectors, and not its activations."""
    monkeypatch.setattr(module, "_PLACES_AT_ONCE", 8)
    model, read = reader(training=True)

    def values_kept(length: int) -> int:
        kept: list[int] = []

        def pack(tensor: Tensor) -> Tensor:
            kept.append(tensor.numel())
            return tensor

        text = np.random.default_rng(0).integers(2, 20, length).astype(np.int32)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            WINDOWS.vectors(token_batch([text]), read)  # type: ignore[arg-type]
        return sum(kept)

    del model
    few = values_kept(100)
    assert values_kept(1000) < 10 * few + 1000
    monkeypatch.setattr(module, "_PLACES_AT_ONCE", 1 << 16)
    assert values_kept(1000) > 3 * few, "without the limit the activations are there"


def test_what_goes_with_the_tokens_is_cut_with_them() -> None:
    seen: list[TokenBatch] = []

    def read(batch: TokenBatch) -> Tensor:
        seen.append(batch)
        return torch.zeros(len(batch.attention_mask), 1)

    ids = torch.arange(7).unsqueeze(0)
    batch = TokenBatch(input_ids=ids, token_type_ids=ids % 2, position_ids=ids, attention_mask=torch.ones_like(ids))
    WINDOWS.vectors(batch, read)
    (cut,) = seen
    assert cut.input_ids is not None and cut.token_type_ids is not None
    assert cut.input_ids.tolist() == [[0, 1, 2, 3], [3, 4, 5, 6]]
    assert torch.equal(cut.token_type_ids, cut.input_ids % 2) and cut.position_ids is None


def test_windows_are_what_the_settings_say() -> None:
    settings = {"max_length": 100, "long_texts": "windows", "window_overlap": 0.1}
    assert windows_of(settings) == Windows(size=100, overlap=0.1)
    assert windows_of({**settings, "max_length": 0}) is None, "without a limit no text is too long"
    assert windows_of({**settings, "long_texts": "tail"}) is None
    assert windows_of({"max_length": 100}) is None


def test_special_tokens_stand_around_every_window() -> None:
    windows = Windows(size=5, overlap=0.0, before=1, behind=1)
    row = np.array([90, 1, 2, 3, 4, 5, 6, 7, 91], np.int32)
    wanted = [[90, 1, 2, 3, 91], [90, 4, 5, 6, 91], [90, 5, 6, 7, 91]]
    assert [piece.tolist() for piece in windows.pieces(row)] == wanted
    short = np.array([90, 8, 91], np.int32)
    seen: list[list[int]] = []

    def read(batch: TokenBatch) -> Tensor:
        assert batch.input_ids is not None
        for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True):
            seen.append(ids[mask.bool()].tolist())
        return batch.input_ids.sum(dim=1, keepdim=True).double()

    vectors = windows.vectors(token_batch([row, short]), read)
    assert seen == [*wanted, [90, 8, 91]]
    assert vectors[:, 0].tolist() == [(187 + 196 + 199) / 3, 189]
