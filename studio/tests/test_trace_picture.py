"""A trace as a picture: every span a bar, where and as long as it was, below its parent."""

from xml.etree import ElementTree

import pytest

from callbot.studio.trace.collector import Span
from callbot.studio.trace.waterfall import LEFT, RIGHT, WIDTH, waterfall

SVG = "{http://www.w3.org/2000/svg}"
BEGAN_NS = 1_700_000_000_000_000_000


def span(name: str, parent: str, start_ms: float, ms: float, service: str = "gateway") -> Span:
    start_ns = BEGAN_NS + int(start_ms * 1e6)
    end_ns = start_ns + int(ms * 1e6)
    return Span(service, name, "t", name, parent, start_ns, end_ns, False, False, {}, ())


SPANS = [
    span("late", "turn", 500, 500, "tts-worker"),
    span("inner", "early", 100, 50),
    span("turn", "", 0, 1000),
    span("early", "turn", 100, 100, "stt-worker"),
    span("orphan", "elsewhere", 200, 10),
]


def picture(spans: list[Span], title: str = "A turn") -> ElementTree.Element:
    return ElementTree.fromstring(waterfall(spans, title))


def bars(svg: ElementTree.Element) -> dict[str, ElementTree.Element]:
    """Those of spans, by name, in the order of their rows."""
    found = {}
    for bar in svg.iter(f"{SVG}rect"):
        if (told := bar.find(f"{SVG}title")) is not None:
            found[(told.text or "").partition(": ")[2].partition(",")[0]] = bar
    return found


def test_rows_are_parents_above_their_children_each_generation_by_its_beginning() -> None:
    assert list(bars(picture(SPANS))) == ["turn", "early", "inner", "late", "orphan"]


def test_a_bar_begins_and_ends_where_its_span_did() -> None:
    found, width = bars(picture(SPANS)), WIDTH - LEFT - RIGHT
    turn, late = found["turn"].attrib, found["late"].attrib
    assert (float(turn["x"]), float(turn["width"])) == (LEFT, width)
    assert float(late["x"]) == pytest.approx(LEFT + width / 2, abs=0.1)
    assert float(late["width"]) == pytest.approx(width / 2, abs=0.1)
    assert turn["fill"] != late["fill"], "each service has its colour"


def test_services_that_nobody_knows_and_titles_with_marks_are_drawn_too() -> None:
    svg = picture([*SPANS, span("more", "turn", 1, 1, "customer")], "“1 < 2 & 3”")
    assert "more" in bars(svg)
    assert svg.findtext(f"{SVG}title") == "“1 < 2 & 3”"


def test_a_trace_without_spans_is_none() -> None:
    with pytest.raises(ValueError, match="without spans"):
        waterfall([], "Nothing")
