"""Agents as actors: references, mailboxes, the dispatcher, turns and supervision."""
