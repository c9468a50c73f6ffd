"""python -m lorasent."""

from lorasent.cli import main

if __name__ == "__main__":
    main()
