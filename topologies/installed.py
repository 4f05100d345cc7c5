"""Says whether this interpreter's environment holds what the lock names, and this project; by exit status.

Run as a script, from any directory: `python -I installed.py requirements.lock`. It imports nothing of the
project, which may not be installed.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

LINE = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?: *; *(?P<marker>[^\\]+))?")


def missing(lock: str) -> list[str]:
    """The names of the locked packages that are not there, or not in that version."""
    from packaging.markers import Marker

    found = []
    for line in filter(None, map(LINE.match, lock.splitlines())):
        if line["marker"] and not Marker(line["marker"].strip()).evaluate():
            continue
        try:
            there = version(line["name"])
        except PackageNotFoundError:
            there = ""
        if there != line["version"]:
            found.append(line["name"])
    return found


def project_installed(root: Path) -> bool:
    """Whether the modules of the project are found, and are those beneath `root`."""
    specs = [find_spec(name) for name in ("overlay_app", "topologies")]
    return all(spec and spec.origin and Path(spec.origin).is_relative_to(root) for spec in specs)


if __name__ == "__main__":
    path = Path(sys.argv[1]).resolve()
    sys.exit(bool(missing(path.read_text())) or not project_installed(path.parent))
