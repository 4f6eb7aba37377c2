"""CSV and its kin: text as it is written, and rows that are not what the header says."""

from pathlib import Path

import pytest

from tests.engine.tasks.small_tasks import prompts, refused, unchecked

KEYS = {"template": "{text}", "name": None, "label": "label", "verbalizer": {"0": "no", "1": "yes"}}


@pytest.fixture(autouse=True)
def _folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def csv(content: str | bytes, name: str = "t.csv") -> str:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def message(content: str | bytes, name: str = "t.csv") -> str:
    return refused(**{**KEYS, "train": csv(content, name), "validation": name})


def test_text_stays_as_it_is_written() -> None:
    odd = ["007", "1e5", "1.50", "2024-01-01", "TRUE", "null", "NA", "nan", "None", "-0", "1,5", "#REF!", "0x1F", "+1"]
    for index in (",", "id,"):  # an unnamed column is what pandas leaves
        rows = "".join(f'{n},"{text}",1\n' for n, text in enumerate(odd))
        assert prompts(csv(index + "text,label\n" + rows)) == odd


def test_the_delimiter_is_the_one_that_gives_the_columns() -> None:
    for delimiter in ",;\t|":
        rest = "".join(mark for mark in ",;\t|" if mark != delimiter)
        file = csv(f"text{delimiter}label\na{rest}b{delimiter}1\n")
        assert prompts(file) == [f"a{rest}b"]
    assert prompts(csv("text,label\na\tb,1\n", "t.tsv")) == ["a\tb"]
    lone = csv("text\na, b\n", "t.tsv")  # of one column every delimiter makes one: the name tells
    assert prompts(lone, target="{text}", label=None, verbalizer=None, train=lone, validation=lone) == ["a, b"]
    assert prompts(csv('"a;b";text;label\n1,5;x;1\n')) == ["x"]


def test_a_first_line_that_says_the_delimiter_is_read_over() -> None:
    for first in ("sep=;", '"sep=;"'):
        for end in ("\n", "\r\n", "\r"):
            assert prompts(csv(end.join([first, "text;label", "a,b;1", ""]))) == ["a,b"]
    assert prompts(csv('\ufeffsep=,\n"text;label",text,label\nx,y,1\n')) == ["y"]
    assert prompts(csv("sep=;\ntext;a,text;label\nx;y;1\n"), template="{a,text}") == ["y"]
    assert message("sep=;\ntext;label\na;1\n\nb\n").startswith("t.csv: line 5: 1 field, the header has 2 (text, label)")
    assert message("sep=;\ntext,label\na,1\n").startswith("t.csv: line 2: one column (text,label), not text, label")
    assert message("sep=;\ntext;text;label\n").startswith("t.csv: line 2: two columns are called 'text'")
    assert message('sep=;\ntext;label\n"a" b;1\n').startswith("t.csv: line 3: text follows a closing quote")
    assert message("sep=;\n") == "t.csv: is empty; write a header and rows"


def test_a_delimiter_that_nobody_knows() -> None:
    said = "t.csv: line 1: one column (text^label), not text, label; columns are separated by a comma, a semicolon, "
    assert message("text^label\na^1\n") == said + "a tab or a vertical bar"
    assert message("txt;label\na;1\n") == (
        "task.template: no column 'text' in t.csv (it has txt, label); did you mean 'txt'?"
    )
    csv("text^label\na^1\n")
    assert unchecked(**{**KEYS, "train": "t.csv"}) == said + "a tab or a vertical bar"


def test_marks_line_ends_and_blank_lines() -> None:
    plain = b'text,label\na,1\n\n"b\nc",0\nd,1'
    assert prompts(csv(plain)) == ["a", "b\nc", "d"]
    assert prompts(csv(b"\xef\xbb\xbf" + plain)) == ["a", "b\nc", "d"]
    assert prompts(csv(b'\xef\xbb\xbf"text",label\na,1\n')) == ["a"]
    assert prompts(csv(b"\n" + plain.replace(b"\n", b"\r\n") + b"\r\n  \r\n")) == ["a", "b\r\nc", "d"]
    assert prompts(csv(plain.replace(b"\n", b"\r"))) == ["a", "b\rc", "d"]
    assert prompts(csv("text,label\na\u2028b\u0085c\x0bd\x1ce,1\n")) == ["a\u2028b\u0085c\x0bd\x1ce"]
    assert prompts(csv("text\na\n \nb\n"), label="text", verbalizer={"a": "x", "b": "y"}) == ["a", "b"]


