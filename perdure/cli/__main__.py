"""``python -m perdure.cli``: the same as the command ``perdure``."""

from .app import main

if __name__ == "__main__":
    main()
