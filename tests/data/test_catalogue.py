"""Catalogue readers: every cell as Python's csv module reads it, defects named by file and line."""

from __future__ import annotations

import csv
import io
import os
import pickle
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easynlp_fashionklip.data import row_index
from easynlp_fashionklip.data.catalogue import Catalogue, open_catalogue
from easynlp_fashionklip.data.pairs import PairTable
from easynlp_fashionklip.errors import InputError

SCHEMA = "text:str:1,image:str:1"


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return path


def rows_of(catalogue: Catalogue) -> list[dict[str, str]]:
    return [catalogue.row(i) for i in range(len(catalogue))]


def failure(path: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        rows_of(open_catalogue(path, **options))  # type: ignore[arg-type]
    message = str(caught.value)
    assert str(path) in message or "--input_schema" in message
    assert message.endswith(".") and "\n" not in message
    return message


def test_plain_csv(tmp_path: Path) -> None:
    catalogue = open_catalogue(write(tmp_path / "a.csv", "id,text\n1,red dress\n2,blue top\n"))
    assert catalogue.columns == ("id", "text")
    assert rows_of(catalogue) == [{"id": "1", "text": "red dress"}, {"id": "2", "text": "blue top"}]
    assert [catalogue.line_number(i) for i in range(2)] == [2, 3]


def test_quoted_commas_newlines_and_doubled_quotes(tmp_path: Path) -> None:
    data = 'id,text\n1,"a, b"\n2,"two\nlines\n"\n3,"3"" heel"\n'
    catalogue = open_catalogue(write(tmp_path / "a.csv", data))
    assert [row["text"] for row in rows_of(catalogue)] == ["a, b", "two\nlines\n", '3" heel']
    assert [catalogue.line_number(i) for i in range(3)] == [2, 3, 6]


def test_bom_crlf_blank_lines_and_missing_last_newline(tmp_path: Path) -> None:
    data = "\ufeff id ,text\r\n\r\n1,eins\r\n\r\n\r\n2,zwei"
    catalogue = open_catalogue(write(tmp_path / "a.csv", data))
    assert rows_of(catalogue) == [{"id": "1", "text": "eins"}, {"id": "2", "text": "zwei"}]
    assert [catalogue.line_number(i) for i in range(2)] == [3, 6]


def test_stray_quotes_are_text_as_in_the_csv_module(tmp_path: Path) -> None:
    data = 'id,text\n1,Heel: 3" high\n2,"quoted, 4"" heel"\n3,plain "a", b" c\n'.replace(', b" c', "")
    catalogue = open_catalogue(write(tmp_path / "a.csv", data))
    assert [row["text"] for row in rows_of(catalogue)] == ['Heel: 3" high', 'quoted, 4" heel', 'plain "a"']
    assert [catalogue.line_number(i) for i in range(3)] == [2, 3, 4]


CELL = st.text(st.sampled_from('a,"\n\r é\t\u2028'), max_size=6)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    terminator=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
    chunk=st.integers(1, 40),
)
def test_random_cells_read_as_the_csv_module_reads_them(
    rows: list[tuple[str, str]], quoting: int, terminator: str, bom: bool, chunk: int
) -> None:
    if quoting == csv.QUOTE_MINIMAL:
        # The writer may leave a lone CR unquoted, which no reader can tell from a line end; see the bad files below.
        rows = [(x.replace("\r", ""), y.replace("\r", "")) for x, y in rows]
    buffer = io.StringIO()
    csv.writer(buffer, quoting=quoting, lineterminator=terminator).writerows([("x", "y"), *rows])  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_index, "CHUNK_BYTES", chunk)
        path = write(Path(folder) / "a.csv", ("\ufeff" if bom else "") + buffer.getvalue())
        with path.open(encoding="utf-8-sig", newline="") as file:
            expected = list(csv.DictReader(file))
        assert rows_of(open_catalogue(path)) == expected


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(body=st.text(st.sampled_from('a,"\n'), max_size=30), chunk=st.integers(1, 12))
def test_any_placement_of_quotes_gives_the_csv_modules_rows_or_an_input_error(body: str, chunk: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_index, "CHUNK_BYTES", chunk)
        path = write(Path(folder) / "a.csv", "x,y\n" + body)
        expected = [cells for cells in csv.reader(io.StringIO(body, newline="")) if cells]
        try:
            found = [list(row.values()) for row in rows_of(open_catalogue(path))]
        except InputError as error:
            message = str(error)
            assert not expected or "never closed" in message or any(len(cells) != 2 for cells in expected)
        else:
            assert found == expected


