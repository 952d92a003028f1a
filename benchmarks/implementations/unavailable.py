"""What a peer raises that is installed, but cannot run here."""


class UnavailableError(Exception):
    """The runner leaves the peer out and says why."""

    left_out = True
