"""The subject table as a picture and as a page: who says what to whom."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import product

from callbot.schemas.memory import BUCKETS, STREAMS
from callbot.schemas.message import Wire
from callbot.schemas.subjects import SERVICES, SUBJECTS, Question, Subject

BEGIN, END = "<!-- flow:begin -->", "<!-- flow:end -->"


def diagram() -> str:
    """A mermaid flowchart: one arrow for each pair of services, its subjects grouped by their first word."""
    lines = ["flowchart LR"]
    lines += [f'    {service}["{service}"]' for service in SERVICES]
    lines += [f'    stream-{s.name}[("stream {s.name}")]' for s in STREAMS]
    lines += [f'    bucket-{b.name}[("bucket {b.name}")]' for b in BUCKETS]
    lines += [f'    {speaker} -- "{said}" --> {listener}' for speaker, listener, said in _conversations()]
    lines += [f"    {who} {arrow} {whom}" for who, arrow, whom in _memories()]
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def _conversations() -> Iterator[tuple[str, str, str]]:
    remembered = {stream.subject.name for stream in STREAMS}
    pairs: dict[tuple[str, str], list[Subject[Wire]]] = defaultdict(list)
    for row in SUBJECTS:
        if row.name not in remembered:
            for pair in product(sorted(row.speakers), sorted(row.listeners)):
                pairs[pair].append(row)
    for (speaker, listener), rows in pairs.items():
        yield speaker, listener, "<br/>".join(_grouped(rows))


def _grouped(rows: list[Subject[Wire]]) -> Iterator[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        first, *rest = (part for part in row.template.split(".") if not part.startswith("{"))
        groups[first].append(".".join(rest) + ("?" if isinstance(row, Question) else ""))
    for first, names in groups.items():
        yield f"{first}: {', '.join(names)}"


def _memories() -> Iterator[tuple[str, str, str]]:
    for stream in STREAMS:
        for speaker in sorted(stream.subject.speakers):
            yield speaker, "-.->", f"stream-{stream.name}"
        for consumer, puller in sorted(stream.consumers.items()):
            yield f"stream-{stream.name}", f'-. "{consumer}" .->', puller
    for bucket in BUCKETS:
        for writer in sorted(bucket.writers):
            yield writer, "<-.->" if writer in bucket.readers else "-.->", f"bucket-{bucket.name}"
        for reader in sorted(bucket.readers - bucket.writers):
            yield f"bucket-{bucket.name}", "-.->", reader


def with_diagram(text: str) -> str:
    """The text with the diagram between its markers, or as it was when it has none."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{diagram()}{END}{tail}" if begin and end else text


def flow_page() -> str:
    """docs/flow.md: the diagram and every row."""
    rows = "\n".join(_row(row) for row in SUBJECTS)
    streams = "\n".join(
        f"| `{s.name}` | `{s.subject.template}` | {s.creator} | {_list(s.subject.speakers)} | "
        f"{_list(f'{who} (`{name}`)' for name, who in s.consumers.items())} |"
        for s in STREAMS
    )
    buckets = "\n".join(
        f"| `{b.name}` | {b.creator} | {_list(b.writers)} | {_list(b.readers)} | {b.ttl_s // 3600} h |"
        for b in BUCKETS
    )
    return f"""# Who says what to whom

Generated from `schemas/src/callbot/schemas/subjects.py` by `python -m callbot.schemas.asyncapi`.
A question mark: the message is answered. Dotted: it is remembered. The messages themselves are described in
[asyncapi/](asyncapi/), one document for each service.

{diagram()}
## Subjects

| subject | message | answer | who speaks | who listens |
|---|---|---|---|---|
{rows}

## Streams

| stream | subject | made by | published by | pulled by (consumer) |
|---|---|---|---|---|
{streams}

## Buckets

| bucket | made by | written by | read by | kept for |
|---|---|---|---|---|
{buckets}
"""


def _row(row: Subject[Wire]) -> str:
    answer = f"`{row.answer.__name__}`" if isinstance(row, Question) else ""
    return (
        f"| `{row.template}` | `{row.message.__name__}` | {answer} | "
        f"{_list(row.speakers)} | {_list(row.listeners)} |"
    )


def _list(names: Iterator[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names))
