"""Build hook: an editable install takes only the start-up line, not copies of our own modules."""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version, build_data):
        if version == "editable":
            build_data["force_include_editable"] = {"controller/eventlet_compat.pth": "ovs_overlay_eventlet.pth"}
