"""`python -m zotui`."""

from zotui.cli import main

if __name__ == "__main__":
    main()
