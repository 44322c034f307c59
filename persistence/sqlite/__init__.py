"""The store in one SQLite file: its schema, how rows get in and out, its errors."""
