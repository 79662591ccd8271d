"""`python -m alpha_umi`: the command line where its scripts are not on the path."""

from alpha_umi.cli import main

if __name__ == "__main__":
    main()
