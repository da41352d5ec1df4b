"""What `Forwarder` is made of: batches, who is to blame for a refused one, and what became of the rows."""
