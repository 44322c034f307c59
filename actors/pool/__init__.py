"""Many actors on a few threads: mailboxes, the dispatcher, futures, the event loop."""
