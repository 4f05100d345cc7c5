"""Lets Ryu 4.34 import with a current eventlet, quietly.

`ryu.app.wsgi` imports `eventlet.wsgi.ALREADY_HANDLED`, which eventlet 0.33.3 took away. A `.pth` line of our
wheel imports this module when the interpreter starts, and it defines the name at the moment that somebody
imports `eventlet.wsgi`; it imports nothing itself, and costs a fraction of a millisecond. It is a top-level module, as
`overlay_app` is, so that no interpreter has a package named `controller` loaded before anybody asked for it.

When Ryu or python-ovs is imported, what they and eventlet say about their own code is kept from the terminal:
whoever starts the controller can't do anything about it.
"""

import sys

_IMPORT_EVENTLET = ("ryu.lib.hub", "ovs.poller")


class _EventletFinder:
    """Finds `eventlet.wsgi` as the path does, and adds the missing name once it is loaded."""

    @staticmethod
    def find_spec(name: str, path=None, target=None):
        if name in _IMPORT_EVENTLET:
            _quieten()
        if name != "eventlet.wsgi":
            return None
        from importlib.machinery import PathFinder

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


def _quieten() -> None:
    import logging
    import os
    import warnings

    if os.environ.get("OVERLAY_LOG") == "json":
        # Which applications Ryu loads it tells before ours, which gives lines that form, is loaded.
        logging.getLogger("ryu.base.app_manager").setLevel(logging.WARNING)

    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
    # Said once, when Ryu's modules are first compiled; the module of such a warning is the file's path.
    warnings.filterwarnings("ignore", category=SyntaxWarning, module=r".*/(site|dist)-packages/ryu/")
    # Ryu patches twice, and what eventlet then counts are the locks that it has just made green.
    if logging.lastResort is not None and _is_no_false_alarm not in logging.lastResort.filters:
        logging.lastResort.addFilter(_is_no_false_alarm)


def _is_no_false_alarm(record) -> bool:
    return record.name != "eventlet" or "RLock(s) were not greened" not in record.getMessage()


if not any(finder is _EventletFinder for finder in sys.meta_path) and "eventlet.wsgi" not in sys.modules:
    sys.meta_path.insert(0, _EventletFinder)
