"""`python -m geokd`."""

from geokd.cli import main

main()
