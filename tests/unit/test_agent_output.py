from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.reactors.runtimes.output import LINE_LIMIT, TAIL_LINES, Output

lines = st.lists(st.text(st.characters(exclude_characters="\n\r"), max_size=20), max_size=8)


@given(lines, st.integers(min_value=1, max_value=9))
def test_lines_do_not_depend_on_where_the_bytes_were_cut(texts: list[str], size: int) -> None:
    data, output = "\n".join(texts).encode(errors="replace"), Output(100)
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    seen = [line for chunk in chunks for line in output.feed("stdout", chunk, 0)]
    seen += output.finish(0)
    assert "\n".join(line.text for line in seen).encode() == data.removesuffix(b"\n")


@given(st.integers(min_value=1, max_value=4 * LINE_LIMIT), st.sampled_from("xé€🙂"))
def test_long_lines_are_cut_between_characters(count: int, letter: str) -> None:
    text = "x" + letter * (count // len(letter.encode()))
    pieces = [line.text for line in Output(100).feed("stdout", text.encode() + b"\n", 0)]
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= LINE_LIMIT for piece in pieces)


def test_the_last_line_that_is_not_blank_is_kept_whole() -> None:
    output = Output(answer_limit=200_000)
    output.feed("stdout", b"first\n" + b"x" * 100_000, 0)
    output.feed("stdout", b"y\n \n\n", 0)
    output.feed("stderr", b"other\n", 0)
    assert output.last_stdout == b"x" * 100_000 + b"y"


def test_a_last_line_above_the_limit_is_no_answer() -> None:
    output = Output(answer_limit=10)
    output.feed("stdout", b"1\n" + b"2" * 11 + b"\n", 0)
    assert output.last_stdout == b""


def test_the_tail_has_the_last_lines_of_both_streams() -> None:
    output = Output(10)
    output.feed("stdout", b"".join(b"%d\n" % number for number in range(100)), 0)
    output.feed("stderr", b"end" + b"!" * 5_000 + b"\n", 0)
    assert output.last_lines[0] == str(100 - TAIL_LINES + 1)
    assert output.last_lines[-1] == "end" + "!" * 997
