"""VTEPs that change: at no moment does anybody send what another one does not accept yet, or not any more."""

from __future__ import annotations

from itertools import pairwise, product

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.vteps import VtepChanges
from flows.model import Chassis, Encap, Vtep
from flows.underlay import way
from flows.vteps import accepted

A, B, C = (Vtep(ip) for ip in ("192.0.2.1", "203.0.113.1", "2001:db8::1"))
PEER = Chassis("h9", (Vtep("192.0.2.9"), Vtep("203.0.113.9"), Vtep("2001:db8::9")))


def chassis(*vteps: Vtep) -> Chassis:
    return Chassis("h1", vteps)


def steps(changes: VtepChanges, declared: Chassis, version: int) -> list[Chassis]:
    """What the chassis is at each step from here on."""
    found = [changes.of(declared)]
    while not changes.settled():
        assert changes.confirm(version, version + 1)
        version += 1
        found.append(changes.of(declared))
    return found


def test_a_new_vtep_is_accepted_before_it_is_used() -> None:
    changes = VtepChanges()
    changes.compare({"h1": chassis(A)}, {"h1": chassis(B)}, 7)
    assert not changes.confirm(6, 8), "not everybody has heard of it"
    assert steps(changes, chassis(B), 7) == [
        Chassis("h1", (A,), besides=(B,)), Chassis("h1", (B,), besides=(A,)), chassis(B),
    ]  # fmt: skip


def test_an_encap_that_is_not_offered_any_more_is_taken_a_while() -> None:
    fewer = Vtep(A.ip, frozenset({Encap.GRE}))
    changes = VtepChanges()
    changes.compare({"h1": chassis(A)}, {"h1": chassis(fewer)}, 1)
    assert steps(changes, chassis(fewer), 1) == [
        chassis(A), Chassis("h1", (fewer,), besides=(Vtep(A.ip, frozenset({Encap.VXLAN})),)), chassis(fewer),
    ]  # fmt: skip


def test_what_changes_no_way_takes_no_steps() -> None:
    changes = VtepChanges()
    changes.compare({"h1": chassis(A)}, {"h1": chassis(Vtep(A.ip, mtu=9000)), "h2": PEER}, 1)
    assert changes.settled()


def test_an_address_that_somebody_else_has_now_is_his_at_once() -> None:
    changes = VtepChanges()
    changes.compare({"h1": chassis(A), "h2": Chassis("h2", (B,))}, {"h1": chassis(B), "h2": Chassis("h2", (A,))}, 1)
    assert changes.settled()


def test_the_flow_says_from_which_address_whatever_the_family() -> None:
    """Also with one VTEP: no tunnel port has to change its address in the same moment as the flows."""
    sets = ((A,), (C,), (A, B), (A, C))
    assert [way(chassis(*vteps), PEER, Encap.VXLAN).local for vteps in sets] == [A.ip, C.ip, A.ip, A.ip]


SETS = st.lists(st.sampled_from([A, B, C]), min_size=1, unique=True).map(tuple)


@settings(max_examples=200, deadline=None)
@given(st.lists(SETS, min_size=2, max_size=5), st.lists(st.booleans(), min_size=20, max_size=20))
def test_whoever_is_a_step_behind_is_understood(wanted: list[tuple[Vtep, ...]], confirmed: list[bool]) -> None:
    """Any changes, at any time; of two switches one may have the step before."""
    changes, version = VtepChanges(), 1
    seen = [chassis(*wanted[0])]
    for before, now in pairwise(wanted):
        changes.compare({"h1": chassis(*before)}, {"h1": chassis(*now)}, version)
        while True:
            seen.append(changes.of(chassis(*now)))
            version += 1
            if changes.settled() or not confirmed.pop(0):
                break
            changes.confirm(version, version)
        if not confirmed:
            break
        # All switches confirm each version before the next one, or the change would wait.
    for one, other in pairwise(seen):
        for mine, theirs in product((one, other), repeat=2):
            there, back = way(PEER, mine, Encap.VXLAN), way(mine, PEER, Encap.VXLAN)
            assert there is not None
            assert back is not None
            assert there.remote in {end.ip for end in theirs.ends}
            assert (back.encap, back.local) in accepted(PEER, theirs)
