"""The installer that travels in a bundle: standard library only, and nothing of the agent."""
