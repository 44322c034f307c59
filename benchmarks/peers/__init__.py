"""The peers, one file each; every file says which set-up was chosen and why."""
