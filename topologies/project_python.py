"""For scripts here that any `python3` may be asked to run: they go on in the project's own Python."""

import os
import sys
from pathlib import Path
from typing import NoReturn

PROJECT = Path(__file__).resolve().parent.parent
PYTHON = PROJECT / ".venv/bin/python"


def restart() -> NoReturn:
    """Start the script anew in the project's environment; ends with a message when there is none."""
    if not PYTHON.exists() or Path(sys.prefix).resolve() == (PROJECT / ".venv").resolve():
        sys.exit(f"the project is not installed here: sudo {PROJECT}/lab setup")
    os.execv(PYTHON, [str(PYTHON), *sys.argv])
