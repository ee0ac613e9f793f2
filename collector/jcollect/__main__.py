"""`python -m jcollect`."""

from jcollect.commands import main

if __name__ == "__main__":
    main()
