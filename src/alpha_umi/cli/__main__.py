"""Entry point `python -m alpha_umi.cli`, for launchers such as torchrun."""

from alpha_umi.cli.app import main

main()
