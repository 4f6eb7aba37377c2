"""The processes that the app and the command line talk to."""
