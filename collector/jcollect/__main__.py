"""`python -m jcollect`."""

from jcollect.start import main

if __name__ == "__main__":
    main()
