"""Build the wheel and the sdist, compare them with the tree, try the wheel away from the checkout.

An sdist that drops a layer, or a wheel that works only beside its sources, passes every other test.
"""

import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the whole check; leave wheel and sdist in dist/ when it passes."""
    with tempfile.TemporaryDirectory(prefix="perdure-package-") as name:
        work = Path(name)
        clean()
        try:
            sdist = build(ROOT, "sdist", work / "sdist")
            wheel = build(ROOT, "wheel", work / "wheel")
        finally:
            clean()
        rebuilt = build(unpack(sdist, work / "unpacked"), "wheel", work / "rebuilt")
        demand_same("the tree", expected_files(), "the wheel", library_files(wheel))
        demand_same(
            "the wheel", contents(wheel), "the wheel made from the sdist", contents(rebuilt)
        )
        smoke(wheel, work)
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        (ROOT / "dist").mkdir()
        for artifact in (sdist, wheel):
            shutil.copy2(artifact, ROOT / "dist")
            print(f"package: {artifact.name} is complete and works on its own")


def clean() -> None:
    """Remove setuptools' build folder: leftovers of an earlier build would get into the wheel."""
    shutil.rmtree(ROOT / "build", ignore_errors=True)


def build(source: Path, kind: str, out: Path) -> Path:
    """Build one distribution of `source` into `out` and return its path."""
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(out)]
    run([*command, str(source)], cwd=source)
    (artifact,) = out.iterdir()
    return artifact


def unpack(sdist: Path, into: Path) -> Path:
    """Unpack the sdist and return its one top folder."""
    shutil.unpack_archive(sdist, into)
    (top,) = into.iterdir()
    return top


def expected_files() -> set[str]:
    """Return what the wheel must hold: all files of the mapped folders, whatever they are."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    return {
        f"{package.replace('.', '/')}/{path.name}"
        for package, folder in config["package-dir"].items()
        for path in (ROOT / folder).iterdir()
        if path.is_file()
    }


def contents(wheel: Path) -> dict[str, int]:
    """Map each file of the wheel to its checksum, without RECORD, which repeats the list."""
    with zipfile.ZipFile(wheel) as archive:
        return {i.filename: i.CRC for i in archive.infolist() if not i.filename.endswith("/RECORD")}


def library_files(wheel: Path) -> set[str]:
    """Return the wheel's files without its metadata."""
    return {name for name in contents(wheel) if ".dist-info/" not in name}


def demand_same(
    left_name: str,
    left: set[str] | dict[str, int],
    right_name: str,
    right: set[str] | dict[str, int],
) -> None:
    """End the program with the differences, if there are any."""
    if left == right:
        return
    lines = [f"package: {left_name} and {right_name} differ"]
    lines += [f"  only in {left_name}: {name}" for name in sorted(set(left) - set(right))]
    lines += [f"  only in {right_name}: {name}" for name in sorted(set(right) - set(left))]
    if isinstance(left, dict) and isinstance(right, dict):
        common = sorted(set(left) & set(right))
        lines += [f"  other bytes: {name}" for name in common if left[name] != right[name]]
    sys.exit("\n".join(lines))


def smoke(wheel: Path, work: Path) -> None:
    """Install the wheel in a fresh environment and run smoke.py there, away from the checkout."""
    environment = work / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, str(wheel)], cwd=work)
    script = shutil.copy2(ROOT / ".ci" / "smoke.py", work)
    run([str(python), "-I", "-W", "error", str(script)], cwd=work)


def run(command: list[str], cwd: Path) -> None:
    """Run a command silently; when it fails, end the program with what it said."""
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"package: {' '.join(command)} failed\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
