"""python -m lorasent.cli."""

from lorasent.cli import main

if __name__ == "__main__":
    main()
