"""A damaged file read page by page, and what is whole of it put into a new store."""
