"""`db-accept`: the overlay database is right as it is, although the controller has objected to it."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.draft import Draft
from controller.cli.errors import CommandError
from controller.cli.text import escaped
from ovsdb.entries import ACCEPT


def accept(draft: Draft, args: Namespace) -> None:
    """`db-accept`: asks the controller to go on, which then sets the epoch beyond any that a chassis has seen."""
    rows = list(draft.read("Overlay_Global").values())
    if not rows or not rows[0]["alarm"]:
        raise CommandError("the controller objects to nothing; there is nothing to accept")
    # What the controller advises at the end is to do this.
    draft.say(f"accepted although: {escaped(rows[0]['alarm']).partition('; nothing is changed')[0]}")
    options = dict(rows[0]["options"][1]) | {ACCEPT: "true"}
    draft.update("Overlay_Global", rows[0], {"options": ["map", sorted(map(list, options.items()))]})
