"""The documentation is true: its programs run, its links lead somewhere, and it covers the code."""

import re
from pathlib import Path

import pytest

import perdure
from docs import make_reference
from perdure import testing
from perdure.hooks import points
from tests.kit.children import ROOT
from tests.pages import DOCS, PageError, anchors, blocks, links, pages, run_page

PAGES = [path for path in pages() if path.name != "README.md"]  # tests/test_readme.py runs that one
RUNNING = [
    path
    for path in PAGES
    if any(block.runs or block.mark == "run" for block in blocks(path.read_text()))
]


def name(path: Path) -> str:
    """Name a page as a person would."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", RUNNING, ids=name)
def test_programs_do_what_the_page_says(page: Path, tmp_path: Path) -> None:
    """Every program of a page runs, and prints exactly what the page says it prints."""
    run_page(page, tmp_path)


def test_the_pages_that_teach_have_programs() -> None:
    """The tutorial, every guide and every page about a task are run, not only read."""
    taught = {DOCS / "tutorial.md", *(DOCS / "guides").glob("*.md"), *(DOCS / "tasks").glob("*.md")}
    assert taught - set(RUNNING) == set()


@pytest.mark.parametrize("page", [p for p in pages() if p.name != "pykka.md"], ids=name)
def test_programs_use_the_typed_words(page: Path) -> None:
    """Programs send with `call` and `cast`; only the page about pykka uses its words."""
    programs = [block.text for block in blocks(page.read_text()) if block.language == "python"]
    assert [p for p in programs if re.search(r"\.(proxy|defer|tell|ask)\(", p)] == []


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link inside the repository names a file, and its anchor is a heading there."""
    broken = []
    for link in links(page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached() -> None:
    """Following links from the map of the documentation reaches every page."""
    reached: set[Path] = set()
    coming = [DOCS / "index.md"]
    while coming:
        page = coming.pop()
        reached.add(page)
        targets = {
            (page.parent / link.partition("#")[0]).resolve() for link in links(page.read_text())
        }
        coming += [path for path in targets if path.suffix == ".md" and path not in reached]
    assert set(PAGES) - reached == set()


@pytest.mark.parametrize("page", pages(), ids=name)
def test_named_files_and_targets_exist(page: Path) -> None:
    """Tests, modules and `make` targets that a page names are there."""
    text = page.read_text()
    folders = (
        "actors|benchmarks|docs|examples|hooks|lifecycle|perdure|persistence|scripting|shared|tests"
    )
    files = re.findall(rf"(?<![\w./])((?:{folders})/[\w/]+\.(?:py|md|xz))", text)
    targets = set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)(?=[`\s]*(?:#|`|$))", text, re.MULTILINE))
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert [file for file in files if not (ROOT / file).exists()] == []
    assert targets - known == set()


def test_each_guarantee_has_its_page() -> None:
    """G1 to G10 and G12 have a page with the same parts, naming tests and the command for them."""
    for number in (*range(1, 11), 12):
        text = (DOCS / "guarantees" / f"G{number}.md").read_text()
        parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert parts == [
            "What is promised",
            "What is not promised",
            "How it is built",
            "How it is attacked",
        ]
        assert re.search(r"python -m pytest .*tests/", text), number


def test_the_reference_is_up_to_date() -> None:
    """The pages of the reference are what the docstrings say today, and there are no others."""
    stored = {path.name: path.read_text() for path in (DOCS / "reference").iterdir()}
    assert stored == make_reference.render(), "run: python -m docs.make_reference"


def test_each_public_name_is_on_one_page_of_the_reference() -> None:
    """The pages of the reference share the public names among them: none twice, none left out."""
    placed = [name for page in make_reference.PAGES for name in page.names]
    assert sorted(placed) == sorted([*perdure.__all__, *testing.__all__])


@pytest.mark.parametrize("name", make_reference.INNER)
def test_the_reference_leaves_out_what_is_inside(name: str) -> None:
    """What only perdure's modules use of a public class is there, and on no page."""
    text = "\n".join(make_reference.render().values())
    for inner in make_reference.INNER[name]:
        assert hasattr(make_reference._named(name), inner)
        assert f"{name}.{inner}(" not in text
        assert f"- `{inner}:" not in text.partition(f"## `{name}`")[2].partition("\n## ")[0]


