"""Lets Ryu 4.34 import with a current eventlet, quietly.

`ryu.app.wsgi` imports `eventlet.wsgi.ALREADY_HANDLED`, which eventlet 0.33.3 took away. A `.pth` line of our
wheel imports this module when the interpreter starts, and it defines the name at the moment that somebody
imports `eventlet.wsgi`; it imports nothing itself, and costs under a millisecond. When Ryu or python-ovs
is imported, eventlet's notice that it is deprecated is kept from the terminal: whoever starts the
controller can't do anything about it.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder

_IMPORT_EVENTLET = ("ryu.lib.hub", "ovs.poller")


class _EventletFinder:
    """Finds `eventlet.wsgi` as the path does, and adds the missing name once it is loaded."""

    @staticmethod
    def find_spec(name: str, path=None, target=None) -> ModuleSpec | None:
        if name in _IMPORT_EVENTLET:
            import warnings

            warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
        if name != "eventlet.wsgi":
            return None
        sys.meta_path.remove(_EventletFinder)
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module) -> None:
            load(module)
            if not hasattr(module, "ALREADY_HANDLED"):
                module.ALREADY_HANDLED = object()

        spec.loader.exec_module = exec_module
        return spec


if not any(finder is _EventletFinder for finder in sys.meta_path) and "eventlet.wsgi" not in sys.modules:
    sys.meta_path.insert(0, _EventletFinder)
