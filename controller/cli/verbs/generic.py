"""Verbs for any table."""

from __future__ import annotations

from typing import Final

from controller.cli.verbs.verb import IF_EXISTS, Argument, Verb, arg

TABLE: Final = arg("table", metavar="TABLE", help="a table of the database (docs/), in any case", complete="table")
RECORD: Final = arg("record", metavar="ROW", help="its name or UUID; . for the only row", complete="row")
FORCE: Final = arg("--force", action="store_true", help="also what the controller or the server writes")
COLUMN: Final = arg("column", metavar="COLUMN", help="a column that holds a set or a map")


def _values(metavar: str, text: str) -> Argument:
    return arg("values", metavar=metavar, nargs="+", help=text)


GENERIC: Final = (
    Verb(
        "list",
        "list rows of any table, all columns",
        "generic:show_list",
        (TABLE, arg("records", metavar="ROW", nargs="*", help="only these, by name or UUID", complete="row")),
        ("list Chassis", "list network red --columns name,subnets,external_ids"),
    ),
    Verb(
        "find",
        "list the rows of any table that meet conditions",
        "generic:find",
        (
            TABLE,
            arg(
                "conditions",
                metavar="CONDITION",
                nargs="*",
                help="COLUMN[:KEY]=VALUE, or with != < > <= >=; {=} and {<=} compare sets",
            ),
        ),
        ("find Binding up=false", "find Port network=red external_ids:owner=alice --columns name --format csv"),
    ),
    Verb(
        "get",
        "print columns of one row",
        "generic:get",
        (TABLE, RECORD, arg("wanted", metavar="COLUMN[:KEY]", nargs="+", help="what to print"), IF_EXISTS),
        ("get Network red vni", "get Port web1 external_ids:owner --if-exists"),
    ),
    Verb(
        "set",
        "change columns of one row",
        "generic:set_columns",
        (
            TABLE,
            RECORD,
            arg("settings", metavar="COLUMN[:KEY]=VALUE", nargs="+", help="what to set, as ovs-vsctl spells it"),
            FORCE,
            IF_EXISTS,
        ),
        ("set Port web1 external_ids:owner=alice", "set Network red mtu=1400 subnets=10.0.0.0/24,2001:db8::/64"),
    ),
    Verb(
        "add",
        "add values to a column that holds several",
        "members:add",
        (TABLE, RECORD, COLUMN, _values("VALUE", "a value, or KEY=VALUE"), FORCE, IF_EXISTS),
        ("add Network red subnets 10.1.0.0/24", "add Port web1 external_ids owner=alice"),
    ),
    Verb(
        "remove",
        "take values out of a column that holds several",
        "members:remove",
        (TABLE, RECORD, COLUMN, _values("VALUE", "a value; of a map a KEY, or KEY=VALUE"), FORCE, IF_EXISTS),
        ("remove Network red subnets 10.1.0.0/24", "remove Port web1 external_ids owner"),
    ),
    Verb(
        "clear",
        "empty columns that may be empty",
        "members:clear",
        (
            TABLE,
            RECORD,
            arg("columns_cleared", metavar="COLUMN", nargs="+", help="which ones"),
            FORCE,
            IF_EXISTS,
        ),
        ("clear Port web1 allowed_pairs external_ids",),
    ),
    Verb(
        "create",
        "add a row to any table, and print its UUID",
        "generic:create",
        (
            TABLE,
            arg("settings", metavar="COLUMN[:KEY]=VALUE", nargs="+", help="what is in it"),
            arg("--id", metavar="@NAME", help="what later verbs of the transaction call it"),
            FORCE,
        ),
        (
            "create Tenant name=acme",
            "create Network --id @n name=red tenant=acme vni=100 encap=vxlan -- set Network @n mtu=1400",
        ),
    ),
    Verb(
        "destroy",
        "delete rows of any table",
        "generic:destroy",
        (
            TABLE,
            arg("records", metavar="ROW", nargs="*", help="by name or UUID", complete="row"),
            arg("--all", action="store_true", help="every row of it"),
            FORCE,
            IF_EXISTS,
        ),
        ("destroy Port web1", "destroy Neighbor --all --force"),
    ),
)
