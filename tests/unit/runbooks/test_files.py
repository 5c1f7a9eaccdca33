"""Pictures and files beside a runbook: which are taken, and where the text leads to them."""

import pytest

from app.runbooks import files
from app.runbooks.files import address_of, beside, load, path_at, path_of, referenced
from app.runbooks.format import read
from app.runbooks.rendering import FILES, placed, render_document
from tests.unit.runbooks.test_markdown import assert_harmless

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("img/a.png", "img/a.png"),
        ("./img/../img/a.png", "img/a.png"),
        ("../shared/a.PNG", "../shared/a.PNG"),
        ("a%20b.png?raw=true#x", "a b.png"),
        ("f&amp;g.csv", "f&g.csv"),
        ("überlast.svg", "überlast.svg"),
        ("other.md", None),
        ("secrets.env", None),
        ("id_rsa", None),
        (".env.json", None),
        ("../.git/config.json", None),
        ("a/.b/c.png", None),
        ("/etc/a.png", None),
        ("//evil.example/a.png", None),
        ("\\\\evil.example\\a.png", None),
        ("https://a.example/a.png", None),
        ("javascript:a.png", None),
        ("%6aavascript:a.png", None),
        ("data:image/png;a.png", None),
        ("%2Fetc%2Fa.png", None),
        ("..%5ca.png", None),
        ("a%00.png", None),
        ("a\u202e.png", None),
        ("~/a.png", None),
        ("{{model}}.png", None),
        ("a..b.png", None),
        ("#a.png", None),
        ("", None),
        (".", None),
        ("a" * 400 + ".png", None),
    ],
)
def test_only_relative_paths_of_known_kinds_are_taken(target, path):
    assert path_of(target) == path


@pytest.mark.parametrize("path", ["img/a.png", "../../a b/ü.png", "50%/a~b.png"])
def test_an_address_leads_back_to_its_path(path):
    from urllib.parse import unquote

    address = address_of(path)

    assert ".." not in address
    assert path_at(unquote(address)) == path


def test_all_ways_to_refer_to_a_file_are_found():
    document = read(
        b"![a](a.png) [b](<b c.csv>)\n\n## Steps\n\n1. ![d](img/d(1).png){ width=3 }\n"
        b"   <img alt=x src='e.gif'> [f][f] [![g](g.webp)](h.svg)\n\n"
        b"## More\n<a class=x href=i.json>i</a> ![a](a.png) [no](other.md)\n\n[f]: f.pdf 'title'\n"
    )

    assert referenced(document) == (
        "a.png",
        "b c.csv",
        "img/d(1).png",
        "g.webp",
        "h.svg",
        "e.gif",
        "i.json",
        "f.pdf",
    )


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "runbooks"
    (root / "team").mkdir(parents=True)
    (root / "img").mkdir()
    return root


def test_files_are_found_from_where_the_runbook_stands(folder):
    (folder / "img" / "a.png").write_bytes(PNG)
    (folder / "team" / "b.csv").write_bytes(b"x,y\n")

    found = beside(folder, "team/latency.md", read(b"![a](../img/a.png) [b](b.csv) [c](c.csv)"))

    assert [(file.path, file.media_type) for file in found.files] == [
        ("../img/a.png", "image/png"),
        ("b.csv", "text/csv"),
    ]
    assert found.paths == {"../img/a.png", "b.csv"}
    assert found.remarks == ("The file c.csv is not there; it was left out.",)


def test_nothing_outside_the_folder_is_taken(folder, tmp_path):
    (tmp_path / "secret.png").write_bytes(PNG)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "b.png").write_bytes(PNG)
    (folder / "dots.png").symlink_to(folder / ".hidden" / "b.png")

    found = load(folder, "a.md", ["../secret.png", "link.png", "dots.png", "img"])

    assert found.files == ()
    assert [remark.split(" ", 3)[3] for remark in found.remarks] == [
        "is outside the folder of runbooks; it was left out.",
        "is outside the folder of runbooks; it was left out.",
        "is hidden; it was left out.",
        "is not there; it was left out.",
    ]


def test_a_picture_must_be_one(folder):
    (folder / "a.png").write_bytes(b"<script>alert(1)</script>")
    (folder / "b.svg").write_bytes(b"<svg onload=alert(1)>")

    found = load(folder, "a.md", ["a.png", "b.svg"])

    assert [file.path for file in found.files] == ["b.svg"]
    assert found.remarks == ("The file a.png is no PNG picture; it was left out.",)


def test_files_have_limits(folder, monkeypatch):
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 100)
    monkeypatch.setattr(files, "MAX_BYTES", 150)
    monkeypatch.setattr(files, "MOST_FILES", 4)
    for name, size in (("a", 101), ("b", 90), ("c", 80), ("d", 60), ("e", 1)):
        (folder / f"{name}.txt").write_bytes(b"x" * size)

    found = load(folder, "a.md", [f"{name}.txt" for name in "abcde"])

    assert [file.path for file in found.files] == ["b.txt", "d.txt"]
    assert [remark[:22] for remark in found.remarks] == [
        "The file a.txt is larg",
        "The file c.txt would m",
        "The file e.txt is one ",
    ]


# --- In the text


def html_of(text, *kept, dialect="gfm"):
    source = f"---\ndialect: {dialect}\n---\n{text}".encode()
    return render_document(read(source), files=kept)["intro"]


@pytest.mark.parametrize("dialect", ["gfm", "mkdocs"])
def test_the_text_leads_to_the_files_of_its_version(dialect):
    html = html_of(
        "![p99](img/p%2099.png) ![flow](../flow.svg) [list](list.csv?x#y) [b](other.md)\n\n"
        "<img src='img/p 99.png' alt=raw>",
        *("img/p 99.png", "../flow.svg", "list.csv"),
        dialect=dialect,
    )

    assert_harmless(html.replace(FILES, "/assets/"))
    assert html.count(f'<img src="{FILES}img/p%2099.png" alt="') == 2
    assert f'<a href="{FILES}~/flow.svg"' in html
    assert ">flow</a>" in html
    assert f'<a href="{FILES}list.csv"' in html
    assert 'href="/runbooks/other"' in html


@pytest.mark.parametrize("dialect", ["gfm", "mkdocs"])
def test_a_file_that_is_not_kept_leaves_its_words(dialect):
    html = html_of("![p99](img/a.png) [list](list.csv)", dialect=dialect)

    assert "<img" not in html
    assert "href" not in html
    assert "p99" in html
    assert "list" in html


def test_parts_are_placed_at_their_version():
    parts = render_document(
        read(b"## Steps\n1. a ![x](a.png)\n\n   ![x](a.png)\n"), files=["a.png"]
    )
    step = placed(parts, "latency", 3)["steps"]["a-x"]

    assert '<img src="/runbooks/latency/v3/files/a.png" alt="x">' in step["title"]
    assert '<img src="/runbooks/latency/v3/files/a.png" alt="x">' in step["blocks"][0]["html"]
    assert FILES in parts["steps"]["a-x"]["title"]
