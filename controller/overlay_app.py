"""The Ryu application, started with `ryu-manager overlay_app`."""
from ryu.base import app_manager
class OverlayApp(app_manager.RyuApp):
    pass
