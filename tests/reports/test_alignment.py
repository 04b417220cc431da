"""The picture of an alignment: a square for each two tokens, and nothing that a text could break."""

import re

import numpy as np

from wenmo.inference.translating import Alignment, Translated
from wenmo.reports.alignment import alignment_chart, write_alignments

ALIGNMENT = Alignment(
    ("<b>", "a very long token that is cut", "⏎"), ("x", "⏎"), np.array([[1, 0, 0], [0.25, 0.25, 0.5]], np.float32)
)


def test_a_square_is_as_dark_as_its_weight():
    chart = alignment_chart(ALIGNMENT)
    assert re.findall(r'fill-opacity="([\d.]+)"', chart) == ["1.000", "0.040", "0.040", "0.280", "0.280", "0.520"]
    assert "x ← &lt;b&gt;: 100.0 %" in chart
    assert "a very long tok…" in chart and "<b>" not in chart


def test_a_page_has_every_text_and_loads_nothing(tmp_path):
    write_alignments([("<script>", Translated("好", -1.0), ALIGNMENT)] * 2, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")
