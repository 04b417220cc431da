"""BLEU and chrF as the papers quote them, by sacreBLEU, whose signatures say exactly what was computed.

BLEU: Papineni et al., ACL 2002; chrF: Popović, WMT 2015; sacreBLEU: Post, WMT 2018, https://arxiv.org/abs/1804.08771.
Texts are compared as they are read, with capitals and spaces in their places (detokenised); sacreBLEU cuts them into
words by rules of its own, ``13a``, and Chinese by characters, ``zh``. Figures are sacreBLEU's own, from 0 to 100. The
package is imported when something is measured.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from wenmo.tasks.metrics import Interval
from wenmo.text.segmentation import choose_segmenter

RESAMPLES = 1000


def bleu(references: Sequence[str], said: Sequence[str]) -> float:
    """BLEU of whole texts."""
    return _value("bleu", references, said)


def chrf(references: Sequence[str], said: Sequence[str]) -> float:
    """chrF, over character n-grams up to 6."""
    return _value("chrf", references, said)


def translation_metrics(references: Sequence[str], said: Sequence[str]) -> dict[str, Interval]:
    """``bleu``, ``bleu_lowercase`` and ``chrf``, each with its 95 % interval by resampling the texts."""
    return {name: _with_interval(metric, references, said) for name, metric in _metrics(references).items()}


def signatures(references: Sequence[str]) -> dict[str, str]:
    """What sacreBLEU computes under each name, in its own words."""
    found = {}
    for name, metric in _metrics(references).items():
        metric.corpus_score(["a"], [["a"]])  # how many references there are is known behind the first score
        found[name] = str(metric.get_signature())
    return found


def differs_by_chance(name: str, references: Sequence[str], said: Sequence[str], others: Sequence[str]) -> float:
    """The p-value of a metric's difference between two models, by approximate randomisation."""
    if list(said) == list(others):  # sacreBLEU counts differences above 0 alone, of which there would be none
        return 1.0
    figures = _tested(_metrics(references)[name], references, {"model": said, "other": others}, "ar")
    return float(figures[1].p_value)


def _with_interval(metric: Any, references: Sequence[str], said: Sequence[str]) -> Interval:
    figure = _tested(metric, references, {"model": said}, "bs")[0]
    low, high = max(0.0, figure.mean - figure.ci), min(100.0, figure.mean + figure.ci)
    return {"value": float(figure.score), "low": float(low), "high": float(high)}


def _tested(metric: Any, references: Sequence[str], said: Mapping[str, Sequence[str]], how: str) -> list[Any]:
    """sacreBLEU's figures of what each system said: by resampling (``bs``) or by approximate randomisation (``ar``)."""
    from sacrebleu.significance import PairedTest

    systems: list[tuple[str, Sequence[str]]] = [(name, list(texts)) for name, texts in said.items()]
    # One metric at a time: the package tells them apart by names of its own, and both kinds of BLEU have the same.
    test = PairedTest(systems, {"metric": metric}, [list(references)], how, n_samples=RESAMPLES)
    return next(figures for name, figures in test()[1].items() if name != "System")


def _value(name: str, references: Sequence[str], said: Sequence[str]) -> float:
    score: float = _metrics(references)[name].corpus_score(list(said), [list(references)]).score
    return score


def _metrics(references: Sequence[str]) -> Mapping[str, Any]:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    words = "zh" if choose_segmenter(references) == "characters" else "13a"
    return {
        "bleu": BLEU(tokenize=words),
        "bleu_lowercase": BLEU(tokenize=words, lowercase=True),
        "chrf": CHRF(),
    }
