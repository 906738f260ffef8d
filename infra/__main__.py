"""`python -m infra` is `twinstream`."""

from infra.cli import main

if __name__ == "__main__":
    main()
