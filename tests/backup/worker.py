"""A child that makes, restores or prunes a backup when it is told to: ``ACTION FOLDER STORE``."""

import sys
from pathlib import Path

from perdure import BackupRetention, Backups

if __name__ == "__main__":
    action, folder, store = sys.argv[1:]
    backups = Backups(folder)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    if action == "create":
        backups.create(store, incremental=True)
    elif action == "restore":
        backups.restore(Path(store))
    else:
        backups.prune(BackupRetention(newest=1))
