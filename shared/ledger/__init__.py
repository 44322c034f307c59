"""The one order in which shared things change: units, the cache, the questions of the guard."""
