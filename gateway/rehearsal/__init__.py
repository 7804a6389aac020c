"""Calls without telephones: a dialplan's tests, run by the real route runner in virtual time."""
