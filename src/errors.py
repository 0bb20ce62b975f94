"""The one error that a user is meant to read."""


class UserError(Exception):
    """Something only the user can put right: one sentence that says what is wrong, where, and what to do."""
