"""A pytest plugin for pykka's suite: its `runtime` fixture becomes our pooled actors.

Loaded with `-p pooled_runtime` in a process of its own, where `tests` is pykka's package.
"""

import threading
import time
from typing import cast

import pytest
from _pytest.fixtures import SubRequest

from perdure.actors.pool.future import Future
from perdure.actors.pool.pooled import PooledActor


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> object:
    """Set the `runtime` fixture up in the place of the suite's own conftest."""
    if fixturedef.argname != "runtime":
        return None
    from tests.types import Runtime  # noqa: PLC0415 -- pykka's own

    runtime: object = Runtime(
        name="pooled",
        actor_class=PooledActor,
        event_class=threading.Event,
        future_class=Future,
        sleep_func=time.sleep,
    )
    key = fixturedef.cache_key(cast("SubRequest", request))
    fixturedef.cached_result = (runtime, key, None)
    return runtime
