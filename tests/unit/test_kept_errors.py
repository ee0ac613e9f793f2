"""An error that is kept as a value and raised later keeps nothing in memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from jcollect.errors import copy_of
from jcollect.probes.sections import all_of, read_sections, read_states
from jcollect.probes.stub_image import parse_stub_image
from jcollect.probes.stub_library import StubLibrary
from processes import ourselves
from stub_image import LONG, Method, StubImage


class Held:
    """A value of a variable of the caller."""


def unmapped() -> StubLibrary:
    image = StubImage([Method("com.acme.Orders", "place", (LONG,), LONG, "(J)J", (2,))])
    return StubLibrary(ourselves(), "/x", 0, parse_stub_image(image.build()))


def raise_what_was_read() -> None:
    library = unmapped()
    every = read_sections([(library, library.image.states)])
    assert isinstance(every[0], OSError)
    raise copy_of(every[0])


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    "fail",
    [lambda: all_of([OSError(1, "x")]), lambda: read_states([unmapped()]), raise_what_was_read],
    ids=["kept", "read", "copied"],
)
def test_an_error_that_is_handled_keeps_no_variable(fail: Callable[[], object], no_collection: None) -> None:
    def handle() -> weakref.ref[Held]:
        held = Held()
        is_handled = False
        try:
            fail()
        except OSError:
            is_handled = True
        assert is_handled
        return weakref.ref(held)

    assert handle()() is None