def test_quotes_within_a_text() -> None:
    assert prompts(csv('text,label\n5" screen,1\n"he said ""no""",1\n')) == ['5" screen', 'he said "no"']
    assert message('text,label\n"he \\"said\\" no",1\n') == (
        "t.csv: line 2: text follows a closing quote, in the row that begins in line 2; write a quote within a quoted "
        'field twice ("")'
    )
    assert message('text,label\nfine,1\n"a,1\nb,0\n"c",1\n').startswith(
        "t.csv: line 5: text follows a closing quote, in the row that begins in line 3; "
    )
    assert message('text,label\nfine,1\n"a,1\nb,0\n') == (
        "t.csv: line 4: the file ends within a quoted field of the row that begins in line 3; close the quote"
    )


def test_quotes_in_a_tab_separated_file_that_swallow_rows() -> None:
    said = (
        "a quoted field of the row that begins there holds a tab and a line end, as where a quote that is text "
        'swallows rows; if it is text, put quotes around its field and write it twice (""); if it is not, save the '
        "file as CSV"
    )
    swallowing = 'text\tlabel\n"good\t1\nso so\t0\nbad"\t0\nfine\t1\n'
    for name in ("t.tsv", "t.csv"):
        assert message(swallowing, name) == f"{name}: line 2: {said}"
    assert message(swallowing.replace("\n", "\r"), "t.tsv") == f"t.tsv: line 2: {said}"
    assert message('label\ttext\n1\tok\n1\t"good\n0\tbad"\n', "t.tsv") == f"t.tsv: line 3: {said}"
    mended = 'text\tlabel\n"""good"\t1\nso so\t0\n"a\nb"\t1\n"c\td"\t1\n'
    assert prompts(csv(mended, "t.tsv")) == ['"good', "so so", "a\nb", "c\td"]
    assert prompts(csv('text,label\n"a\n\tb",1\n')) == ["a\n\tb"]


def test_rows_of_another_length_than_the_header() -> None:
    assert message("text,label\nfine,1\nI liked it, really,1\n") == (
        "t.csv: line 3: 3 fields, the header has 2 (text, label); put quotes around a text that holds a comma"
    )
    assert message('text,label\n\n"a\nb",1\n\n"c\n\n\n",7\n').startswith("t.csv: line 6: label '7' is not in")
    assert message('text,label,id\n"a\n\nb",1,7\n\nfine,1\n') == (
        "t.csv: line 6: 2 fields, the header has 3 (text, label, id); every row needs a field for each, empty ones too"
    )


def test_of_many_columns_a_message_names_some() -> None:
    names = [f"c{n}" for n in range(25)]
    some = ", ".join(names[:20])
    assert message(",".join(names) + "\n" + "x\n") == (
        f"task.template: no column 'text' in t.csv (it has {some} and 5 more)"
    )
    assert message(",".join(["text", "label", *names]) + "\nx\n") == (
        f"t.csv: line 2: 1 field, the header has 27 (text, label, {', '.join(names[:18])} and 7 more); every row "
        "needs a field for each, empty ones too"
    )


def test_columns_of_one_name() -> None:
    assert message("text,label,text\na,1,b\n") == "t.csv: line 1: two columns are called 'text'; rename one"
    assert prompts(csv("text,label,x,x,,\na,1,b,c,d,e\n")) == ["a"]


def test_bytes_that_are_no_text() -> None:
    latin = "text,label,note\nfine,1,é\ncafé,1,x\n".encode("latin-1")
    assert message(latin) == (
        "t.csv: line 3: column 'text' holds a byte that is not UTF-8 (0xe9, character 4); save the file as UTF-8"
    )
    assert prompts(csv(latin.replace(b"caf\xe9", b"cafe"))) == ["fine", "cafe"]  # nobody uses `note`
    assert message("text,label\nfine,1\na\0b,1\n") == (
        "t.csv: line 3: column 'text' holds a NUL byte; mend or remove the row"
    )


def test_a_long_text() -> None:
    text = "word, " * 100_000
    assert prompts(csv(f'text,label\n"{text}",1\n')) == [text.strip()]


def test_a_carriage_return_without_quotes() -> None:
    assert message("text,label\nfine,1\na\rb,1\n") == (
        "t.csv: line 3: a carriage return in a field without quotes; put quotes around the field"
    )


def test_a_file_without_a_header() -> None:
    assert message("\n \n") == "t.csv: is empty; write a header and rows"
