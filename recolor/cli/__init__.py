"""The command line; each module contains a group of verbs."""
