"""A trace as a picture: one bar a span over a time axis, as plain SVG. Pure."""

from collections.abc import Sequence
from html import escape

from callbot.studio.trace.collector import Span

WIDTH, LEFT, RIGHT, TOP, ROW, FOOT = 1080, 300, 90, 74, 26, 34
COLOURS = {
    "gateway": "#3b6ea8",
    "stt-worker": "#2f8f6b",
    "dialog-worker": "#b7791f",
    "tts-worker": "#8a4fa3",
    "call-router": "#b0413e",
}
OTHER = "#666666"
STEPS_MS = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
MOST_STEPS = 12


def waterfall(spans: Sequence[Span], title: str) -> str:
    """The spans of one trace, parents above their children. Raises ValueError where there are none."""
    if not spans:
        raise ValueError("a trace without spans")
    began_ns = min(span.start_ns for span in spans)
    whole_ms = max(1.0, max(span.end_ns - began_ns for span in spans) / 1e6)
    rows = _in_order(spans)
    height = TOP + ROW * len(rows) + FOOT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="15" font-weight="600" fill="#222222">{escape(title)}</text>',
        *_legend(spans),
        *_axis(whole_ms, height),
    ]
    for number, (span, depth) in enumerate(rows):
        lines += _row(span, depth, TOP + number * ROW, began_ns, whole_ms)
    return "\n".join([*lines, "</svg>", ""])


def _in_order(spans: Sequence[Span]) -> list[tuple[Span, int]]:
    """Depth first, each generation by its beginning; a span whose parent is not here stands for itself."""
    known = {span.span_id for span in spans}
    rows: list[tuple[Span, int]] = []

    def add(parent_id: str, depth: int) -> None:
        children = [s for s in spans if (s.parent_id if s.parent_id in known else "") == parent_id]
        for span in sorted(children, key=lambda s: (s.start_ns, -s.end_ns)):
            rows.append((span, depth))
            add(span.span_id, depth + 1)

    add("", 0)
    return rows


def _x(ms: float, whole_ms: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * ms / whole_ms, 1)


def _legend(spans: Sequence[Span]) -> list[str]:
    lines, x = [], 16
    told = {span.service for span in spans}
    for service in [*(known for known in COLOURS if known in told), *sorted(told - COLOURS.keys())]:
        colour = COLOURS.get(service, OTHER)
        lines.append(f'<rect x="{x}" y="38" width="12" height="12" rx="2" fill="{colour}"/>')
        lines.append(f'<text x="{x + 18}" y="49" fill="#444444">{escape(service)}</text>')
        x += 34 + 8 * len(service)
    return lines


def _axis(whole_ms: float, height: int) -> list[str]:
    step_ms = next((step for step in STEPS_MS if whole_ms / step <= MOST_STEPS), STEPS_MS[-1])
    lines, y = [], height - 12
    for ms in range(0, int(whole_ms) + 1, step_ms):
        x = _x(ms, whole_ms)
        lines.append(f'<line x1="{x}" y1="{TOP - 8}" x2="{x}" y2="{height - FOOT + 4}" stroke="#e3e3e3"/>')
        lines.append(
            f'<text x="{x}" y="{y}" text-anchor="middle" font-size="11" fill="#666666">{ms} ms</text>'
        )
    return lines


def _row(span: Span, depth: int, y: int, began_ns: int, whole_ms: float) -> list[str]:
    start_ms = (span.start_ns - began_ns) / 1e6
    x, end_x = _x(start_ms, whole_ms), _x(start_ms + span.ms, whole_ms)
    width = max(2.0, round(end_x - x, 1))
    colour = COLOURS.get(span.service, OTHER)
    told = f"{span.service}: {span.name}, begins at {start_ms:.0f} ms, {span.ms:.1f} ms"
    return [
        f'<text x="{16 + 16 * depth}" y="{y + 16}" fill="#222222">{escape(span.name)}</text>',
        f'<rect x="{x}" y="{y + 4}" width="{width}" height="{ROW - 9}" rx="2" fill="{colour}">'
        f"<title>{escape(told)}</title></rect>",
        f'<text x="{x + width + 6:.1f}" y="{y + 16}" font-size="11" fill="#444444">{_ms(span.ms)}</text>',
    ]


def _ms(ms: float) -> str:
    return f"{ms:.1f} ms" if ms < 10 else f"{ms:.0f} ms"
