"""``python -m expmon``."""

from expmon.cli import main

if __name__ == "__main__":
    main(prog_name="expmon")
