"""Three lists name the packages (pyproject.toml, the tree, the links): they agree."""

import os
import tomllib
from pathlib import Path

from tests.kit.children import ROOT

LAYERS = ("actors", "hooks", "lifecycle", "llm", "persistence", "scripting", "shared")
TEXT = (ROOT / "pyproject.toml").read_text()
CONFIG = tomllib.loads(TEXT)


def packages_of_the_tree() -> dict[str, str]:
    """Map each package below the top folders to its folder, without following the links."""
    found = {}
    for top in ("perdure", *LAYERS):
        for folder, _, files in os.walk(ROOT / top):
            if "__init__.py" in files:
                relative = Path(folder).relative_to(ROOT)
                inside = relative.parts if top == "perdure" else ("perdure", *relative.parts)
                found[".".join(inside)] = relative.as_posix()
    return found


def test_packages_list_equals_the_tree() -> None:
    """Every folder of the library is in the list of packages and mapped to where it lies."""
    tree = packages_of_the_tree()
    assert {"perdure", *(f"perdure.{layer}" for layer in LAYERS)} <= set(tree)
    assert CONFIG["tool"]["setuptools"]["package-dir"] == tree
    assert sorted(CONFIG["tool"]["setuptools"]["packages"]) == sorted(tree)


def test_every_source_file_lies_in_a_package() -> None:
    """No folder with sources lacks its `__init__.py`: the wheel would come without it."""
    folders = {path.parent for top in ("perdure", *LAYERS) for path in (ROOT / top).rglob("*.py")}
    assert folders == {ROOT / folder for folder in packages_of_the_tree().values()}


def test_links_lead_to_the_layers() -> None:
    """perdure/ holds one relative link per layer and no other link."""
    links = [path for path in (ROOT / "perdure").iterdir() if path.is_symlink()]
    targets = {link.name: link.readlink().as_posix() for link in links}
    assert targets == {layer: f"../{layer}" for layer in LAYERS}


def test_each_dependency_has_its_reason() -> None:
    """The line above each runtime dependency is a comment that says what it is for."""
    lines = TEXT.splitlines()
    dependencies = CONFIG["project"]["dependencies"]
    assert dependencies
    for dependency in dependencies:
        above = lines[lines.index(f'    "{dependency}",') - 1]
        assert above.strip().startswith("# "), f"{dependency} has no reason"
