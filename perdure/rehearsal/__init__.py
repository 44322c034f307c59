"""Everything stored tried under some code: what would fail, before it does."""
