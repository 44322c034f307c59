"""The agents of a system together: found, written to, woken, cut off; composed and ended."""
