"""Commands of `rpa-agent`, one idea a module; each imports what it needs when it runs."""
