"""Where recording is hooked into what executes: Python execution loops and Robot Framework.

Nothing is imported here: a hook loads only what it stands on.
"""
