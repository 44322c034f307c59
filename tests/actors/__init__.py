"""The actors: messages, turns, mailboxes, timers, failures, races."""
