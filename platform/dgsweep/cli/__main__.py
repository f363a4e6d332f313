"""`python -m dgsweep.cli`."""

from dgsweep.cli.app import main

if __name__ == "__main__":
    main()
