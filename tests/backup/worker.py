"""A child that does something with backups when it is told to: ``ACTION FOLDER STORE``."""

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
    elif action == "go back":
        backups.go_back(store, sequence=backups.list()[0].last)
    elif action == "bring back":
        backups.bring_back(store, kinds=["Ledger"], name=backups.list()[0].name)
    elif action == "rewrite":
        backups.rewrite()
    else:
        backups.prune(BackupRetention(newest=1))
