"""`python -m dockgate` is the command `dockgate`."""

from dockgate.cli.main import main

if __name__ == "__main__":
    main()
