"""`python -m nemotron_speech.cli`: the `nemotron` command without its script."""

from nemotron_speech.cli.app import main

if __name__ == "__main__":
    main()
