import pytest

from callbot.stt_worker import mulaw


@pytest.mark.parametrize(
    ("byte", "value"),
    # ITU-T G.711, table 2a: 14 bits, here times four.
    [(0x80, 32124), (0x00, -32124), (0xFF, 0), (0x7F, 0), (0xFE, 8), (0x7E, -8), (0xF0, 120), (0xEF, 132)],
)
def test_decodes_as_the_table_says(byte: int, value: int) -> None:
    assert mulaw.decode(bytes([byte]))[0] * 32768 == value


def test_louder_bytes_are_louder() -> None:
    positive = mulaw.decode(bytes(range(0xFF, 0x7F, -1)))
    assert all(positive[1:] > positive[:-1])
