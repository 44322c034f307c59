"""The tools that users test their own migrations with."""
