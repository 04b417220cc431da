"""Labels in a tree: probabilities, weights and metrics."""

import numpy as np
import pytest
import torch

from wenmo.errors import InputError
from wenmo.models.bag import BagConfig
from wenmo.models.linear import LinearConfig
from wenmo.models.registry import build_model
from wenmo.tasks.calibration import fit_rescaling, fold_into
from wenmo.tasks.classification import Classification, ClassificationConfig
from wenmo.tasks.hierarchy import Hierarchy

LABELS = ("art", "sport/ball/foot", "sport/ball/hand", "sport/swim", "sport")
TREE = Hierarchy(LABELS, "/")


def test_the_tree_is_what_the_labels_spell() -> None:
    assert TREE.nodes == ("art", "sport", "sport/ball", "sport/ball/foot", "sport/ball/hand", "sport/swim")
    assert TREE.paths[1] == ("sport", "sport/ball", "sport/ball/foot")
    assert TREE.paths[4] == ("sport",)  # a label may be an inner node too
    assert TREE.depth == 3
    assert TREE.on_path[2].tolist() == [0, 1, 1, 0, 1, 0]


def test_a_node_is_as_likely_as_all_labels_below_it() -> None:
    probabilities = np.array([[0.1, 0.3, 0.2, 0.15, 0.25]], np.float32)
    ((sport, ball, foot),) = TREE.levels(probabilities, [1])
    assert [name for name, _ in (sport, ball, foot)] == list(TREE.paths[1])
    assert [p for _, p in (sport, ball, foot)] == pytest.approx([0.9, 0.5, 0.3])


@pytest.mark.parametrize("label", ["a//b", "/a", "a/", "a/ /b"])
def test_a_level_without_a_name_is_an_error(label: str) -> None:
    with pytest.raises(InputError, match="a level without a name"):
        Hierarchy((label, "b"), "/")


def classifier(separator: str) -> Classification:
    config = BagConfig(vocab_size=5, embedding_size=3, max_ngram=1)
    return Classification(
        build_model(config), config, ClassificationConfig(labels=LABELS, hierarchy_separator=separator)
    )


def test_the_weights_of_a_label_are_the_sum_over_its_path() -> None:
    task = classifier("/")
    assert task.outputs == TREE.nodes
    with torch.no_grad():
        task.classifier.weight.normal_(generator=torch.Generator().manual_seed(0))
    vectors = torch.tensor([[1.0, -2.0, 0.5]])
    scores = dict(zip(task.outputs, task.classifier(vectors)[0].tolist(), strict=True))
    wanted = [sum(scores[node] for node in path) for path in TREE.paths]
    assert task.classify(vectors)[0].tolist() == pytest.approx(wanted, abs=1e-6)


def test_siblings_learn_from_a_label_and_strangers_do_not() -> None:
    """One step on "foot" makes "hand" likelier than "swim", and "swim" likelier than "art"."""
    task = classifier("/")
    torch.nn.init.zeros_(task.classifier.weight)
    torch.nn.init.zeros_(task.classifier.bias)
    vectors = torch.ones(1, 3)
    loss = torch.nn.functional.cross_entropy(task.classify(vectors), torch.tensor([1]))
    loss.backward()
    with torch.no_grad():
        for parameter in task.classifier.parameters():
            assert parameter.grad is not None
            parameter -= 0.1 * parameter.grad
    art, foot, hand, swim, _ = task.classify(vectors)[0].tolist()
    assert foot > hand > swim > art


def test_without_a_separator_slashes_are_plain() -> None:
    task = classifier("")
    assert task.hierarchy is None and task.outputs == LABELS
    assert "hierarchical_f1" not in task.measure(np.array([0, 1]), np.eye(5, dtype=np.float32)[:2])


def test_the_tree_is_not_in_the_weights_file_and_a_linear_model_is_flat() -> None:
    assert "paths" not in classifier("/").state_dict()
    config = LinearConfig(vocab_size=5, num_outputs=5)
    flat = Classification(build_model(config), config, ClassificationConfig(labels=LABELS, hierarchy_separator="/"))
    assert flat.outputs == LABELS and flat.hierarchy is not None


def test_the_metrics_by_hand() -> None:
    gold = np.array([1, 1, 3, 0, 4])
    predicted = np.array([1, 2, 1, 3, 3])
    found = TREE.measure(gold, predicted)
    # foot/foot, foot/hand, swim/foot, art/swim, sport/swim: at the first level all but art are right. At the second,
    # ball = ball twice, swim is not ball, and "sport" stays "sport", which is not swim.
    assert found["accuracy_level_1"]["value"] == 4 / 5
    assert found["accuracy_level_2"]["value"] == 2 / 5
    assert found["accuracy_level_3"]["value"] == 1 / 5
    # Shared nodes 3 + 2 + 1 + 0 + 1 = 7, of 3 + 3 + 3 + 2 + 2 = 13 predicted and 3 + 3 + 2 + 1 + 1 = 10 right ones.
    f1 = found["hierarchical_f1"]
    assert f1["value"] == pytest.approx(2 * 7 / 23)
    assert f1["low"] <= f1["value"] <= f1["high"]


def test_several_labels_have_no_tree() -> None:
    with pytest.raises(ValueError, match="may have several"):
        ClassificationConfig(multi_label=True, hierarchy_separator="/")


@pytest.mark.parametrize("method", ["temperature", "shift", "vector"])
def test_calibration_is_folded_into_the_nodes(method: str) -> None:
    task = classifier("/").double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in task.classifier.parameters():
            parameter.normal_(generator=generator)
    vectors = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    before = task.classify(vectors)
    gold = np.array([0, 1, 2, 3, 4, 0, 1])
    rescaling = fit_rescaling(before.detach().numpy(), gold, False, method)  # type: ignore[arg-type]
    fold_into(task.classifier, rescaling, TREE)
    wanted = before * torch.tensor(rescaling.scale, dtype=torch.float64) + torch.tensor(rescaling.shift)
    torch.testing.assert_close(task.classify(vectors), wanted, rtol=0, atol=1e-6)
