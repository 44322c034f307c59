"""``perdure rewrite``: the file is written anew, without copies of what is gone."""

from __future__ import annotations

from contextlib import closing

from ...persistence.errors import ConfigurationError
from ...persistence.sqlite.store import SqliteStore
from ...persistence.store.lease import Owner
from ...url import open_reader, open_store
from ..terminal.exits import ExitCode
from ..terminal.screen import Screen, print_json, working
from ..terminal.text import size


def rewrite_store(url: str, *, json: bool) -> ExitCode:
    """Remove what deleted agents have left, and write the file anew."""
    open_reader(url).close()  # opening for writing would make a store where there is none
    with closing(open_store(url, sync="power")) as store:
        if not isinstance(store, SqliteStore):
            message = f"{url} is no file; there is nothing to write anew"
            raise ConfigurationError(message)
        store.acquire(Owner.this_process())
        before = store.disk()
        with working("writing the file anew"):
            while store.remove_deleted():
                pass
            done = store.write_anew()
        after = store.disk()
    if json:
        print_json({"done": done, "before": before.file, "file": after.file})
    elif done:
        Screen().say(f"the file was written anew: {size(before.file)} before, {size(after.file)}")
    else:
        Screen(error=True).say("copies may be left: somebody reads in the store", "red")
    return ExitCode.DONE if done else ExitCode.PROBLEMS
