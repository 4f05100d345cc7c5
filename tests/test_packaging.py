"""What is installed: the wheel, the line that runs when an interpreter starts, and the lock. No network is used."""

from __future__ import annotations

import json
import re
import shutil
import site
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import files, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from topologies.installed import missing

ROOT = Path(__file__).parent.parent
PACKAGES = ("controller", "flows", "ovsdb", "topologies")
AT_TOP = {"overlay_app.py", "eventlet_compat.py", "ovs_overlay_eventlet.pth"}
ELSEWHERE = {"controller/overlay_app.py", "controller/eventlet_compat.py"}
"""Published at the top of the wheel instead."""


def build(root: Path, target: str, into: Path) -> Path:
    """A wheel or sdist of the project there."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(into.glob("*.whl" if target == "wheel" else "*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `site-packages` with all that this environment has, but not the project."""
    where = tmp_path_factory.mktemp("without") / "site-packages"
    where.mkdir()
    ours = {path.parts[0] for path in files("ovs-overlay") or []}
    for entry in (entry for place in site.getsitepackages() for entry in Path(place).glob("*")):
        if entry.name not in ours:
            (where / entry.name).symlink_to(entry)
    return where


@pytest.fixture(scope="module")
def installed(without: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with our wheel in it."""
    where = tmp_path_factory.mktemp("with") / "site-packages"
    shutil.copytree(without, where, symlinks=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(where)
    return where


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


# -- the wheel


def test_the_wheel_holds_every_module_once_and_nothing_else(wheel: Path) -> None:
    found = {name for name in names(wheel) if ".dist-info/" not in name and ".data/" not in name}
    modules = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert found == modules - ELSEWHERE | AT_TOP | {"ovsdb/overlay.ovsschema", "ovsdb/overlay.toml"}


def test_the_wheel_brings_units_and_guides(wheel: Path) -> None:
    found = {name.partition(".data/data/")[2] for name in names(wheel) if ".data/" in name}
    units = {f"lib/systemd/system/{path.name}" for path in ROOT.glob("packaging/systemd/*")}
    guides = {f"share/doc/ovs-overlay/{name}.md" for name in ("logs", "operator-guide", "operating-databases")}
    assert found == units | guides | {"lib/sysusers.d/ovs-overlay.conf"}


def test_the_wheel_tells_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        told = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    assert "overlayctl = controller.cli.main:main" in told["entry_points.txt"]
    assert "Requires-Dist: ryu==4.34" in told["METADATA"]
    assert "Apache License" in told["LICENSE"]


def test_the_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xf", build(ROOT, "sdist", tmp_path)], cwd=tmp_path, check=True)
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert names(build(source, "wheel", tmp_path)) == names(wheel)
    for name in ("lab", "requirements.lock", "build-constraints.txt", "tests/conftest.py"):
        assert (source / name).is_file()


# -- an interpreter that has it


def python(packages: Path, program: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A program in an interpreter that has this `site-packages`, and no other."""
    program = f"import site; site.addsitedir({str(packages)!r})\n{program}"
    return subprocess.run(
        [sys.executable, "-S", "-P", "-c", program], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_overlay_app_is_importable_from_anywhere(installed: Path, tmp_path: Path) -> None:
    """As `ryu-manager` does it, without a word; and of its classes it takes exactly one."""
    program = """
import inspect, json
import ryu.cmd.manager
from ryu.base.app_manager import RyuApp
from ryu.lib import hub
hub.patch(thread=True)  # as its main() does, which makes eventlet sound an alarm
import overlay_app
classes = [one for one in vars(overlay_app).values() if inspect.isclass(one) and issubclass(one, RyuApp)]
apps = [one.__name__ for one in classes if one.__module__ == "overlay_app"]
print(json.dumps([overlay_app.__file__, apps]))
"""
    done = python(installed, program, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [str(installed / "overlay_app.py"), ["OverlayApp"]]


def test_ryu_does_not_import_without_the_hook(without: Path, tmp_path: Path) -> None:
    """When this fails, a Ryu or an eventlet has come that needs no hook: take it away."""
    assert "ALREADY_HANDLED" in python(without, "import ryu.cmd.manager", tmp_path).stderr


def test_an_interpreter_starts_with_the_hook_and_no_more(without: Path, installed: Path, tmp_path: Path) -> None:
    """Not with a package named `controller`, for one: somebody else's module may be called that."""
    before, after = (python(each, "import sys; print(*sys.modules)", tmp_path) for each in (without, installed))
    assert (after.returncode, after.stderr) == (0, "")
    assert set(after.stdout.split()) - set(before.stdout.split()) == {"eventlet_compat"}


def test_the_hook_is_silent_when_the_checkout_is_gone(installed: Path, tmp_path: Path) -> None:
    shutil.copy(installed / "ovs_overlay_eventlet.pth", tmp_path)
    done = python(tmp_path, "import sys; print('eventlet_compat' in sys.modules)", tmp_path)
    assert (done.stdout, done.stderr) == ("False\n", "")


# -- the lock


def locked() -> dict[str, str]:
    """Version by name of what this Python gets; the rest of each line, from `;` on, is a marker."""
    lines = re.findall(r"^([^#\s].*?)(?: \\)?$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    found = [Requirement(line) for line in lines]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in found
        if one.marker is None or one.marker.evaluate()
    }


def declared() -> list[Requirement]:
    """What pyproject.toml asks for, the developers' group included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [Requirement(one) for one in project["project"]["dependencies"] + project["dependency-groups"]["dev"]]


def needed() -> Iterator[Requirement]:
    """What is declared, and what that needs, and so on, as this environment's packages tell."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = declared()
    while todo:
        one = todo.pop()
        yield one
        if (place := (canonicalize_name(one.name), frozenset(one.extras))) in seen:
            continue
        seen.add(place)
        for inner in map(Requirement, requires(one.name) or []):
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in ["", *one.extras]):
                todo.append(inner)


def unsatisfied(requirements: Iterable[Requirement]) -> list[str]:
    lock = locked()
    return [
        str(one)
        for one in requirements
        if not one.specifier.contains(lock.get(canonicalize_name(one.name), "0"), prereleases=True)
    ]


def test_the_lock_holds_what_pyproject_asks_for() -> None:
    """The commands at its top make it anew."""
    assert unsatisfied(declared()) == []


def test_the_lock_holds_what_its_packages_need_and_no_more() -> None:
    if missing((ROOT / "requirements.lock").read_text()):
        pytest.skip("only in the environment that the lock describes can its packages be asked")
    assert unsatisfied(needed()) == []
    assert set(locked()) - {canonicalize_name(one.name) for one in needed()} == set()


def test_the_lock_has_a_hash_for_everything_and_names_no_registry() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    for entry in re.split(r"\n(?=[^\s#])", text)[1:]:
        assert "--hash=sha256:" in entry


def test_uv_and_pip_build_under_the_same_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = (ROOT / "build-constraints.txt").read_text().splitlines()
    assert project["tool"]["uv"]["build-constraint-dependencies"] == [line for line in lines if line[:1] != "#"]
