"""The two ways a command can go wrong."""


class InputError(ValueError):
    """What the person gave cannot work: data, arguments, a model folder. The command line exits with 2."""


class JobError(RuntimeError):
    """The call was right and the job failed all the same: a full disk, an exploding loss. The command exits with 1."""
