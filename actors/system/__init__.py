"""All agents of one system: find and wake them, carry their messages, cut off, shut down."""
