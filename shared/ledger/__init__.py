"""The one order in which shared things change: units of work, and the last check of each."""
