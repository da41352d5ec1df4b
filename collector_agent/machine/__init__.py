"""What the agent keeps and knows on its machine: places, locks, who it is, whether robots work."""