def test_chunk_borders_do_not_move_line_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.csv", 'id,text\r\n1,"a\n""b"""\r\n\r\n2,c\r\n3,"d\n\ne"\r\n4,f\r\n')
    for chunk in range(1, 60):
        monkeypatch.setattr(row_index, "CHUNK_BYTES", chunk)
        catalogue = open_catalogue(path)
        assert [catalogue.line_number(i) for i in range(4)] == [2, 5, 6, 9]
        assert [row["text"] for row in rows_of(catalogue)] == ['a\n"b"', "c", "d\n\ne", "f"]


def test_index_costs_eight_bytes_a_row_however_long_the_rows(tmp_path: Path) -> None:
    short = open_catalogue(write(tmp_path / "s.csv", "id,text\n" + "1,a\n" * 5000))
    long = open_catalogue(write(tmp_path / "l.csv", "id,text\n" + f"1,{'a' * 500}\n" * 5000))
    assert short.index_bytes == long.index_bytes <= 5000 * 8 + 64
    assert len(pickle.dumps(long)) < 5000 * 8 + 2000


def test_tsv_by_schema(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'Heel "3\timages/1.jpg\r\nzwei\timages/2.jpg\r\n\n\n')
    catalogue = open_catalogue(path, input_schema=SCHEMA)
    assert catalogue.columns == ("text", "image")
    assert [row["text"] for row in rows_of(catalogue)] == ['Heel "3', "zwei"]
    assert [catalogue.line_number(i) for i in range(2)] == [1, 2]


def test_tsv_with_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'id\ttext\n7\ta "red" dress\n')
    catalogue = open_catalogue(path)
    assert rows_of(catalogue) == [{"id": "7", "text": 'a "red" dress'}]
    assert catalogue.line_number(0) == 2
    with pytest.raises(InputError, match="no column 'caption'.* read as a header; when it is none, name its columns"):
        PairTable(catalogue, "caption")


def test_tsv_keeps_blank_lines_between_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.tsv", "one\n\nthree\n\n")
    for chunk in (1, 3, 100):
        monkeypatch.setattr(row_index, "CHUNK_BYTES", chunk)
        catalogue = open_catalogue(path, input_schema="text:str:1")
        assert [row["text"] for row in rows_of(catalogue)] == ["one", "", "three"]


def test_tsv_skips_the_first_line_when_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "text\timage\nrot\t1.jpg\n")
    catalogue = open_catalogue(path, input_schema=SCHEMA, skip_first_line=True)
    assert rows_of(catalogue) == [{"text": "rot", "image": "1.jpg"}]
    assert catalogue.line_number(0) == 2


def test_a_base64_cell_longer_than_the_csv_modules_limit(tmp_path: Path) -> None:
    limit = csv.field_size_limit(131_072)
    try:
        cell = "A" * 200_000
        catalogue = open_catalogue(write(tmp_path / "a.csv", f'id,image\n1,"{cell}"\n'))
        assert catalogue.row(0)["image"] == cell
    finally:
        csv.field_size_limit(limit)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["is empty"]),
        (b"\n\r\n", ["is empty"]),
        (b"id,text\n", ["header but no rows"]),
        (b"id,text\n1,a\n2\n", ["line 3", "found 1 columns where 2", "id, text", "quote cells"]),
        (b"id,text\n1,a,b\n", ["line 2", "found 3 columns where 2"]),
        (b"id,text\n1,\xff\xfe\n", ["line 2", "not UTF-8", "save"]),
        (b"\xff\xfei\x00d\x00", ["UTF-16"]),
        (b"id,id\n1,a\n", ["line 1", "'id' more than once"]),
        (b"id;text\n1;a\n", ["line 1", "commas instead of ';'"]),
        (b'id,text\n1,a\n2,"open\n3,c\n', ["line 3", "never closed"]),
        (b'id,text\n1,3" heel\n2,"open\n3,c\n', ["line 3", "never closed"]),
        (b"id,text\r1,a\r2,b\r", ["line 1", "LF or CRLF"]),
    ],
)
def test_bad_csv_is_named(tmp_path: Path, data: bytes, words: list[str]) -> None:
    message = failure(write(tmp_path / "bad.csv", data))
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ("a\tb\nc\n", {"input_schema": SCHEMA}, ["line 2", "found 1 columns where 2", "--input_schema"]),
        ("", {"input_schema": SCHEMA}, ["is empty"]),
        ("text\timage\n", {"input_schema": SCHEMA, "skip_first_line": True}, ["no rows after the first line"]),
        ("a\tb\n", {}, ["is a TSV file", "--input_schema=text:str:1"]),
        ("a red dress\timages/1.jpg\nx\ty\n", {}, ["first line is no header", "--input_schema=text:str:1"]),
        (f"text\t{'iVBORw0KGgo' * 4}\nx\ty\n", {}, ["first line is no header"]),
        ("id\t2\nx\ty\n", {}, ["first line is no header"]),
        ("id\tid\nx\ty\n", {}, ["first line is no header"]),
        ("id\ttext\nx\n", {}, ["line 2", "found 1 columns where 2", "the header agree"]),
        ("a\n", {"input_schema": "text"}, ["'text' is not name:kind:length"]),
        ("a\n", {"input_schema": "text:blob:1"}, ["'text:blob:1'"]),
        ("a\n", {"input_schema": "text:str:1,text:str:1"}, ["'text' comes twice"]),
    ],
)
def test_bad_tsv_is_named(tmp_path: Path, data: str, options: dict[str, object], words: list[str]) -> None:
    message = failure(write(tmp_path / "bad.tsv", data), **options)
    assert [word for word in words if word not in message] == []


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "does not exist" in failure(tmp_path / "none.csv")
    assert "cannot be read" in failure(tmp_path)


def test_an_endless_row_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_index, "MAX_ROW_BYTES", 100)
    message = failure(write(tmp_path / "a.csv", f'id,text\n1,a\n2,"{"b" * 200}"\n'))
    assert "line 3" in message and "more than the 100 allowed" in message


def test_a_file_cut_while_it_is_read(tmp_path: Path) -> None:
    catalogue = open_catalogue(write(tmp_path / "a.csv", "id,text\n1,a\n2,b\n"))
    write(tmp_path / "a.csv", "id,text\n1,a\n")
    assert catalogue.row(0) == {"id": "1", "text": "a"}
    with pytest.raises(InputError, match="became shorter"):
        catalogue.row(1)


def test_rows_outside_are_index_errors(tmp_path: Path) -> None:
    catalogue = open_catalogue(write(tmp_path / "a.csv", "id,text\n1,a\n"))
    for i in (-1, 1):
        with pytest.raises(IndexError):
            catalogue.row(i)


def test_pickled_copy_reads_after_the_working_folder_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.csv", "id,text\n1,a\n2,b\n")
    monkeypatch.chdir(tmp_path)
    catalogue = open_catalogue("a.csv")
    catalogue.row(0)
    data = pickle.dumps(catalogue)
    monkeypatch.chdir("/")
    copy = pickle.loads(data)
    assert copy.row(1) == catalogue.row(1) == {"id": "2", "text": "b"}
    assert str(copy.path) == "a.csv"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_opens_the_file_itself(tmp_path: Path) -> None:
    catalogue = open_catalogue(write(tmp_path / "a.csv", "id,text\n1,a\n2,b\n"))
    catalogue.row(0)
    parent_file = catalogue._open_file.get()
    position = parent_file.tell()
    child = os.fork()
    if child == 0:
        shared = catalogue._open_file.get() is parent_file
        os._exit(1 if shared or catalogue.row(1)["text"] != "b" else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert parent_file.tell() == position
    assert catalogue._open_file.get() is parent_file


def test_threads_do_not_share_a_position(tmp_path: Path) -> None:
    catalogue = open_catalogue(write(tmp_path / "a.csv", "id,text\n" + "".join(f"{i},t{i}\n" for i in range(500))))
    wrong: list[int] = []

    def read() -> None:
        wrong.extend(i for i in range(500) if catalogue.row(i)["text"] != f"t{i}")

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
