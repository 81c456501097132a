"""``python -m negmine``."""

from negmine.cli.main import main

if __name__ == "__main__":
    main()
