"""Both ends of a terminal: options that are typed, tables and JSON that are printed, exit codes."""
