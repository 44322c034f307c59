"""Scripts in Lua, JavaScript and Python: one set of calls, in processes that are closed in."""