@pytest.mark.parametrize("page", make_reference.PAGES, ids=lambda page: page.name)
def test_a_page_of_the_reference_has_its_names(page: make_reference.Page) -> None:
    """Each name has a heading on its page, and the table of contents leads to it."""
    text = (DOCS / "reference" / f"{page.name}.md").read_text()
    contents = (DOCS / "reference" / "index.md").read_text()
    for name in page.names:
        assert re.search(rf"^## `{name}`$", text, re.MULTILINE), name
        (anchor,) = re.findall(rf"\[`{name}`\]\({page.name}\.md#([\w-]+)\)", contents)
        assert anchor in anchors(text)


@pytest.mark.parametrize(("topic", "names"), make_reference.topics().items())
def test_the_reference_covers(topic: str, names: list[str]) -> None:
    """Every public name, signal, error, option and method stands in the reference."""
    text = "".join(path.read_text() for path in (DOCS / "reference").glob("*.md"))
    assert names
    assert [name for name in names if f"`{name}" not in text] == []


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("```python\nprint(1)  #> 2\n```\n", "promises"),
        ("```python\n1 / 0\n```\n", "ZeroDivisionError"),
        ("\n```python\nx = 1\n```\n\nThen:\n\n```python\nraise ValueError(x)\n```\n", "line 9"),
        ("<!-- run -->\n```console\n$ python -c 'print(1)'\n2\n```\n", "prints"),
    ],
)
def test_a_page_that_is_not_true_is_found(tmp_path: Path, page: str, fault: str) -> None:
    """A program that fails or prints something else is reported with its place on the page."""
    path = tmp_path / "page.md"
    path.write_text(page)
    with pytest.raises(PageError, match=fault):
        run_page(path, tmp_path)


def test_marks_are_obeyed(tmp_path: Path) -> None:
    """A block marked as only shown does not run, and one marked as a file becomes one."""
    path = tmp_path / "page.md"
    path.write_text(
        "<!-- not run: it would fail -->\n\n```python\n1 / 0\n```\n"
        "<!-- file: a.py -->\n```python\nprint(f'{1 + 1} of {id(1)}')\n```\n"
        "<!-- run -->\n```console\n$ python a.py\n2 of ...\n```\n"
    )
    run_page(path, tmp_path)
    assert (tmp_path / "a.py").exists()


UNCLEAR = (
    *("whoever", "whomever", "whichever", "in whose name", "nobody in particular"),
    "of no single moment",
)
"""Words and phrases that hide who acts, or that learners of English stumble over."""


@pytest.mark.parametrize(
    "page", [p for p in pages() if p.name not in {"design.md", "benchmarks.md"}], ids=name
)
def test_pages_use_plain_words(page: Path) -> None:
    """No page for users has a phrase of the list."""
    text = " ".join(page.read_text().lower().split())
    assert [phrase for phrase in UNCLEAR if phrase in text] == []


def test_a_word_of_the_glossary_has_one_meaning() -> None:
    """The entries of each part of the glossary are in order, and no word has two."""
    text = (DOCS / "glossary.md").read_text()
    parts = [re.findall(r"^\*\*(.+?)\*\*:", part, re.MULTILINE) for part in text.split("\n## ")[1:]]
    words = [word for part in parts for word in part]
    assert len(set(words)) == len(words) > 50
    assert all(part == sorted(part) for part in parts)


def test_the_guide_of_hooks_has_each_point_and_what_it_takes() -> None:
    """Its table names every point of perdure with its details and the answers, and no other."""
    text = (DOCS / "guides" / "hooks.md").read_text()
    found: dict[str, tuple[set[str], set[str]]] = {}
    details: list[str] = []
    for line in text.splitlines():
        if re.match(r"\| `[a-z_]+(\.[a-z]+)?`", line) and line.count("|") == 5:
            names, _, told, answers = (
                re.findall(r"`([\w.]+)`", part) for part in line.split("|")[1:5]
            )
            details = told or details
            for name in names:
                found[name] = ({*details}, {*answers} | {"Continue"})
    assert found.keys() == points.POINTS.keys()
    for name, point in points.POINTS.items():
        assert point.details.__name__ in found[name][0], name
        assert {result.__name__ for result in point.results} == found[name][1], name
